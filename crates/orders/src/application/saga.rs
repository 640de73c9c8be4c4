//! Runs the saga of one order: hold → pin → charge → confirm → commit, or the way back.
//!
//! Every step elsewhere is idempotent by the order's id, and what it brought is written before the next step begins; so the
//! saga can be taken up in any state, by any instance, at any time. Whoever runs it holds a lease; a runner whose lease
//! ran out and was taken over finds its next write refused, and stops.
//!
//! Source: docs/adr/0007-checkout-saga.md.

use std::time::{Duration, Instant};

use contracts::ids::RefundId;
use observability::RequestContext;
use observability::logs::error_chain;
use service_kit::backoff::Backoff;
use service_kit::grpc::deadline;
use tokio::sync::oneshot;

use crate::application::error::OrderError;
use crate::application::ordering::Ordering;
use crate::application::ports::{Change, Charge, HoldError, NeighbourError, PinError, RepositoryError};
use crate::application::spans;
use crate::domain::{Order, OrderEvent, Refused, Saga, SagaState};
use crate::metrics::{self, StepOutcome};
use contracts::event_data::OrderStatus;

/// How long a runner may be silent before another one takes over; longer than its longest step (a hold and its pin), and
/// with [`super::resume_sagas::LOOK_AT_LEAST_EVERY`] short enough that the checkouts of a dead replica go on within 10 s.
pub const LEASE: Duration = Duration::from_secs(8);
/// How long one call to a neighbour may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(4);
/// The same for the call that pins what was held a moment before.
const PIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Waits between attempts at a step.
const RETRY: Backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(5) };
/// How soon a payment of unknown outcome is asked about again, unless its event comes first.
const UNKNOWN_PAYMENT: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_mins(1) };

/// What a run tells whoever waits for it.
#[derive(Debug)]
pub enum Verdict {
    /// What was asked for is decided; the order and saga as they are now.
    Decided(Order, Saga),
    /// It will be decided later.
    Open(Order),
}

/// How a step ended.
enum Step {
    /// Go on with the next.
    Next,
    /// The same, but on the way back: the answer was no.
    Refused,
    /// Someone takes it up later, or nobody needs to.
    Stop,
}

struct Run {
    ordering: Ordering,
    order: Order,
    saga: Saga,
    waiting: Option<oneshot::Sender<Verdict>>,
    /// A change of the order that was written without an answer: its status and version.
    unanswered: Option<(OrderStatus, u64)>,
}

/// Runs a saga in a task of its own, which survives the caller; tells the caller once when the order is decided.
pub fn spawn(ordering: &Ordering, order: Order, saga: Saga) -> oneshot::Receiver<Verdict> {
    let (sender, receiver) = oneshot::channel();
    let context = RequestContext::current_or_background();
    let span = spans::checkout(&context, &order, &saga);
    let run = Run { ordering: ordering.clone(), order, saga, waiting: Some(sender), unanswered: None };
    ordering.running.spawn(async move {
        let (order, saga) = span.scope(run.drive()).await;
        spans::end_checkout(span, &order, &saga);
    });
    receiver
}

impl Run {
    /// Goes on until the saga is done or has to wait; returns how the order and the saga are then.
    async fn drive(mut self) -> (Order, Saga) {
        while self.saga.state() != SagaState::Done {
            let (state, started) = (self.saga.state(), Instant::now());
            let result = self.step_in_span().await;
            match &result {
                Ok(Step::Next) => metrics::observe_step(state, StepOutcome::Done, started),
                Ok(Step::Refused) => metrics::observe_step(state, StepOutcome::Refused, started),
                // Outrun by another writer: it is looked at anew, and nothing came of it.
                Err(OrderError::Store(RepositoryError::Conflict)) => {}
                Ok(Step::Stop) | Err(_) => metrics::observe_step(state, StepOutcome::Failed, started),
            }
            let result = match result {
                Err(OrderError::Store(RepositoryError::Conflict)) => self.reload().await,
                other => other,
            };
            match result {
                Ok(Step::Next | Step::Refused) => {}
                Ok(Step::Stop) => break,
                Err(error) => {
                    self.put_off(&error, RETRY).await;
                    break;
                }
            }
        }
        if let Some(waiting) = self.waiting.take() {
            let verdict = if self.saga.state() == SagaState::Done {
                Verdict::Decided(self.order.clone(), self.saga.clone())
            } else {
                Verdict::Open(self.order.clone())
            };
            let _ = waiting.send(verdict);
        }
        (self.order, self.saga)
    }

    async fn step_in_span(&mut self) -> Result<Step, OrderError> {
        let Some(span) = spans::step(self.saga.state(), &self.order) else {
            return self.step().await;
        };
        let result = span.scope(self.step()).await;
        if let Err(error) = &result {
            spans::step_failed(&span, error);
        }
        result
    }

    async fn step(&mut self) -> Result<Step, OrderError> {
        match self.saga.state() {
            SagaState::Priced | SagaState::Reserving => self.reserve().await,
            SagaState::Charging => self.charge().await,
            SagaState::Confirming => self.confirm().await,
            SagaState::Committing => self.commit().await,
            SagaState::Releasing => self.release().await,
            SagaState::Refunding => self.refund().await,
            SagaState::Done => Ok(Step::Stop),
        }
    }

    /// Holds the goods and pins the hold.
    async fn reserve(&mut self) -> Result<Step, OrderError> {
        if self.saga.state() == SagaState::Priced {
            // Not written: holding is idempotent, so a crash here loses nothing that the next runner would not redo.
            self.advance(SagaState::Reserving);
        }
        if let Some(reason) = self.saga.parts().cancel_reason.clone() {
            let event = self.order.cancel(reason, self.ordering.clock.now())?;
            self.advance(SagaState::Releasing);
            return self.save_and_turn_back(event).await;
        }
        let inventory = self.ordering.inventory.clone();
        match deadline::within(STEP_TIMEOUT, inventory.hold(&self.order)).await {
            Ok(()) => {}
            Err(HoldError::OutOfStock(missing)) => {
                let names: Vec<_> = missing.iter().map(|item| item.sku.as_str()).collect();
                let event =
                    self.order.reject(format!("out of stock: {}", names.join(", ")), self.ordering.clock.now())?;
                self.saga.refuse(Refused::OutOfStock { missing });
                self.advance(SagaState::Done);
                return self.save_and_turn_back(event).await;
            }
            Err(HoldError::Closed) => {
                let event = self.order.cancel("its reservation was released".to_owned(), self.ordering.clock.now())?;
                self.advance(SagaState::Done);
                return self.save_and_turn_back(event).await;
            }
            Err(HoldError::Neighbour(error)) => return Err(error.into()),
        }
        match deadline::within(PIN_TIMEOUT, inventory.pin(self.order.id())).await {
            Ok(()) => {
                self.advance(SagaState::Charging);
                self.save_and_go_on(None).await
            }
            // It ran out between the two calls: the next round holds again.
            Err(PinError::Expired) => Err(NeighbourError::Unavailable {
                service: "inventory",
                detail: "the hold ran out before it was pinned".to_owned(),
            }
            .into()),
            Err(PinError::Neighbour(error)) => Err(error.into()),
        }
    }

    /// Charges the card.
    async fn charge(&mut self) -> Result<Step, OrderError> {
        if self.order.total().amount_minor() == 0 {
            // Nothing to pay: there is no payment, and so nothing to refund either.
            self.advance(SagaState::Confirming);
            return Ok(Step::Next);
        }
        let payments = self.ordering.payments.clone();
        match deadline::within(STEP_TIMEOUT, payments.charge(&self.order, &self.saga.parts().payment_method)).await? {
            Charge::Captured => {
                // Confirmed in the same write: the payment service has the capture on disk, asking again is free.
                self.advance(SagaState::Confirming);
                Ok(Step::Next)
            }
            Charge::Declined { reason } => {
                let event = self.order.cancel(format!("payment declined: {reason}"), self.ordering.clock.now())?;
                self.saga.refuse(Refused::Declined { reason });
                self.advance(SagaState::Releasing);
                self.save_and_turn_back(event).await
            }
            Charge::Unknown => {
                self.saga.payment_is_unknown();
                let error = NeighbourError::Unavailable {
                    service: "payment",
                    detail: "the provider has not told the outcome".to_owned(),
                };
                self.put_off(&error.into(), UNKNOWN_PAYMENT).await;
                Ok(Step::Stop)
            }
        }
    }

    /// Confirms the order, or starts giving the money back if it was cancelled meanwhile.
    async fn confirm(&mut self) -> Result<Step, OrderError> {
        let now = self.ordering.clock.now();
        match self.saga.parts().cancel_reason.clone() {
            None => {
                let event = self.order.confirm(now)?;
                self.advance(SagaState::Committing);
                self.save_and_go_on(Some(event)).await
            }
            Some(reason) => {
                let event = self.order.cancel(reason.clone(), now)?;
                let refund_id = RefundId::from_uuid(self.ordering.ids.new_uuid());
                self.saga.start_refund(refund_id, reason, false, true).map_err(illegal_step)?;
                self.save_and_turn_back(event).await
            }
        }
    }

    /// Takes the goods off the shelf.
    async fn commit(&mut self) -> Result<Step, OrderError> {
        let inventory = self.ordering.inventory.clone();
        deadline::within(STEP_TIMEOUT, inventory.commit(&self.order)).await?;
        self.advance(SagaState::Done);
        self.save_and_go_on(None).await
    }

    /// Puts the goods back.
    async fn release(&mut self) -> Result<Step, OrderError> {
        let inventory = self.ordering.inventory.clone();
        deadline::within(STEP_TIMEOUT, inventory.give_back(self.order.id())).await?;
        self.advance(SagaState::Done);
        self.save_and_go_on(None).await
    }

    /// Gives the money back.
    async fn refund(&mut self) -> Result<Step, OrderError> {
        let parts = self.saga.parts().clone();
        let refund_id = parts.refund_id.ok_or_else(|| RepositoryError::Corrupt {
            table: "sagas",
            row: format!("{}: refunding without a refund id", self.order.id()),
        })?;
        let reason = parts.refund_reason.unwrap_or_default();
        if self.order.total().amount_minor() > 0 {
            let payments = self.ordering.payments.clone();
            let refund = payments.refund(self.order.id(), refund_id, self.order.total(), &reason);
            deadline::within(STEP_TIMEOUT, refund).await?;
        }
        let event =
            if parts.refund_marks_order { Some(self.order.refund(reason, self.ordering.clock.now())?) } else { None };
        self.advance(if parts.return_stock { SagaState::Releasing } else { SagaState::Done });
        self.save_and_go_on(event).await
    }

    /// Advances to a state that the step's own logic allows.
    fn advance(&mut self, to: SagaState) {
        if let Err(error) = self.saga.advance(to) {
            tracing::error!(order.id = %self.order.id(), error = %error, "a step of the saga broke its own rules");
            debug_assert!(false, "{error}");
        }
    }

    /// Writes what the step brought, renews the lease, and tells whoever waits if the order is decided.
    async fn save_and_go_on(&mut self, event: Option<OrderEvent>) -> Result<Step, OrderError> {
        self.saga.lease_until(self.ordering.clock.now().plus(LEASE));
        self.saga.next_version();
        let status = event.as_ref().map(|event| event.data.status);
        let order = event.map(|event| (self.order.clone(), event));
        self.unanswered = status.map(|status| (status, self.order.version()));
        self.ordering.repository.save(Change { order, saga: self.saga.clone() }).await?;
        self.unanswered = None;
        if let Some(status) = status {
            self.count(status);
            let refused = self.saga.parts().refused.as_ref().map(why);
            let refused = refused.as_deref();
            tracing::info!(order.id = %self.order.id(), status = status.as_str(), refused, "order changed");
            // Everything the customer waits for is decided; what is left concerns only the stores.
            if let Some(waiting) = self.waiting.take() {
                let _ = waiting.send(Verdict::Decided(self.order.clone(), self.saga.clone()));
            }
        }
        Ok(Step::Next)
    }

    /// The same, of a step whose answer was no.
    async fn save_and_turn_back(&mut self, event: OrderEvent) -> Result<Step, OrderError> {
        self.save_and_go_on(Some(event)).await.map(|_| Step::Refused)
    }

    fn count(&self, status: OrderStatus) {
        metrics::count_order(status);
        if status == OrderStatus::Confirmed {
            metrics::observe_value(self.order.total());
        }
    }

    /// Leaves the saga to whoever finds it due.
    async fn put_off(&mut self, error: &OrderError, backoff: Backoff) {
        let order_id = self.order.id();
        // What was not written is not known: go on from what is.
        if let Ok(Some((order, saga))) = self.ordering.repository.find_with_saga(order_id).await {
            if saga.parts().owner != self.saga.parts().owner {
                return;
            }
            let unknown = self.saga.parts().payment_unknown;
            // The write whose answer was lost had happened: nobody else can have made this very change as this owner.
            if let Some((status, version)) = self.unanswered.take()
                && (order.status(), order.version()) == (status, version)
            {
                self.count(status);
            }
            self.order = order;
            self.saga = saga;
            if unknown {
                self.saga.payment_is_unknown();
            }
        }
        // The write that seemed to fail was the last one, and it had happened.
        if self.saga.state() == SagaState::Done {
            return;
        }
        let attempts = self.saga.parts().attempts + 1;
        let entropy = self.ordering.ids.new_uuid().as_u64_pair().1;
        let wait = backoff.wait(attempts, entropy);
        tracing::warn!(order.id = %order_id, step = self.saga.state().as_str(), attempts, wait_ms = wait.as_millis() as u64, error = %error_chain(error), "checkout is put off");
        self.saga.retry_at(self.ordering.clock.now().plus(wait));
        self.saga.next_version();
        if let Err(error) = self.ordering.repository.save(Change { order: None, saga: self.saga.clone() }).await {
            // The lease runs out and another run begins.
            tracing::warn!(order.id = %order_id, error = %error_chain(&error), "checkout could not be put off");
        }
        self.ordering.due.notify_one();
    }

    /// Another writer was faster: goes on if the saga is still ours (someone asked to cancel), stops if it was taken over.
    async fn reload(&mut self) -> Result<Step, OrderError> {
        self.unanswered = None;
        let owner = self.saga.parts().owner.clone();
        let Some((order, saga)) = self.ordering.repository.find_with_saga(self.order.id()).await? else {
            return Ok(Step::Stop);
        };
        let ours = saga.parts().owner == owner;
        self.order = order;
        self.saga = saga;
        Ok(if ours { Step::Next } else { Step::Stop })
    }
}

/// Why an order was refused, for the log: what a customer wrote is none of it.
fn why(refused: &Refused) -> String {
    match refused {
        Refused::OutOfStock { missing } => {
            let names: Vec<_> = missing.iter().map(|item| item.sku.as_str()).collect();
            format!("out of stock: {}", names.join(", "))
        }
        Refused::Declined { reason } => format!("payment declined: {reason}"),
    }
}

fn illegal_step(error: crate::domain::IllegalStep) -> OrderError {
    RepositoryError::Corrupt { table: "sagas", row: error.to_string() }.into()
}
