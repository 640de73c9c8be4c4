//! The store on Redis: one prefix of keys for the catalogue, the stock, the reservations, the ledger and the event log.
//!
//! Every change is one Lua script: state, stock, ledger, event log and outbox, all or nothing. The domain decides before
//! (`catalogue`, `reservations`); the scripts compare and save. Source: docs/adr/0012-inventory-on-redis.md.

mod audit;
mod catalogue;
mod connection;
mod facts;
mod failure;
mod journal;
mod keys;
mod outbox;
mod reservations;
mod upkeep;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::IdGenerator;
use futures::future::BoxFuture;

pub use audit::{Disagreement, Findings, RedisAudit};
pub use catalogue::RedisCatalogue;
pub use facts::RedisInventoryAudit;
pub use outbox::RedisOutbox;
pub use reservations::RedisReservations;
pub use upkeep::Upkeep;
pub use url::{InvalidRedisUrl, RedisUrl};

use connection::Connection;
use failure::Failure;
use journal::Journal;
use keys::Keys;

use crate::application::ports::RepositoryError;

/// The adapters on one prefix of one Redis.
pub struct RedisStore {
    /// Products and counts.
    pub catalogue: RedisCatalogue,
    /// Reservations.
    pub reservations: RedisReservations,
    /// What the relay publishes from.
    pub outbox: RedisOutbox,
    /// Compares counters with ledger and reservations.
    pub audit: RedisAudit,
    /// What has to run beside.
    pub upkeep: Upkeep,
    journal: Journal,
    evicts: Arc<AtomicBool>,
}

/// The driver refused the address.
#[derive(Debug, thiserror::Error)]
#[error("the driver can't use the address")]
pub struct OpenError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl RedisStore {
    /// The adapters; they connect when first asked for something, and again whenever the connection was lost.
    ///
    /// # Errors
    /// [`OpenError`]; whether Redis is there is [`RedisStore::ping`]'s to say.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(url: &RedisUrl, ids: Arc<dyn IdGenerator>) -> Result<Self, OpenError> {
        let relay = ids.new_uuid().to_string();
        let connection = Connection::lazy(url).map_err(|error| OpenError(Box::new(error)))?;
        let journal = Journal::new(connection.clone(), Keys::new(url.prefix()), ids);
        let audit = RedisAudit::new(journal.clone());
        let evicts = Arc::new(AtomicBool::new(false));
        Ok(Self {
            catalogue: RedisCatalogue::new(journal.clone()),
            reservations: RedisReservations::new(journal.clone()),
            outbox: RedisOutbox::new(journal.clone(), relay),
            upkeep: Upkeep::new(connection, audit.clone(), Arc::clone(&evicts)),
            audit,
            journal,
            evicts,
        })
    }

    /// What answers whether the store can be written to.
    pub fn ping(&self) -> impl Fn() -> BoxFuture<'static, Result<(), RepositoryError>> + Send + Sync + 'static {
        let (journal, evicts) = (self.journal.clone(), Arc::clone(&self.evicts));
        move || {
            let (journal, evicts) = (journal.clone(), Arc::clone(&evicts));
            Box::pin(async move {
                if evicts.load(Ordering::Relaxed) {
                    return Err(
                        Failure::Elsewhere("this Redis evicts keys: set maxmemory-policy noeviction".into()).into()
                    );
                }
                Ok(journal.ping().await?)
            })
        }
    }
}
