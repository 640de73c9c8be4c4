//! The embedded store: one SQLite file for the catalogue, the stock, the reservations, the ledger and the event log.

mod catalogue;
mod facts;
mod failure;
mod journal;
mod reservations;

use std::sync::Arc;

use contracts::IdGenerator;
use messaging::SqliteOutbox;
use rusqlite::{Connection, OptionalExtension as _};
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};

pub use catalogue::SqliteCatalogue;
pub use facts::SqliteInventoryAudit;
pub use reservations::SqliteReservations;

use failure::Failure;
use journal::Journal;

use crate::adapters::persistence::rows::stock_of;
use crate::domain::stock::Stock;

const MIGRATIONS: &[Migration] = &[
    Migration {
        component: "inventory",
        version: 1,
        sql: include_str!("../../../../migrations/sqlite/0001_catalogue_stock_reservations.sql"),
    },
    messaging::outbox::SCHEMA,
];

/// An open file with its adapters.
pub struct SqliteStore {
    /// Products and counts.
    pub catalogue: SqliteCatalogue,
    /// Reservations.
    pub reservations: SqliteReservations,
    /// What the relay publishes from.
    pub outbox: SqliteOutbox,
    database: Database,
}

impl SqliteStore {
    /// Opens the file, making it if need be; blocks for a few milliseconds.
    ///
    /// Full durability: a pinned reservation that a power cut took back would leave a paid order without goods.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub fn open(url: &SqliteUrl, ids: Arc<dyn IdGenerator>) -> Result<Self, OpenError> {
        let database = Database::open(url, Durability::Full, MIGRATIONS)?;
        let outbox = SqliteOutbox::new(database.clone());
        let journal = Journal::new(database.clone(), outbox.clone(), ids);
        Ok(Self {
            catalogue: SqliteCatalogue::new(journal.clone()),
            reservations: SqliteReservations::new(journal),
            outbox,
            database,
        })
    }

    /// What answers whether the store can be written to.
    pub fn ping(
        &self,
    ) -> impl Fn() -> futures::future::BoxFuture<'static, Result<(), StoreError>> + Send + Sync + 'static {
        let database = self.database.clone();
        move || {
            let database = database.clone();
            Box::pin(async move { database.ping().await })
        }
    }
}

fn find_stock(connection: &Connection, sku: &str) -> Result<Option<Stock>, Failure> {
    let row = connection
        .prepare_cached("SELECT on_hand, reserved FROM stock WHERE sku = ?1")?
        .query_row([sku], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    row.map(|(on_hand, reserved)| stock_of(on_hand, reserved).ok_or_else(|| Failure::corrupt("stock", sku))).transpose()
}

fn save_stock(connection: &Connection, sku: &str, stock: Stock) -> rusqlite::Result<()> {
    // Both are far below 2^63: counts are bounded, and what comes back has left before.
    connection.prepare_cached("UPDATE stock SET on_hand = ?2, reserved = ?3 WHERE sku = ?1")?.execute((
        sku,
        stock.on_hand() as i64,
        stock.reserved() as i64,
    ))?;
    Ok(())
}
