//! How it is said that goods were sold which were not there, or came back to where there is no place for them.

use std::sync::LazyLock;

use contracts::ids::OrderId;
use prometheus::IntCounterVec;

use crate::domain::lines::Line;

static UNITS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    observability::metrics::counter(
        "inventory_uncovered_units_total",
        "Units that confirmed orders were sold after a loss and that the stock did not have.",
        &[],
    )
});

/// Why the ledger has units that nobody counted.
pub(super) fn reason(order_id: OrderId) -> String {
    format!("uncovered: order {order_id}")
}

/// Tells the log and the metrics.
pub(super) fn report(order_id: OrderId, sku: &str, units: u64) {
    tracing::error!(order.id = %order_id, sku, units, "goods of a confirmed order are not in stock");
    UNITS.with_label_values::<&str>(&[]).inc_by(units);
}

/// Tells the log of units that were given back of what is not in the catalogue: no counter and no ledger has them.
pub(super) fn report_shelfless(order_id: OrderId, line: &Line) {
    let Line { sku, quantity } = line;
    tracing::warn!(order.id = %order_id, %sku, units = quantity.get(), "goods were given back of a product that is not in the catalogue");
}
