//! The loop that every consumer group runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use observability::logs::error_chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::{Audience, BusError, Deliveries, Delivery, EventBus, Subscription, Verdict};
use crate::dead_letters;
use crate::lanes::{Lanes, Worked};
use crate::telemetry::{self, Outcome};

/// Wait after the broker failed.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// What is done is settled after this time at the latest, or as soon as nothing is in work: together it costs the broker less.
const SETTLE_WITHIN: Duration = Duration::from_millis(10);

/// How often, and with which growing waits in milliseconds, an event that came too early is tried again before it goes back to the broker:
/// what it waits for is usually in the hands of another instance at this very moment. Under a second and a half together.
const EARLY_WAITS_MS: [u64; 5] = [50, 100, 200, 400, 600];

/// Why an event could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// Not now: a dependency is away.
    #[error("not now: {0}")]
    Transient(String),
    /// Not yet: an earlier event of the aggregate has not come. It is tried again within moments, then as if it were
    /// [`ConsumeError::Transient`].
    #[error("too early: {0}")]
    Early(String),
    /// Never: it makes no sense to this consumer.
    #[error("never: {0}")]
    Poison(String),
}

/// What a consumer group does with an event.
///
/// Idempotent: an event may come more than once, and after newer ones of its aggregate.
#[async_trait]
pub trait EventHandler: Send + Sync {
    /// Uses the event; `Ok` also when there is nothing to do.
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError>;

    /// Whether events of one aggregate have to be handled one after the other. Those of others never wait for each other.
    fn in_order(&self) -> bool {
        true
    }

    /// Events may have been missed ([`Deliveries::has_missed`]): find out elsewhere what they would have told. Returns soon;
    /// what takes long goes on beside the events.
    async fn catch_up(&self) {}
}

/// A consumer group whose queue is declared: what is published from now on is kept for it, whether it runs or not.
pub struct Consumer {
    bus: Arc<dyn EventBus>,
    subscription: Subscription,
    first: Mutex<Option<Box<dyn Deliveries>>>,
}

impl Consumer {
    /// Declares the queue. Call it before anything publishes, so that no event finds no queue.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn declare(bus: &Arc<dyn EventBus>, subscription: Subscription) -> Result<Arc<Self>, BusError> {
        let first = bus.subscribe(subscription.clone()).await?;
        telemetry::announce_group(subscription.group());
        if subscription.audience != Audience::Instance {
            dead_letters::announce(subscription.group());
        }
        Ok(Arc::new(Self { bus: Arc::clone(bus), subscription, first: Mutex::new(Some(first)) }))
    }

    /// Consumes until `stop` is cancelled; may be called again if it panicked.
    pub async fn run(self: Arc<Self>, handler: Arc<dyn EventHandler>, stop: CancellationToken) {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut deliveries = first;
        while !stop.is_cancelled() {
            match deliveries.take() {
                Some(deliveries) => self.consume(deliveries, handler.as_ref(), &stop).await,
                None => match self.subscribe_again(&stop).await {
                    None => return,
                    Some(Ok(subscribed)) => {
                        if self.subscription.audience == Audience::Instance {
                            handler.catch_up().await;
                        }
                        deliveries = Some(subscribed);
                    }
                    Some(Err(error)) => {
                        tracing::warn!(queue = self.subscription.queue, error = %error_chain(&error), "queue can't be consumed, trying again");
                        let _ = tokio::time::timeout(RETRY_WAIT, stop.cancelled()).await;
                    }
                },
            }
        }
    }

    /// `None` when `stop` is cancelled first: a bus may wait for its broker.
    async fn subscribe_again(&self, stop: &CancellationToken) -> Option<Result<Box<dyn Deliveries>, BusError>> {
        tokio::select! {
            () = stop.cancelled() => None,
            subscribed = self.bus.subscribe(self.subscription.clone()) => Some(subscribed),
        }
    }

    /// Consumes until `stop` is cancelled; what is in work is finished first.
    ///
    /// Events of one aggregate are handled one after the other, those of different aggregates side by side, begun in the
    /// order in which they came: one that takes long holds up only those of its own aggregate. What is done is settled together
    /// with what else is done by then.
    async fn consume(&self, mut deliveries: Box<dyn Deliveries>, handler: &dyn EventHandler, stop: &CancellationToken) {
        let mut lanes = Lanes::new(|delivery: Delivery| async move {
            let verdict = self.handle_one(handler, &delivery).await;
            (delivery, verdict)
        });
        // The broker keeps to it as well, but knows nothing of what was delivered before the connection was lost.
        let most = self.subscription.prefetch.max(1);
        let mut done: Vec<Worked> = Vec::new();
        let (mut settle_at, mut ask_at) = (Instant::now(), Instant::now());
        loop {
            // Once a round: at least one branch below must be open.
            let stopping = stop.is_cancelled();
            if stopping && lanes.is_idle() && done.is_empty() {
                return;
            }
            let result = if !done.is_empty() && (lanes.is_idle() || settle_at <= Instant::now()) {
                settle(deliveries.as_mut(), &mut lanes, &mut done).await
            } else {
                tokio::select! {
                    Some(worked) = lanes.next() => {
                        if done.is_empty() {
                            settle_at = Instant::now() + SETTLE_WITHIN;
                        }
                        done.push(worked);
                        Ok(())
                    }
                    () = tokio::time::sleep_until(settle_at), if !done.is_empty() => Ok(()),
                    batch = next(deliveries.as_mut(), ask_at), if !stopping && lanes.in_work() < most => {
                        if deliveries.has_missed() {
                            handler.catch_up().await;
                        }
                        batch.map(|batch| {
                            for delivery in batch {
                                lanes.add(lane_of(handler, &delivery), delivery);
                            }
                        })
                    }
                    () = stop.cancelled(), if !stopping => Ok(()),
                }
            };
            if let Err(error) = result {
                tracing::warn!(error = %error_chain(&error), "event bus failed, trying again");
                ask_at = Instant::now() + RETRY_WAIT;
            }
        }
    }

    async fn handle_one(&self, handler: &dyn EventHandler, delivery: &Delivery) -> Verdict {
        let started = Instant::now();
        let (verdict, outcome) = match &delivery.event {
            Ok(event) => self.use_event(handler, event, delivery.attempt).await,
            Err(error) => (Verdict::Dead(format!("no event: {error}")), Outcome::Dead),
        };
        telemetry::consumed(self.subscription.group(), delivery, outcome, started.elapsed());
        verdict
    }

    async fn use_event(&self, handler: &dyn EventHandler, event: &Event, attempt: u32) -> (Verdict, Outcome) {
        let span = telemetry::begin_processing(self.subscription.group(), self.bus.system(), event, attempt);
        let used = span.scope(handle_patiently(handler, event)).await;
        let (kind, why, outcome) = match used {
            Ok(()) => {
                span.end_request();
                return (Verdict::Ack, Outcome::Ack);
            }
            Err(ConsumeError::Transient(why)) => ("transient", why, Outcome::Retry),
            Err(ConsumeError::Early(why)) => ("early", why, Outcome::Retry),
            Err(ConsumeError::Poison(why)) => ("poison", why, Outcome::Dead),
        };
        span.fail(kind, &why);
        let entered = span.context().enter();
        let verdict = if matches!(outcome, Outcome::Retry) {
            tracing::info!(event.id = %event.id, event.r#type = %event.event_type, attempt, why, "event will be tried again");
            Verdict::Retry(why)
        } else {
            Verdict::Dead(why)
        };
        drop(entered);
        span.end_request();
        (verdict, outcome)
    }
}

/// In which lane it goes; all that are no events share one.
fn lane_of(handler: &dyn EventHandler, delivery: &Delivery) -> Option<String> {
    let subject = delivery.event.as_ref().map_or("", |event| &event.subject);
    handler.in_order().then(|| subject.to_owned())
}

/// Asks for more, from a moment on.
async fn next(deliveries: &mut dyn Deliveries, from: Instant) -> Result<Vec<Delivery>, BusError> {
    tokio::time::sleep_until(from).await;
    deliveries.next().await
}

/// Settles all that is done, while the work goes on.
async fn settle(
    deliveries: &mut dyn Deliveries,
    lanes: &mut Lanes<'_>,
    done: &mut Vec<Worked>,
) -> Result<(), BusError> {
    let mut settling = deliveries.settle(std::mem::take(done));
    loop {
        tokio::select! {
            settled = &mut settling => return settled,
            Some(worked) = lanes.next() => done.push(worked),
        }
    }
}

async fn handle_patiently(handler: &dyn EventHandler, event: &Event) -> Result<(), ConsumeError> {
    for wait_ms in EARLY_WAITS_MS {
        match handler.handle(event).await {
            Err(ConsumeError::Early(_)) => tokio::time::sleep(Duration::from_millis(wait_ms)).await,
            done => return done,
        }
    }
    handler.handle(event).await
}
