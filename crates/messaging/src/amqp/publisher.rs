//! Batches that count only when the broker has confirmed every message.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};

use super::connection::Link;
use super::error::{AmqpError, failed};
use super::topology;

/// Longest time for a batch, confirmation included. The caller keeps the events and tries again.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Most channels kept for later; more than that publish at once only in bursts.
const IDLE_CHANNELS: usize = 4;

/// A message on its way to the broker.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
    /// Whether a message that reaches no queue is an error.
    pub(super) mandatory: bool,
}

/// Publishes with confirmation.
///
/// A channel serves one batch at a time, and one that failed is not used again: a late confirmation can't be taken for
/// that of another message, also when a caller gives up in the middle.
pub(super) struct Publisher {
    link: Link,
    exchange: String,
    idle: Mutex<Vec<Channel>>,
}

impl Publisher {
    pub(super) fn new(link: Link, exchange: String) -> Self {
        Self { link, exchange, idle: Mutex::default() }
    }

    /// Returns when the broker has all of them on disk; after an error any of them may have arrived.
    pub(super) async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), AmqpError> {
        if messages.is_empty() {
            return Ok(());
        }
        let sent = tokio::time::timeout(PUBLISH_TIMEOUT, async {
            let channel = self.channel().await?;
            send(&channel, messages).await?;
            Ok(channel)
        })
        .await;
        self.put_back(sent.unwrap_or(Err(AmqpError::TimedOut("publishing")))?);
        Ok(())
    }

    /// Asks the broker for the exchange on a channel that could publish.
    pub(super) async fn ping(&self) -> Result<(), AmqpError> {
        let connection = self.link.now().await?;
        if connection.status().blocked() {
            return Err(AmqpError::Away("it takes no messages for now (memory or disk alarm)".to_owned()));
        }
        let channel = self.channel().await?;
        let name = topology::short(&self.exchange)?;
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(name, ExchangeKind::Topic, passive, FieldTable::default())
            .await
            .map_err(failed("asking for the exchange"))?;
        self.put_back(channel);
        Ok(())
    }

    async fn channel(&self) -> Result<Channel, AmqpError> {
        let connection = self.link.now().await?;
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|channel| channel.status().connected());
            idle.pop()
        };
        if let Some(channel) = idle {
            return Ok(channel);
        }
        let channel = connection.create_channel().await.map_err(failed("opening a channel"))?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed("asking for confirmations"))?;
        topology::declare_exchange(&channel, &self.exchange).await?;
        Ok(channel)
    }

    fn put_back(&self, channel: Channel) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CHANNELS {
            idle.push(channel);
        }
    }
}

/// Publishes a batch on a channel that nobody else uses and that asked for confirmations.
pub(super) async fn send(channel: &Channel, messages: Vec<Outgoing>) -> Result<(), AmqpError> {
    let mut writes = Vec::with_capacity(messages.len());
    for message in &messages {
        let (exchange, routing_key): (ShortString, ShortString) =
            (topology::short(&message.exchange)?, topology::short(&message.routing_key)?);
        let options = BasicPublishOptions { mandatory: message.mandatory, immediate: false };
        let properties = message.properties.clone();
        let mut write = Box::pin(channel.basic_publish(exchange, routing_key, options, &message.body, properties));
        // The first poll puts the message in line: polled in this order, they go out in this order, without waiting for
        // each other.
        writes.push(match futures::poll!(&mut write) {
            std::task::Poll::Ready(written) => futures::future::Either::Left(std::future::ready(written)),
            std::task::Poll::Pending => futures::future::Either::Right(write),
        });
    }
    let confirmations = try_join_all(writes).await.map_err(failed("publishing"))?;
    let confirmed = try_join_all(confirmations).await.map_err(failed("waiting for confirmations"))?;
    for (message, confirmation) in messages.iter().zip(confirmed) {
        match confirmation {
            Confirmation::Ack(None) => {}
            // Returned as unroutable, refused, or a channel without confirmations.
            Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested => {
                return Err(AmqpError::NotTaken(message.routing_key.clone()));
            }
        }
    }
    Ok(())
}
