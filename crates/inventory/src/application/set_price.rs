//! Changes what a product costs.

use contracts::Sku;

use super::Inventory;
use super::ports::ChangeError;
use crate::domain::error::CatalogueError;
use crate::domain::product::{Product, ProductCommand};
use crate::domain::values::Price;

impl Inventory {
    /// Lets a product cost this from now on; orders placed before keep their prices.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`].
    pub async fn set_price(&self, sku: Sku, price: Price) -> Result<Product, ChangeError<CatalogueError>> {
        self.catalogue.change(sku, ProductCommand::SetPrice(price), self.clock.now()).await
    }
}
