//! Sets the counted stock of a product.

use contracts::Sku;

use super::Inventory;
use super::ports::ChangeError;
use crate::domain::error::CatalogueError;
use crate::domain::product::{Product, ProductCommand};
use crate::domain::values::Count;

impl Inventory {
    /// Sets how many units are on hand; the ledger gets the difference and the reason.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`]; [`CatalogueError::StockBelowReserved`].
    pub async fn set_stock(
        &self,
        sku: Sku,
        on_hand: Count,
        reason: String,
    ) -> Result<Product, ChangeError<CatalogueError>> {
        self.catalogue.change(sku, ProductCommand::SetStock { on_hand, reason }, self.clock.now()).await
    }
}
