//! Use cases, one per file, over the ports of [`ports`].

pub mod audit;
mod create_product;
mod expiry_watch;
mod get_reservation;
mod hold_stock;
pub mod ports;
mod read_products;
pub mod recover;
mod release_expired;
mod set_price;
mod set_stock;
mod settle_reservation;
mod update_product;

use std::sync::Arc;

use contracts::Clock;

pub use create_product::NewProduct;
use expiry_watch::ExpiryWatch;
use ports::{CatalogueRepository, ReservationRepository};

/// The use cases of the inventory.
pub struct Inventory {
    catalogue: Arc<dyn CatalogueRepository>,
    reservations: Arc<dyn ReservationRepository>,
    clock: Arc<dyn Clock>,
    expiries: ExpiryWatch,
}

impl Inventory {
    /// Use cases over these stores.
    pub fn new(
        catalogue: Arc<dyn CatalogueRepository>,
        reservations: Arc<dyn ReservationRepository>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { catalogue, reservations, clock, expiries: ExpiryWatch::default() }
    }
}
