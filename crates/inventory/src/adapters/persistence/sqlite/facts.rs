//! What an audit reads of the inventory in SQLite.

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use messaging::outbox;
use sqlite::{OpenError, ReadOnlyDatabase, SqliteUrl};

use super::failure::Failure;
use crate::adapters::persistence::rows::{order_named, reservation_facts};
use crate::application::audit::{InventoryAudit, ReservationFacts, StockFacts};
use crate::application::ports::RepositoryError;

/// Every product of which any of the three disagrees with another, in one statement: of one moment. The lines of damaged
/// reservations are left out: the view `reservation_lines` would end the statement there.
const SUSPECTS: &str = "
    WITH ledger AS (
        SELECT sku, sum(quantity) AS balance, -sum(quantity) FILTER (WHERE kind = 'committed') AS shipped
        FROM stock_movements GROUP BY sku),
    lines AS (
        SELECT status, CASE line.type WHEN 'object' THEN line.value ->> 'sku' END AS sku,
            CASE line.type WHEN 'object' THEN CAST(line.value ->> 'quantity' AS INTEGER) END AS quantity
        FROM reservations, json_each(CASE WHEN json_valid(lines) THEN lines ELSE '[]' END) AS line),
    promises AS (
        SELECT sku, sum(quantity) FILTER (WHERE status IN ('held', 'pinned')) AS promised,
            sum(quantity) FILTER (WHERE status IN ('committed', 'returned')) AS sold
        FROM lines WHERE sku IS NOT NULL GROUP BY sku),
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
                     WHERE order_id > ?1 AND order_id <= ?2 ORDER BY order_id",
                )?;
                let mut rows = statement.query((span.after.to_string(), span.until.to_string()))?;
                let mut found = Vec::new();
                // Rows are read one by one: as many as are needed, whatever is passed over.
                while found.len() < limit {
                    let Some(row) = rows.next()? else { break };
                    let (name, status, lines): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    if let Some(order_id) = order_named(&name) {
                        found.push(reservation_facts(order_id, &status, &lines, row.get(3)?, row.get(4)?));
                    }
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
