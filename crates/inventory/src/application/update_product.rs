//! Changes what a product is shown as.

use contracts::Sku;

use super::Inventory;
use super::ports::ChangeError;
use crate::domain::error::CatalogueError;
use crate::domain::product::{Product, ProductChanges, ProductCommand};

impl Inventory {
    /// Changes what is present in `changes`; what is so already makes no new version.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`].
    pub async fn update_product(
        &self,
        sku: Sku,
        changes: ProductChanges,
    ) -> Result<Product, ChangeError<CatalogueError>> {
        self.catalogue.change(sku, ProductCommand::Update(changes), self.clock.now()).await
    }
}
