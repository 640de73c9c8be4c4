//! What an audit across stores reads of the inventory in Redis.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::Event;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::{OrderId, UuidV7Generator};
use redis::cmd;

use super::audit::{Disagreement, RedisAudit};
use super::connection::Connection;
use super::failure::Failure;
use super::journal::Journal;
use super::keys::Keys;
use super::{OpenError, RedisUrl};
use crate::adapters::persistence::rows::{order_named, reservation_facts};
use crate::application::audit::{InventoryAudit, ReservationFacts, StockFacts};
use crate::application::ports::RepositoryError;

/// Reservations asked for in one step.
const STEP: usize = 512;

/// [`InventoryAudit`] of one prefix.
pub struct RedisInventoryAudit {
    journal: Journal,
    stock: RedisAudit,
}

impl RedisInventoryAudit {
    /// The inventory at this address; it is connected to when it is asked.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(url: &RedisUrl) -> Result<Self, OpenError> {
        let connection = Connection::lazy(url).map_err(|error| OpenError(Box::new(error)))?;
        // Ids are for events, of which an audit makes none.
        let journal = Journal::new(connection, Keys::new(url.prefix()), Arc::new(UuidV7Generator));
        Ok(Self { stock: RedisAudit::new(journal.clone()), journal })
    }

    /// The page is full with `limit` reservations or fewer: some may have been passed over.
    async fn reservations(&self, span: Span, limit: usize) -> Result<Page<ReservationFacts>, Failure> {
        let limit = limit.min(STEP);
        let mut after = if span.after.is_nil() { "-".to_owned() } else { format!("({}", span.after) };
        loop {
            let command = cmd("ZRANGEBYLEX")
                .arg(self.journal.keys.orders())
                .arg(&after)
                .arg(format!("[{}", span.until))
                .arg("LIMIT")
                .arg(0)
                .arg(limit)
                .to_owned();
            let names: Vec<String> = self.journal.connection.command(&command).await?;
            let last = names.last().filter(|_| names.len() >= limit).cloned();
            let items = self.stored(names).await?;
            match (last, items.last()) {
                (None, _) => return Ok(Page { items, complete_to: span.until }),
                (Some(_), Some(end)) => return Ok(Page { complete_to: end.order_id.as_uuid(), items }),
                (Some(last), None) => after = format!("({last}"),
            }
        }
    }

    async fn stored(&self, names: Vec<String>) -> Result<Vec<ReservationFacts>, Failure> {
        let orders: Vec<OrderId> = names.iter().filter_map(|name| order_named(name)).collect();
        let keys: Vec<String> = orders.iter().map(|order_id| self.journal.keys.reservation(*order_id)).collect();
        let rows = self.stock.fields_of(&keys, &["status", "lines", "expires_at", "updated_at"]).await?;
        let facts = |(order_id, row): (OrderId, Vec<_>)| {
            facts_of(order_id, &row).unwrap_or_else(|| ReservationFacts::damaged(order_id))
        };
        Ok(orders.into_iter().zip(rows).map(facts).collect())
    }

    async fn unpublished(&self) -> Result<Backlog, Failure> {
        let outbox = self.journal.keys.outbox();
        let waiting: u64 = self.journal.connection.command(cmd("ZCARD").arg(&outbox)).await?;
        let oldest: Vec<String> = self.journal.connection.command(cmd("ZRANGE").arg(&outbox).arg(0).arg(0)).await?;
        let oldest = oldest.first().map(|body| serde_json::from_str::<Event>(body)).transpose()?;
        Ok(Backlog { waiting, oldest_at: oldest.map(|event| event.time) })
    }
}

/// A row of `HMGET`: status, lines, end of the hold, last change. `None` when it makes no sense.
fn facts_of(order_id: OrderId, row: &[Option<String>]) -> Option<ReservationFacts> {
    let [Some(status), Some(lines), expires_at, Some(updated_at)] = row else { return None };
    let expires_at = match expires_at.as_deref() {
        None | Some("") => None,
        Some(moment) => Some(moment.parse().ok()?),
    };
    Some(reservation_facts(order_id, status, lines, expires_at, updated_at.parse().ok()?))
}

impl From<Disagreement> for StockFacts {
    fn from(found: Disagreement) -> Self {
        let Disagreement { sku, counted, ledger, promised, sold: (shipped, sold), .. } = found;
        Self { sku, counted, ledger, shipped, promised, sold }
    }
}

#[async_trait]
impl InventoryAudit for RedisInventoryAudit {
    async fn list_reservations(&self, span: Span, limit: usize) -> Result<Page<ReservationFacts>, RepositoryError> {
        Ok(self.reservations(span, limit).await?)
    }

    async fn list_suspect_stock(&self) -> Result<Vec<StockFacts>, RepositoryError> {
        let findings = self.stock.audit().await?;
        Ok(findings.products.into_iter().map(StockFacts::from).collect())
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        Ok(self.unpublished().await?)
    }
}
