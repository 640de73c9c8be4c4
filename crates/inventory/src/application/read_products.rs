//! Reads the catalogue.

use contracts::Sku;

use super::Inventory;
use super::ports::{ChangeError, ProductPage, ProductQuery, RepositoryError};
use crate::domain::error::CatalogueError;
use crate::domain::product::Product;

impl Inventory {
    /// The product with this sku.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`].
    pub async fn get_product(&self, sku: Sku) -> Result<Product, ChangeError<CatalogueError>> {
        let found = self.catalogue.find(sku.clone()).await.map_err(ChangeError::Store)?;
        found.ok_or(ChangeError::Refused(CatalogueError::NotFound(sku)))
    }

    /// The products with these skus; unknown ones are left out.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn find_products(&self, skus: Vec<Sku>) -> Result<Vec<Product>, RepositoryError> {
        self.catalogue.find_many(skus).await
    }

    /// A page of products.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn list_products(&self, query: ProductQuery) -> Result<ProductPage, RepositoryError> {
        self.catalogue.list(query).await
    }
}
