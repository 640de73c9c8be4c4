//! The exchange, the queues of a consumer group, and their arguments.
//!
//! For a group whose queue is `orders.events`, all durable, all quorum queues but the last:
//!
//! | name | what |
//! | --- | --- |
//! | `events` | topic exchange, routing key = type of the event |
//! | `orders.events` | the group's queue; what the broker gives up goes to `orders.events.dead` |
//! | `orders.events.retry.<ms>` | one for each delay: what expires there goes back to `orders.events` |
//! | `orders.events.dead` | dead letters |
//! | `orders.events.bindings` | which bindings the queue has (see [`super::bindings`]) |
//!
//! An ordered group's queue has `x-single-active-consumer` besides.
//!
//! A queue of one instance alone, such as `gateway.realtime.<instance>`, is a quorum queue, too, with nothing beside it;
//! the broker removes it when nobody has used it for [`INSTANCE_EXPIRY`].

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ExchangeKind};

use super::bindings;
use super::error::{AmqpError, failed};
use crate::bus::{Audience, Subscription};
use crate::dead_letters::{self, dead_queue};

/// How often the broker itself delivers a message again (consumers that died with it, connections that broke) before it
/// believes that the message kills its consumers and buries it. Retries are counted apart, by [`Subscription::retry`].
const DELIVERY_LIMIT: i32 = 20;
/// For queues where nothing may ever be given up: a dead letter that is looked at is not used up by looking. Newer brokers
/// have a default limit, and older ones refuse −1.
const NO_DELIVERY_LIMIT: i32 = i32::MAX;
/// How long the broker keeps the queue of an instance that is not there: longer than a broker takes to come back, and an
/// instance to notice. What arrives meanwhile waits in it; an instance that comes back later is told that it missed some.
const INSTANCE_EXPIRY: Duration = Duration::from_mins(5);

/// Names on the broker, behind the prefix of the URL if it has one.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: Option<String>) -> Self {
        Self { prefix: prefix.map_or_else(String::new, |prefix| format!("{prefix}.")) }
    }

    pub(super) fn exchange(&self) -> String {
        format!("{}events", self.prefix)
    }

    pub(super) fn queue(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }
}

/// Whether a queue holds dead letters: from there a message goes nowhere.
pub(super) fn is_dead_letter_queue(queue: &str) -> bool {
    queue.ends_with(dead_letters::SUFFIX)
}

/// Where messages of a queue wait.
pub(super) fn retry_queue(queue: &str, delay: Duration) -> String {
    format!("{queue}.retry.{}", delay_ms(delay))
}

/// A name or routing key in the driver's terms; AMQP 0-9-1 has room for 255 bytes.
pub(super) fn short(text: &str) -> Result<ShortString, AmqpError> {
    ShortString::try_new(text).map_err(|_length| AmqpError::TooLong(text.to_owned()))
}

/// Declares the exchange; does nothing when it is there.
pub(super) async fn declare_exchange(channel: &Channel, exchange: &str) -> Result<(), AmqpError> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(short(exchange)?, ExchangeKind::Topic, durable, FieldTable::default())
        .await
        .map_err(failed("declaring the exchange"))
}

/// Declares a group's queues, those a message may go to first; does nothing when they are there.
pub(super) async fn declare_queues(
    channel: &Channel,
    queue: &str,
    subscription: &Subscription,
) -> Result<(), AmqpError> {
    if is_dead_letter_queue(queue) {
        return declare_queue(channel, queue, kept_for_ever()).await;
    }
    declare_queue(channel, &dead_queue(queue), kept_for_ever()).await?;
    let mut arguments = dead_lettering_to(&dead_queue(queue));
    arguments.insert("x-delivery-limit".into(), DELIVERY_LIMIT.into());
    if subscription.audience == Audience::Ordered {
        // The others wait at the broker, which knows before anybody else when this one is gone. No exclusive consumer: that
        // one would refuse the others, who would have to ask again and again.
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    declare_queue(channel, queue, arguments).await?;
    for delay in &subscription.retry.delays {
        let mut arguments = dead_lettering_to(queue);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(delay_ms(*delay)));
        declare_queue(channel, &retry_queue(queue, *delay), arguments).await?;
    }
    Ok(())
}

/// Declares the queue of one instance. Quorum, though it is short-lived: where a classic queue's node is away, the broker
/// drops what is meant for it, and the queue is there again afterwards as if nothing had happened.
pub(super) async fn declare_instance_queue(channel: &Channel, queue: &str) -> Result<(), AmqpError> {
    let mut arguments = quorum();
    arguments.insert("x-expires".into(), AMQPValue::LongLongInt(delay_ms(INSTANCE_EXPIRY)));
    declare_queue(channel, queue, arguments).await
}

/// Arguments of a queue from which nothing is given up.
fn kept_for_ever() -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-delivery-limit".into(), NO_DELIVERY_LIMIT.into());
    arguments
}

/// Declares one queue.
pub(super) async fn declare_queue(channel: &Channel, queue: &str, arguments: FieldTable) -> Result<(), AmqpError> {
    channel
        .queue_declare(short(queue)?, QueueDeclareOptions::durable(), arguments)
        .await
        .map_err(failed("declaring a queue"))?;
    Ok(())
}

/// Whether the queue is there.
pub(super) async fn exists(connection: &Connection, queue: &str) -> Result<bool, AmqpError> {
    Ok(depth(connection, queue).await?.is_some())
}

/// How many messages of the queue are in nobody's hands; `None` when it is not there.
pub(super) async fn depth(connection: &Connection, queue: &str) -> Result<Option<u32>, AmqpError> {
    // Of its own: the broker closes the channel to say no.
    let channel = connection.create_channel().await.map_err(failed("opening a channel"))?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(short(queue)?, options, FieldTable::default()).await {
        Ok(queue) => Ok(Some(queue.message_count())),
        Err(error) if bindings::is_reply(&error, bindings::NOT_FOUND) => Ok(None),
        Err(error) => Err(failed("looking for a queue")(error)),
    }
}

/// What leaves the queue without being acknowledged goes to another, and is removed only when it has arrived there: the
/// default of quorum queues is at most once. This strategy needs `reject-publish`, which without a length limit rejects
/// nothing.
fn dead_lettering_to(target: &str) -> FieldTable {
    let mut arguments = quorum();
    // The default exchange: the routing key is the name of a queue.
    for (key, value) in [
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", target),
        ("x-dead-letter-strategy", "at-least-once"),
        ("x-overflow", "reject-publish"),
    ] {
        arguments.insert(key.into(), AMQPValue::LongString(value.into()));
    }
    arguments
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

/// The delay in milliseconds, at most what the broker accepts as a TTL (2³²−1 ms, 49 days).
fn delay_ms(delay: Duration) -> i64 {
    i64::from(u32::try_from(delay.as_millis()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_they_are_for() {
        let names = Names::new(Some("blue".to_owned()));
        let queue = names.queue("orders.events");
        assert_eq!((names.exchange().as_str(), queue.as_str()), ("blue.events", "blue.orders.events"));
        assert_eq!(retry_queue(&queue, Duration::from_secs(10)), "blue.orders.events.retry.10000");
        assert!(is_dead_letter_queue(&dead_queue(&queue)) && !is_dead_letter_queue(&queue));
        assert_eq!(Names::new(None).exchange(), "events");
        assert!(matches!(short(&"x".repeat(256)), Err(AmqpError::TooLong(_))));
        assert_eq!(delay_ms(Duration::MAX), i64::from(u32::MAX));
    }
}
