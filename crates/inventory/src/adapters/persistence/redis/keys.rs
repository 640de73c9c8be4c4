//! The keys.
//!
//! All begin with one hash tag, `{<prefix>}`: a hold touches several products, its order, the ledger and the outbox in one
//! script, and Redis Cluster runs a script only where all its keys are of one slot. So an inventory lives on one
//! primary; what shares a cluster with it is other services and other prefixes.

use contracts::Sku;
use contracts::ids::OrderId;

/// Names keys under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    tag: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { tag: format!("{{{prefix}}}") }
    }

    fn named(&self, name: &str) -> String {
        format!("{}:{name}", self.tag)
    }

    /// Hash: a product and its stock.
    pub(super) fn product(&self, sku: &Sku) -> String {
        self.product_named(sku.as_str())
    }

    pub(super) fn product_named(&self, sku: &str) -> String {
        format!("{}:product:{sku}", self.tag)
    }

    /// Sorted set: every sku, by its bytes.
    pub(super) fn skus(&self) -> String {
        self.named("skus")
    }

    /// Sorted set: the skus that carry a tag, by their bytes.
    pub(super) fn tagged(&self, tag: &str) -> String {
        format!("{}:tag:{tag}", self.tag)
    }

    /// Hash: a reservation.
    pub(super) fn reservation(&self, order_id: OrderId) -> String {
        self.reservation_named(&order_id.to_string())
    }

    pub(super) fn reservation_named(&self, order_id: &str) -> String {
        format!("{}:reservation:{order_id}", self.tag)
    }

    /// Sorted set: every order that ever asked, by its bytes.
    pub(super) fn orders(&self) -> String {
        self.named("orders")
    }

    /// Sorted set: held orders, by the moment that they run out.
    pub(super) fn expiries(&self) -> String {
        self.named("expiries")
    }

    /// Stream: the stock ledger.
    pub(super) fn movements(&self) -> String {
        self.named("movements")
    }

    /// Stream: the event log; an entry's id is its position.
    pub(super) fn events(&self) -> String {
        self.named("events")
    }

    /// Sorted set: unpublished events, by position.
    pub(super) fn outbox(&self) -> String {
        self.named("outbox")
    }

    /// Number: the last position given out.
    pub(super) fn position(&self) -> String {
        self.named("position")
    }

    /// Text with an end: the relay that publishes.
    pub(super) fn lease(&self) -> String {
        self.named("relay")
    }

    /// Text: the run of Redis at which this data was last known to be whole.
    pub(super) fn verified(&self) -> String {
        self.named("verified")
    }

    /// Number: the position of the order log up to which this data has everything that was done for orders.
    pub(super) fn mark(&self) -> String {
        self.named("mark")
    }

    /// Channel: something was appended.
    pub(super) fn channel(&self) -> String {
        self.named("appended")
    }
}
