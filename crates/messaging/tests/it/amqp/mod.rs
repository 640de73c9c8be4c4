//! What only RabbitMQ has: messages as other clients see them, the broker's own limits, connections that break.

mod broker;
mod dead_letters;
mod faults;
mod messages;
mod outages;
mod proxy;

use std::sync::Arc;

use contracts::timestamp::SystemClock;
use lapin::options::{BasicGetOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use messaging::bus::Deliveries;
use messaging::{Broker, EventBus};
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;

use crate::helpers::PATIENCE;

/// A Souk of its own on the broker at `SOUK_TEST_AMQP_URL`.
#[derive(Clone)]
struct World {
    broker: String,
    prefix: String,
}

impl World {
    fn new() -> Self {
        let broker = std::env::var("SOUK_TEST_AMQP_URL").expect("SOUK_TEST_AMQP_URL should name a RabbitMQ broker");
        Self { broker, prefix: format!("test-{}", Uuid::new_v4()) }
    }

    /// The same names, reached by another address.
    fn at(&self, broker: &str) -> Self {
        Self { broker: broker.to_owned(), prefix: self.prefix.clone() }
    }

    fn url(&self) -> String {
        let separator = if self.broker.contains('?') { '&' } else { '?' };
        format!("{}{separator}prefix={}", self.broker, self.prefix)
    }

    async fn bus(&self) -> Arc<dyn EventBus> {
        self.open().await.bus
    }

    async fn open(&self) -> Broker {
        messaging::open(&self.url(), Arc::new(SystemClock)).await.unwrap()
    }

    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// The broker as any other client sees it.
    async fn client(&self) -> Client {
        let connection = Connection::connect(&self.broker, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Client { _connection: connection, channel, world: self.clone() }
    }
}

struct Client {
    _connection: Connection,
    channel: Channel,
    world: World,
}

impl Client {
    /// How many consume a queue.
    async fn consumers(&self, queue: &str) -> u32 {
        let (name, passive) =
            (self.world.name(queue).as_str().into(), QueueDeclareOptions { passive: true, ..Default::default() });
        self.channel.queue_declare(name, passive, FieldTable::default()).await.unwrap().consumer_count()
    }

    /// The next message of a queue, which must come.
    async fn get(&self, queue: &str) -> lapin::message::Delivery {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let name = self.world.name(queue).as_str().into();
            let got = self.channel.basic_get(name, BasicGetOptions { no_ack: true }).await.unwrap();
            match got {
                Some(message) => return message.delivery,
                None => assert!(Instant::now() < deadline, "something should have come to {queue}"),
            }
        }
    }
}

/// The bus of the contract suite.
pub(crate) async fn bus_in(_folder: &TempDir) -> Arc<dyn EventBus> {
    World::new().bus().await
}

/// The same with the operator's port.
pub(crate) async fn broker_in(_folder: &TempDir) -> Broker {
    World::new().open().await
}

/// Settles everything as done.
async fn ack(deliveries: &mut Box<dyn Deliveries>, batch: Vec<messaging::Delivery>) {
    let verdicts = batch.into_iter().map(|delivery| (delivery, messaging::Verdict::Ack)).collect();
    deliveries.settle(verdicts).await.unwrap();
}
