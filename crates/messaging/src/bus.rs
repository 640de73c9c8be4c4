//! The port: what every event bus must do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use observability::HealthCheck;
use observability::logs::error_chain;

/// The bus could not do it now; it is safe to try again.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The broker is away or failing.
    #[error("the event bus is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How long a message waits before it is delivered again; after the last wait it becomes a dead letter.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// One delay for each retry.
    pub delays: Vec<Duration>,
}

impl Default for RetryPolicy {
    /// 1 s, 10 s, 1 min, 10 min (docs/adr/0002).
    fn default() -> Self {
        Self { delays: [1, 10, 60, 600].map(Duration::from_secs).to_vec() }
    }
}

/// Who gets the messages of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A consumer group: its instances share the queue and the work. The queue is durable, with retries and dead letters.
    Group,
    /// A consumer group of whose instances one at a time consumes, in the order in which the events came; when it is gone,
    /// another goes on with what it left. As durable as the queue of a [`Audience::Group`], with the same retries and dead
    /// letters. See [`Subscription::ordered`] for what the order is worth.
    Ordered,
    /// One instance alone, which needs every event while it lives and none after. The queue outlives a short loss of the
    /// connection, and the broker removes it some minutes after the instance is gone for good. A message that can't be
    /// used is logged and dropped. See [`Deliveries::has_missed`].
    Instance,
}

/// A queue and what goes into it.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// One name per consumer group, such as `notification.events`, or per instance, such as `gateway.realtime.<id>`.
    pub queue: String,
    /// Who gets its messages.
    pub audience: Audience,
    /// Routing keys wanted: words between dots, `*` for any one word, `#` for any number (AMQP 0-9-1 §3.1.3.3).
    pub bindings: Vec<String>,
    /// Most messages in work at once.
    pub prefetch: usize,
    /// What happens to a message that could not be used yet.
    pub retry: RetryPolicy,
}

impl Subscription {
    /// A queue with the usual retries.
    pub fn new(queue: &str, bindings: &[&str]) -> Self {
        Self {
            queue: queue.to_owned(),
            audience: Audience::Group,
            bindings: bindings.iter().map(|key| (*key).to_owned()).collect(),
            prefetch: 64,
            retry: RetryPolicy::default(),
        }
    }

    /// A queue that one instance at a time consumes, in order, with the usual retries.
    ///
    /// - An event that fails lets those after it pass, and comes again after its delay: a consumer for which older news of
    ///   an aggregate are no news compares versions.
    /// - The broker can't take back what it has delivered: an instance that lost its connection may still be at its last
    ///   batch while the next one begins with the same events. As everywhere, what is done twice must be the same as once.
    pub fn ordered(queue: &str, bindings: &[&str]) -> Self {
        Self { audience: Audience::Ordered, ..Self::new(queue, bindings) }
    }

    /// A queue of one instance's own: every instance that subscribes under an id of its own gets every event.
    pub fn broadcast(name: &str, instance: &str, bindings: &[&str]) -> Self {
        Self {
            audience: Audience::Instance,
            retry: RetryPolicy { delays: Vec::new() },
            ..Self::new(&format!("{name}.{instance}"), bindings)
        }
    }

    /// The name without the instance's: one of few, for metrics.
    pub fn group(&self) -> &str {
        match self.audience {
            Audience::Group | Audience::Ordered => &self.queue,
            Audience::Instance => self.queue.rsplit_once('.').map_or(&self.queue, |(name, _instance)| name),
        }
    }
}

/// One message, in the hands of a consumer until it is settled.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names the delivery when it is settled.
    pub tag: i64,
    /// 1 for the first time.
    pub attempt: u32,
    /// What happened; `Err` for a message that is no event at all.
    pub event: Result<Event, String>,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done: the message is gone.
    Ack,
    /// Not yet: it comes again after the next delay, or becomes a dead letter when there is none left.
    Retry(String),
    /// Never: it becomes a dead letter at once.
    Dead(String),
}

/// A consumer's end of a queue.
#[async_trait]
pub trait Deliveries: Send {
    /// Waits until something is there and returns it, oldest first, at most `prefetch` with what is still unsettled. Dropped while
    /// it waits, it loses nothing: the next call goes on with it.
    ///
    /// What is not settled when the process ends is delivered again.
    async fn next(&mut self) -> Result<Vec<Delivery>, BusError>;

    /// Settles deliveries, in one step where the broker can. When it fails they will be delivered again.
    async fn settle(&mut self, verdicts: Vec<(Delivery, Verdict)>) -> Result<(), BusError>;

    /// Whether events may have passed this queue by since this was last asked: it was gone when the connection came
    /// back, or it ran over. Only queues of [`Audience::Instance`] ever miss anything. [`Deliveries::next`] then returns at
    /// once, with an empty batch if need be; what comes after it was published after the gap.
    fn has_missed(&mut self) -> bool {
        false
    }
}

/// A broker.
///
/// - `publish` returns when the broker has every event on disk for every queue bound to it; after an error any of them may
///   or may not have arrived, and publishing again is right (consumers deduplicate by event id).
/// - A message leaves a queue only by [`Deliveries::settle`]. Dead letters sit in `<queue>.dead`
///   (see [`crate::dead_letters`]).
/// - Order per aggregate is not promised: retries reorder, and so do instances of a group that work side by side. Consumers
///   compare `aggregateversion`. [`Audience::Ordered`] has one instance at a time.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Hands events to every queue bound to their type.
    async fn publish(&self, events: &[Event]) -> Result<(), BusError>;

    /// Declares the queue with exactly these bindings and begins to consume. Events published from then on are kept for it,
    /// also while nobody consumes, unless it is the queue of one instance ([`Audience::Instance`]).
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Deliveries>, BusError>;

    /// Answers when the broker can be written to.
    async fn ping(&self) -> Result<(), BusError>;

    /// What it is, as the `messaging.system` of spans.
    fn system(&self) -> &'static str {
        "memory"
    }
}

/// Whether the broker can be written to. Optional: events wait in the outbox while it is away.
pub fn broker_check(bus: &Arc<dyn EventBus>) -> HealthCheck {
    let bus = Arc::clone(bus);
    HealthCheck::optional("broker", move || {
        let bus = Arc::clone(&bus);
        async move { bus.ping().await.map_err(|error| error_chain(&error)) }
    })
}
