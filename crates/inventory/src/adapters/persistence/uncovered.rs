//! How it is said that goods were sold which were not there.

use std::sync::LazyLock;

use contracts::ids::OrderId;
use prometheus::IntCounterVec;

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
