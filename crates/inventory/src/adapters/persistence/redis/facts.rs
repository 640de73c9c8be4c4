//! What an audit across stores reads of the inventory in Redis.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use contracts::event_data::LineData;
use contracts::ids::{OrderId, UuidV7Generator};
use contracts::{Event, Timestamp};
use redis::cmd;

use super::audit::{Disagreement, RedisAudit};
use super::connection::Connection;
use super::failure::Failure;
use super::journal::Journal;
use super::keys::Keys;
use super::{OpenError, RedisUrl};
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

    async fn reservations(&self, span: Span, limit: usize) -> Result<Vec<ReservationFacts>, Failure> {
        let limit = limit.min(STEP);
        let after = if span.after.is_nil() { "-".to_owned() } else { format!("({}", span.after) };
        let command = cmd("ZRANGEBYLEX")
            .arg(self.journal.keys.orders())
            .arg(after)
            .arg(format!("[{}", span.until))
            .arg("LIMIT")
            .arg(0)
            .arg(limit)
            .to_owned();
        let orders: Vec<String> = self.journal.connection.command(&command).await?;
        let keys: Vec<String> = orders.iter().map(|order| self.journal.keys.reservation_named(order)).collect();
        let rows = self.stock.fields_of(&keys, &["status", "lines", "expires_at", "updated_at"]).await?;
        orders.iter().zip(rows).map(|(order, row)| facts_of(order, row)).collect()
    }

    async fn unpublished(&self) -> Result<Backlog, Failure> {
        let outbox = self.journal.keys.outbox();
        let waiting: u64 = self.journal.connection.command(cmd("ZCARD").arg(&outbox)).await?;
        let oldest: Vec<String> = self.journal.connection.command(cmd("ZRANGE").arg(&outbox).arg(0).arg(0)).await?;
        let oldest = oldest.first().map(|body| serde_json::from_str::<Event>(body)).transpose()?;
        Ok(Backlog { waiting, oldest_at: oldest.map(|event| event.time) })
    }
}

/// A row of `HMGET`: status, lines, end of the hold, last change.
fn facts_of(order: &str, row: Vec<Option<String>>) -> Result<ReservationFacts, Failure> {
    let corrupt = || Failure::corrupt("reservations", order);
    let [Some(status), Some(lines), expires_at, Some(updated_at)] = row.as_slice() else { return Err(corrupt()) };
    let order_id: OrderId = order.parse().map_err(|_| corrupt())?;
    let lines: Vec<LineData> = serde_json::from_str(lines).map_err(|_| corrupt())?;
    let moment = |text: &str| text.parse().map(Timestamp::from_unix_ms).map_err(|_| corrupt());
    Ok(ReservationFacts {
        order_id,
        status: status.clone(),
        lines: lines.into_iter().map(|line| (line.sku.to_string(), line.quantity)).collect(),
        expires_at: expires_at.as_deref().filter(|text| !text.is_empty()).map(moment).transpose()?,
        updated_at: moment(updated_at)?,
    })
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
        let found = self.reservations(span, limit).await?;
        Ok(Page::of(found, span, limit.min(STEP), |one| one.order_id.as_uuid()))
    }

    async fn list_suspect_stock(&self) -> Result<Vec<StockFacts>, RepositoryError> {
        let findings = self.stock.audit().await?;
        Ok(findings.products.into_iter().map(StockFacts::from).collect())
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        Ok(self.unpublished().await?)
    }
}
