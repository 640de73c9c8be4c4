//! Placing an order: price, write, run the saga, answer when it is decided.

use std::time::{Duration, Instant};

use contracts::ids::{OrderId, UserId};
use contracts::{Quantity, Sku};
use ring::digest;
use service_kit::grpc::deadline;
use std::fmt::Write as _;

use crate::application::error::OrderError;
use crate::application::ordering::Ordering;
use crate::application::ports::{IdempotencyRecord, RepositoryError};
use crate::application::saga::{self, LEASE, Verdict};
use crate::domain::{Draft, Order, PlaceError, Refused, Saga};
use crate::metrics::{self, CheckoutOutcome};
use contracts::event_data::OrderStatus;

/// Kept of the caller's time for the way back: an answer that comes too late is no answer.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// A request, parsed.
#[derive(Clone, Debug)]
pub struct PlaceOrder {
    /// Who orders.
    pub user_id: UserId,
    /// What and how much, in the order it was asked for; not empty.
    pub items: Vec<(Sku, Quantity)>,
    /// How it is paid.
    pub payment_method: String,
    /// Where it goes.
    pub shipping_address: Option<String>,
    /// What else the customer says.
    pub note: Option<String>,
    /// The caller's idempotency key.
    pub idempotency_key: Option<String>,
}

impl PlaceOrder {
    /// A digest that two requests share only if they ask for the same.
    fn fingerprint(&self) -> String {
        let items: Vec<_> = self.items.iter().map(|(sku, quantity)| (sku.as_str(), quantity.get())).collect();
        let canonical = serde_json::json!([items, self.payment_method, self.shipping_address, self.note]).to_string();
        let mut text = String::with_capacity(64);
        for byte in digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// An order and whether what was asked for is decided.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The order now.
    pub order: Order,
    /// False while its fate is open.
    pub decided: bool,
}

impl Ordering {
    /// Places an order and waits for the verdict as long as the caller does.
    ///
    /// With an idempotency key, repeating the request gives the same answer and never a second order.
    ///
    /// # Errors
    /// [`OrderError`]; before anything was written, or as the verdict.
    pub async fn place_order(&self, request: PlaceOrder) -> Result<Outcome, OrderError> {
        let mut checkout = Checkout { started: Instant::now(), answered: false, repeated: false };
        let result = self.try_place(request, &mut checkout).await;
        checkout.answer(&result);
        result
    }

    async fn try_place(&self, request: PlaceOrder, checkout: &mut Checkout) -> Result<Outcome, OrderError> {
        let now = self.clock.now();
        let fingerprint = request.fingerprint();
        if let Some(key) = &request.idempotency_key
            && let Some(record) = self.repository.find_key(request.user_id, key, now).await?
        {
            checkout.repeated = true;
            return self.repeat(&record, &fingerprint).await;
        }
        let mut draft = Draft::new(request.user_id).with_details(request.shipping_address, request.note);
        for (index, (sku, quantity)) in request.items.into_iter().enumerate() {
            draft.add(sku, quantity).map_err(|source| OrderError::Line { index, source })?;
        }
        let skus: Vec<Sku> = draft.lines().iter().map(|(sku, _)| sku.clone()).collect();
        let catalogue = self.inventory.price(&skus).await?;
        let order_id = OrderId::from_uuid(self.ids.new_uuid());
        let (order, event) = draft.place(order_id, &catalogue, now).map_err(|error| match error {
            PlaceError::UnknownProducts(skus) => OrderError::UnknownProducts(skus),
            other => OrderError::Place(other),
        })?;
        let owner = self.instance.to_string();
        let saga = Saga::new(order_id, request.payment_method, owner, now.plus(LEASE));
        let record = request.idempotency_key.map(|key| IdempotencyRecord {
            user_id: request.user_id,
            key,
            fingerprint: fingerprint.clone(),
            order_id,
            created_at: now,
        });
        if let Some(taken) = self.repository.place(order.clone(), event, saga.clone(), record).await? {
            checkout.repeated = true;
            return self.repeat(&taken, &fingerprint).await;
        }
        metrics::count_order(OrderStatus::Pending);
        tracing::info!(order.id = %order_id, total_minor = order.total().amount_minor(), "order placed");
        let verdict = saga::spawn(self, order.clone(), saga);
        let patience = deadline::remaining().saturating_sub(ANSWER_MARGIN);
        match tokio::time::timeout(patience, verdict).await {
            Ok(Ok(Verdict::Decided(order, saga))) => answer(order, &saga),
            Ok(Ok(Verdict::Open(order))) => Ok(Outcome { order, decided: false }),
            // Too slow, or the run was cut off: the saga goes on without this caller.
            Ok(Err(_)) | Err(_) => Ok(Outcome { order, decided: false }),
        }
    }

    /// Answers a request whose key is known.
    async fn repeat(&self, record: &IdempotencyRecord, fingerprint: &str) -> Result<Outcome, OrderError> {
        if record.fingerprint != fingerprint {
            return Err(OrderError::KeyReused);
        }
        let (order, saga) = self.repository.find_with_saga(record.order_id).await?.ok_or_else(|| {
            RepositoryError::Corrupt { table: "idempotency_keys", row: format!("{}: no order", record.order_id) }
        })?;
        answer(order, &saga)
    }
}

/// Measures one checkout. Repeated requests are none, and neither is what was wrong with the request itself.
struct Checkout {
    started: Instant,
    answered: bool,
    repeated: bool,
}

impl Checkout {
    fn answer(&mut self, result: &Result<Outcome, OrderError>) {
        self.answered = true;
        let outcome = match result {
            Ok(outcome) if outcome.decided => CheckoutOutcome::Confirmed,
            Ok(_) => CheckoutOutcome::Undecided,
            Err(OrderError::OutOfStock { .. } | OrderError::Cancelled { .. }) => CheckoutOutcome::Rejected,
            Err(OrderError::Declined { .. }) => CheckoutOutcome::Declined,
            Err(OrderError::Store(_) | OrderError::Neighbour(_)) => CheckoutOutcome::Failed,
            Err(
                OrderError::NotFound
                | OrderError::Line { .. }
                | OrderError::UnknownProducts(_)
                | OrderError::Place(_)
                | OrderError::KeyReused
                | OrderError::InProgress
                | OrderError::Illegal(_)
                | OrderError::BeingRefunded { .. },
            ) => return,
        };
        if !self.repeated {
            metrics::observe_checkout(outcome, self.started);
        }
    }
}

impl Drop for Checkout {
    /// Given up: by a caller who went away, of which nothing is known, or because its time was over.
    fn drop(&mut self) {
        if !self.answered && !self.repeated && deadline::remaining().is_zero() {
            metrics::observe_checkout(CheckoutOutcome::Failed, self.started);
        }
    }
}

/// What the store knows of an order, as the answer to placing it.
fn answer(order: Order, saga: &Saga) -> Result<Outcome, OrderError> {
    match &saga.parts().refused {
        Some(Refused::OutOfStock { missing }) => {
            return Err(OrderError::OutOfStock { order: Box::new(order), missing: missing.clone() });
        }
        Some(Refused::Declined { reason }) => {
            return Err(OrderError::Declined { order: Box::new(order), reason: reason.clone() });
        }
        None => {}
    }
    match order.status() {
        OrderStatus::Pending if saga.parts().payment_unknown => Ok(Outcome { order, decided: false }),
        OrderStatus::Pending => Err(OrderError::InProgress),
        OrderStatus::Cancelled if !order.was_confirmed() => Err(OrderError::Cancelled { order: Box::new(order) }),
        _ => Ok(Outcome { order, decided: true }),
    }
}
