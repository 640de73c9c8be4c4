//! The store on Redis: one prefix of keys for the catalogue, the stock, the reservations, the ledger and the event log.
//!
//! Every change is one Lua script: state, stock, ledger, event log and outbox, all or nothing. The domain decides before
//! (`catalogue`, `reservations`); the scripts compare and save. Source: docs/adr/0012-inventory-on-redis.md.

mod audit;
mod calls;
mod catalogue;
mod connection;
mod facts;
mod failure;
mod gate;
mod journal;
mod keys;
mod outbox;
mod reservations;
mod upkeep;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::{Clock, IdGenerator};
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
use gate::Gate;
use journal::Journal;
use keys::Keys;

use crate::application::ports::{OrderLog, RepositoryError};
use crate::application::recover::Recovery;

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
    journal: Journal,
    evicts: Arc<AtomicBool>,
}

/// The driver refused the address.
#[derive(Debug, thiserror::Error)]
#[error("the driver can't use the address")]
pub struct OpenError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl RedisStore {
    /// The adapters, on whatever Redis has: for tools and tests. They connect when first asked for something, and again
    /// whenever the connection was lost.
    ///
    /// # Errors
    /// [`OpenError`]; whether Redis is there is [`RedisStore::ping`]'s to say.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(url: &RedisUrl, ids: Arc<dyn IdGenerator>) -> Result<Self, OpenError> {
        let relay = ids.new_uuid().to_string();
        let connection = Connection::lazy(url).map_err(|error| OpenError(Box::new(error)))?;
        let journal = Journal::new(connection, Keys::new(url.prefix()), ids);
        Ok(Self::on(journal, relay, Arc::new(AtomicBool::new(false))))
    }

    /// The adapters for a service: they refuse everything until [`Upkeep::run`] has found that Redis forgot nothing, or
    /// has restored it from what orders say; and again after each start of Redis.
    ///
    /// # Errors
    /// As [`RedisStore::open`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn guarded(
        url: &RedisUrl,
        ids: Arc<dyn IdGenerator>,
        orders: Arc<dyn OrderLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Upkeep), OpenError> {
        let direct = Self::open(url, ids)?;
        let gate = Gate::closed();
        let journal = direct.journal.over(direct.journal.connection.behind(gate.clone()));
        let recovery = Recovery::new(orders, Arc::new(direct.reservations), Arc::clone(&clock));
        let upkeep = Upkeep::new(direct.journal, gate, direct.audit, recovery, clock, Arc::clone(&direct.evicts));
        Ok((Self::on(journal, direct.outbox.relay().to_owned(), direct.evicts), upkeep))
    }

    fn on(journal: Journal, relay: String, evicts: Arc<AtomicBool>) -> Self {
        Self {
            catalogue: RedisCatalogue::new(journal.clone()),
            reservations: RedisReservations::new(journal.clone()),
            outbox: RedisOutbox::new(journal.clone(), relay),
            audit: RedisAudit::new(journal.clone()),
            journal,
            evicts,
        }
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
