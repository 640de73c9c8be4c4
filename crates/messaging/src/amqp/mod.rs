//! The event bus on RabbitMQ (3.10 or newer): quorum queues, publisher confirms, manual acknowledgement.
//!
//! - `address`: the URL, and the prefix by which several Souks share a broker;
//! - `connection`: a connection that comes back;
//! - `topology`: the exchange, the queues of a consumer group and their arguments;
//! - `bindings`: a queue's bindings replaced as one, though AMQP can't list them;
//! - `publisher`: batches that count only when confirmed;
//! - `consumer`: deliveries, retries and dead letters;
//! - `dead_letters`: the operator's look at them.
//!
//! Source: docs/adr/0010-rabbitmq-as-event-bus.md.

mod address;
mod bindings;
mod connection;
mod consumer;
mod dead_letters;
mod error;
mod message;
mod publisher;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::{Clock, Event};
use lapin::BasicProperties;

use self::address::AmqpAddress;
pub use self::address::InvalidAmqpUrl;
use self::connection::Link;
use self::consumer::{AmqpDeliveries, Declaration};
pub use self::dead_letters::AmqpDeadLetters;
use self::error::AmqpError;
use self::publisher::{Outgoing, Publisher};
use self::topology::Names;
use crate::bus::{BusError, Deliveries, EventBus, Subscription};

/// Media type of a CloudEvent in JSON (CloudEvents JSON event format §3).
const CONTENT_TYPE: &str = "application/cloudevents+json";
/// AMQP 0-9-1 §4.1.2: the message survives a restart of the broker.
const PERSISTENT: u8 = 2;
/// A ping that takes longer is as good as none.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// A RabbitMQ broker.
///
/// Two connections: the broker throttles a connection that publishes when it runs out of memory or disk, and what
/// throttles publishing must not keep consumers from acknowledging.
pub struct AmqpBus {
    shared: Arc<Shared>,
}

/// What consumers and publishers of one bus have in common.
struct Shared {
    names: Names,
    clock: Arc<dyn Clock>,
    consuming: Link,
    publisher: Publisher,
}

impl AmqpBus {
    /// The broker at `url`; connects, and connects again, in the background. Must be called inside a Tokio runtime. `clock`
    /// tells when messages fail.
    ///
    /// # Errors
    /// [`InvalidAmqpUrl`]. A broker that is away is none: [`EventBus::subscribe`] waits for it.
    pub fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, InvalidAmqpUrl> {
        let address = AmqpAddress::parse(url)?;
        let names = Names::new(address.prefix);
        let publishing = Link::open(address.uri.clone(), "souk publisher");
        Ok(Self {
            shared: Arc::new(Shared {
                publisher: Publisher::new(publishing, names.exchange()),
                consuming: Link::open(address.uri, "souk consumer"),
                names,
                clock,
            }),
        })
    }

    /// Declares what a consumer group needs, with exactly these bindings, without consuming.
    ///
    /// The broker drops an event that no queue is bound for. Every group that must miss nothing is declared before its
    /// publishers start for the first time: by this, by [`EventBus::subscribe`], or by the broker's own definitions.
    ///
    /// # Errors
    /// [`BusError`] when the broker refuses. While it is away, this waits.
    pub async fn declare(&self, subscription: &Subscription) -> Result<(), BusError> {
        consumer::declare(&self.shared, subscription).await.map_err(BusError::from)
    }
}

#[async_trait]
impl EventBus for AmqpBus {
    /// Fails at once while the broker is away, and after five seconds when it does not confirm.
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let exchange = self.shared.names.exchange();
        let mut messages = Vec::with_capacity(events.len());
        for event in events {
            messages.push(Outgoing {
                exchange: exchange.clone(),
                routing_key: event.event_type.clone(),
                body: serde_json::to_vec(event).map_err(|error| BusError::Unavailable(Box::new(error)))?,
                properties: BasicProperties::default()
                    .with_content_type(CONTENT_TYPE.into())
                    .with_delivery_mode(PERSISTENT)
                    .with_message_id(event.id.to_string().into()),
                // Nobody may want an event of this type; that is no error.
                mandatory: false,
            });
        }
        self.shared.publisher.publish(messages).await.map_err(BusError::from)
    }

    /// Waits while the broker is away.
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Deliveries>, BusError> {
        let deliveries = AmqpDeliveries::open(Arc::clone(&self.shared), subscription, Declaration::Replace).await?;
        Ok(Box::new(deliveries))
    }

    async fn ping(&self) -> Result<(), BusError> {
        let answered = tokio::time::timeout(PING_TIMEOUT, self.shared.publisher.ping()).await;
        answered.unwrap_or(Err(AmqpError::TimedOut("a ping"))).map_err(BusError::from)
    }

    fn system(&self) -> &'static str {
        "rabbitmq"
    }
}
