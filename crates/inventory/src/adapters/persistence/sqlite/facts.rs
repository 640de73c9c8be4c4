//! What an audit reads of the inventory in SQLite.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::audit::{Backlog, Page, Span};
use contracts::event_data::LineData;
use messaging::outbox;
use sqlite::{OpenError, ReadOnlyDatabase, SqliteUrl};

use super::failure::Failure;
use crate::application::audit::{InventoryAudit, ReservationFacts, StockFacts};
use crate::application::ports::RepositoryError;

/// Every product of which any of the three disagrees with another, in one statement: of one moment.
const SUSPECTS: &str = "
    WITH ledger AS (
        SELECT sku, sum(quantity) AS balance, -sum(quantity) FILTER (WHERE kind = 'committed') AS shipped
        FROM stock_movements GROUP BY sku),
    promises AS (
        SELECT sku, sum(quantity) FILTER (WHERE status IN ('held', 'pinned')) AS promised,
            sum(quantity) FILTER (WHERE status IN ('committed', 'returned')) AS sold
        FROM reservation_lines GROUP BY sku),
    skus AS (SELECT sku FROM stock UNION SELECT sku FROM ledger UNION SELECT sku FROM promises),
    facts AS (
        SELECT skus.sku, on_hand, reserved, coalesce(balance, 0) AS balance, coalesce(shipped, 0) AS shipped,
            coalesce(promised, 0) AS promised, coalesce(sold, 0) AS sold
        FROM skus LEFT JOIN stock USING (sku) LEFT JOIN ledger USING (sku) LEFT JOIN promises USING (sku))
    SELECT sku, on_hand, reserved, balance, shipped, promised, sold FROM facts
    WHERE on_hand IS NOT balance OR reserved IS NOT promised OR shipped <> sold ORDER BY sku";

/// [`InventoryAudit`] of one file.
pub struct SqliteInventoryAudit(ReadOnlyDatabase);

impl SqliteInventoryAudit {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        Ok(Self(ReadOnlyDatabase::open(url)?))
    }
}

#[async_trait]
impl InventoryAudit for SqliteInventoryAudit {
    async fn list_reservations(&self, span: Span, limit: usize) -> Result<Page<ReservationFacts>, RepositoryError> {
        let read: Result<_, Failure> = self
            .0
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT order_id, status, lines, expires_at, updated_at FROM reservations
                     WHERE order_id > ?1 AND order_id <= ?2 ORDER BY order_id LIMIT ?3",
                )?;
                let mut rows = statement.query((span.after.to_string(), span.until.to_string(), limit as i64))?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    let (order_id, lines): (String, String) = (row.get(0)?, row.get(2)?);
                    let corrupt = || Failure::corrupt("reservations", &order_id);
                    let lines: Vec<LineData> = serde_json::from_str(&lines).map_err(|_| corrupt())?;
                    found.push(ReservationFacts {
                        order_id: order_id.parse().map_err(|_| corrupt())?,
                        status: row.get(1)?,
                        lines: lines.into_iter().map(|line| (line.sku.to_string(), line.quantity)).collect(),
                        expires_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_unix_ms),
                        updated_at: Timestamp::from_unix_ms(row.get(4)?),
                    });
                }
                Ok(Page::of(found, span, limit, |one: &ReservationFacts| one.order_id.as_uuid()))
            })
            .await;
        Ok(read?)
    }

    async fn list_suspect_stock(&self) -> Result<Vec<StockFacts>, RepositoryError> {
        let read: Result<_, Failure> = self
            .0
            .read(|connection| {
                let mut statement = connection.prepare_cached(SUSPECTS)?;
                let rows = statement.query_map([], |row| {
                    let counters: (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
                    Ok(StockFacts {
                        sku: row.get(0)?,
                        counted: counters.0.zip(counters.1),
                        ledger: row.get(3)?,
                        shipped: row.get(4)?,
                        promised: row.get(5)?,
                        sold: row.get(6)?,
                    })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await;
        Ok(read?)
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        let read: Result<_, Failure> = self.0.read(|connection| Ok(outbox::backlog(connection)?)).await;
        Ok(read?)
    }
}
