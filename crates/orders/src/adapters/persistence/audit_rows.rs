//! Rows as an audit reads them, whatever they are kept in.

use contracts::Timestamp;
use contracts::event_data::OrderData;
use contracts::ids::OrderId;

use crate::application::audit::{LoggedEvent, OrderFacts, SagaFacts};
use crate::application::ports::RepositoryError;

/// A row of orders beside its saga's.
pub(super) struct AuditedRow {
    pub(super) order_id: OrderId,
    pub(super) status: String,
    pub(super) version: i64,
    pub(super) body: String,
    pub(super) state: Option<String>,
    pub(super) attempts: Option<i64>,
    pub(super) due_at: Option<i64>,
}

impl AuditedRow {
    /// Its facts, yet without events.
    pub(super) fn into_facts(self) -> Result<OrderFacts, RepositoryError> {
        let data: OrderData = serde_json::from_str(&self.body)
            .map_err(|_| RepositoryError::Corrupt { table: "orders", row: self.order_id.to_string() })?;
        Ok(OrderFacts {
            order_id: self.order_id,
            user_id: data.user_id,
            status: self.status,
            version: self.version.unsigned_abs(),
            total: data.total,
            lines: data.items.into_iter().map(|item| (item.sku.to_string(), item.quantity)).collect(),
            updated_at: data.updated_at,
            saga: self.state.map(|state| SagaFacts {
                state,
                attempts: self.attempts.unwrap_or_default().unsigned_abs(),
                due_at: self.due_at.map(Timestamp::from_unix_ms),
            }),
            events: Vec::new(),
        })
    }
}

/// Gives each order its events, which are sorted by order and position, as the orders are by id.
pub(super) fn add_events(orders: &mut [OrderFacts], events: impl IntoIterator<Item = (OrderId, LoggedEvent)>) {
    for (order_id, event) in events {
        if let Ok(at) = orders.binary_search_by_key(&order_id.as_uuid(), |order| order.order_id.as_uuid()) {
            orders[at].events.push(event);
        }
    }
}
