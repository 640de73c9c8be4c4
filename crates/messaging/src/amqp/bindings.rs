//! A queue's bindings replaced by exactly those declared, though AMQP has no way to list the ones it has.
//!
//! The bindings are written down beside the queue, in the durable queue `<queue>.bindings`: records, JSON arrays of
//! patterns, read and written under a lock. A record is written before its patterns are bound, and removed after those no
//! longer wanted are unbound, so whatever an instance that died half-way has bound is known to the next one. New patterns
//! are bound before stale ones are unbound: no event that both want is missed.
//!
//! Only bindings made here are known: one made by hand, or by the broker's definitions, stays until it is removed by hand.
//! When the records can't be had, bindings are only added: a stale one costs deliveries, a missing one loses events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection};
use uuid::Uuid;

use super::connection::wait_after;
use super::error::{AmqpError, failed};
use super::publisher::{Outgoing, send};
use super::topology::{self, short};

/// Longest time to wait for other instances that declare the same queue.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time to hold the lock.
const REWRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// AMQP 0-9-1 `resource-locked`: the queue belongs to another connection.
const RESOURCE_LOCKED: u16 = 405;
/// AMQP 0-9-1 `access-refused`: another consumer has the queue for itself.
const ACCESS_REFUSED: u16 = 403;
/// AMQP 0-9-1 `not-found`.
pub(super) const NOT_FOUND: u16 = 404;

/// Makes the queue's bindings to the exchange be `wanted`. The queue and the exchange exist.
pub(super) async fn replace(
    connection: &Arc<Connection>,
    exchange: &str,
    queue: &str,
    wanted: &[String],
) -> Result<(), AmqpError> {
    let job = Job {
        connection: Arc::clone(connection),
        exchange: exchange.to_owned(),
        queue: queue.to_owned(),
        wanted: wanted.iter().cloned().collect(),
    };
    // A task of its own: a caller that gives up in the middle must not leave the lock behind.
    tokio::spawn(job.run()).await.unwrap_or(Err(AmqpError::TimedOut("declaring bindings")))
}

/// Adds bindings, without a record: what is stale stays.
pub(super) async fn bind(
    channel: &Channel,
    exchange: &str,
    queue: &str,
    patterns: impl IntoIterator<Item = &String>,
) -> Result<(), AmqpError> {
    for pattern in patterns {
        let options = QueueBindOptions::default();
        channel
            .queue_bind(short(queue)?, short(exchange)?, short(pattern)?, options, FieldTable::default())
            .await
            .map_err(failed("binding a queue"))?;
    }
    Ok(())
}

struct Job {
    connection: Arc<Connection>,
    exchange: String,
    queue: String,
    wanted: BTreeSet<String>,
}

impl Job {
    fn record(&self) -> String {
        format!("{}.bindings", self.queue)
    }

    async fn channel(&self) -> Result<Channel, AmqpError> {
        self.connection.create_channel().await.map_err(failed("opening a channel"))
    }

    async fn run(self) -> Result<(), AmqpError> {
        let lock = self.lock().await?;
        let rewritten = tokio::time::timeout(REWRITE_TIMEOUT, self.rewrite()).await;
        let name = short(&self.lock_name())?;
        // When this fails the connection is gone, and the lock with it.
        let _ = lock.queue_delete(name, QueueDeleteOptions::default()).await;
        rewritten.unwrap_or(Err(AmqpError::TimedOut("changing the bindings")))
    }

    fn lock_name(&self) -> String {
        format!("{}.bindings.lock", self.queue)
    }

    /// An exclusive queue is AMQP's lock: its connection has it until it deletes it or is gone. Instances of one connection
    /// are told apart by refusing a second consumer.
    async fn lock(&self) -> Result<Channel, AmqpError> {
        let deadline = tokio::time::Instant::now() + LOCK_TIMEOUT;
        let options = QueueDeclareOptions::exclusive();
        for failures in 1.. {
            let channel = self.channel().await?;
            let locked = match channel.queue_declare(short(&self.lock_name())?, options, FieldTable::default()).await {
                Ok(_) => take_alone(&channel, &self.lock_name()).await?,
                Err(error) if is_reply(&error, RESOURCE_LOCKED) => false,
                Err(error) => return Err(failed("locking the bindings")(error)),
            };
            if locked {
                return Ok(channel);
            }
            let wait = wait_after(failures.min(2));
            if tokio::time::Instant::now() + wait > deadline {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        Err(AmqpError::Locked(self.queue.clone()))
    }

    async fn rewrite(&self) -> Result<(), AmqpError> {
        let channel = self.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed("asking for confirmations"))?;
        // Classic, not quorum: RabbitMQ 3.10 leaves the reader of this queue waiting after it was killed and started again.
        // A node that is away may have it with it; then [`bind`] goes on without.
        topology::declare_queue(&channel, &self.record(), FieldTable::default()).await?;
        let (known, newest) = self.read(&channel).await?;
        bind(&channel, &self.exchange, &self.queue, &self.wanted).await?;
        let (queue, exchange) = (short(&self.queue)?, short(&self.exchange)?);
        for pattern in &known - &self.wanted {
            tracing::info!(queue = self.queue, pattern, "a binding is no longer wanted");
            channel
                .queue_unbind(queue.clone(), exchange.clone(), short(&pattern)?, FieldTable::default())
                .await
                .map_err(failed("unbinding a queue"))?;
        }
        // Takes the place of all that was read.
        self.write(&channel).await?;
        let all_read = BasicAckOptions { multiple: true };
        channel.basic_ack(newest, all_read).await.map_err(failed("acknowledging"))?;
        channel.close(200, "done".into()).await.map_err(failed("closing a channel"))
    }

    /// Writes what is wanted down, and reads the queue up to there: every pattern that may be bound, and the newest tag.
    ///
    /// A queue can't be asked whether it is empty without a doubt; what was just written to its end can't be missed.
    async fn read(&self, channel: &Channel) -> Result<(BTreeSet<String>, u64), AmqpError> {
        let mark = self.write(channel).await?;
        let options = BasicConsumeOptions::default();
        let mut records = channel
            .basic_consume(short(&self.record())?, "records".into(), options, FieldTable::default())
            .await
            .map_err(failed("reading the bindings"))?;
        let mut known = BTreeSet::new();
        while let Some(record) = records.next().await {
            let record = record.map_err(failed("reading the bindings"))?;
            match serde_json::from_slice::<Vec<String>>(&record.data) {
                Ok(patterns) => known.extend(patterns),
                Err(error) => tracing::warn!(queue = self.queue, %error, "a record of bindings is not readable"),
            }
            if record.properties.message_id().as_ref().is_some_and(|id| id.as_str() == mark) {
                // Before the next record is written: it must stay in the queue.
                channel
                    .basic_cancel("records".into(), BasicCancelOptions::default())
                    .await
                    .map_err(failed("reading the bindings"))?;
                return Ok((known, record.delivery_tag));
            }
        }
        Err(AmqpError::TimedOut("reading the bindings"))
    }

    /// Appends a record of what is wanted and returns its id.
    async fn write(&self, channel: &Channel) -> Result<String, AmqpError> {
        let id = Uuid::new_v4().to_string();
        let record = Outgoing {
            exchange: String::new(),
            routing_key: self.record(),
            body: serde_json::json!(self.wanted).to_string().into_bytes(),
            properties: BasicProperties::default()
                .with_content_type("application/json".into())
                .with_delivery_mode(super::PERSISTENT)
                .with_message_id(id.as_str().into()),
            mandatory: true,
        };
        send(channel, vec![record]).await?;
        Ok(id)
    }
}

/// Whether this channel is now the only consumer of the queue.
async fn take_alone(channel: &Channel, queue: &str) -> Result<bool, AmqpError> {
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    match channel.basic_consume(short(queue)?, "lock".into(), options, FieldTable::default()).await {
        Ok(_) => Ok(true),
        Err(error) if is_reply(&error, ACCESS_REFUSED) => Ok(false),
        // Deleted by its holder since it was declared.
        Err(error) if is_reply(&error, NOT_FOUND) => Ok(false),
        Err(error) => Err(failed("locking the bindings")(error)),
    }
}

/// Whether the broker answered with this code.
pub(super) fn is_reply(error: &lapin::Error, code: u16) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(error) if error.get_id() == code)
}
