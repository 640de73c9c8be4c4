//! Adds a product to the catalogue.

use contracts::Sku;

use super::Inventory;
use super::ports::ChangeError;
use crate::domain::error::CatalogueError;
use crate::domain::product::{Product, ProductDetails};
use crate::domain::values::{Count, Price};

/// A product to be.
#[derive(Clone, Debug)]
pub struct NewProduct {
    /// What tells it from all others.
    pub sku: Sku,
    /// What it is shown as.
    pub details: ProductDetails,
    /// What one unit costs.
    pub price: Price,
    /// Units on the shelf at the start.
    pub on_hand: Count,
}

impl Inventory {
    /// Adds a product.
    ///
    /// # Errors
    /// [`CatalogueError::Exists`] when the sku is taken.
    pub async fn create_product(&self, new: NewProduct) -> Result<Product, ChangeError<CatalogueError>> {
        let NewProduct { sku, details, price, on_hand } = new;
        let (product, change) = Product::create(sku, details, price, on_hand, self.clock.now());
        self.catalogue.add(product.clone(), change).await?;
        Ok(product)
    }
}
