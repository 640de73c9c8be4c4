//! The outbox in Redis.

use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use contracts::audit::Backlog;
use futures::StreamExt as _;
use messaging::outbox::{OutboxError, OutboxSource};
use messaging::outbox_status::{OutboxStatus, OutboxStatusSource, Unpublished};
use redis::{RedisError, cmd, pipe};
use tokio_util::sync::CancellationToken;

use super::journal::Journal;

/// How long a relay that went away keeps another from publishing. Longer than a relay sleeps between two looks.
const LEASE: Duration = Duration::from_secs(3);
/// Wait after the subscription was lost.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// [`OutboxSource`] on Redis, for one relay. Of several relays on one prefix one publishes, and another takes over when
/// that one is silent for three seconds.
#[derive(Clone)]
pub struct RedisOutbox {
    journal: Journal,
    relay: String,
}

impl RedisOutbox {
    pub(super) fn new(journal: Journal, relay: String) -> Self {
        Self { journal, relay }
    }

    pub(super) fn relay(&self) -> &str {
        &self.relay
    }

    /// Hears what other processes append, until `stop` is cancelled. Nothing is lost without it: the relay looks by itself
    /// every few seconds.
    pub async fn listen(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                heard = self.hear() => if let Err(error) = heard {
                    tracing::debug!(error = %error, "what others append is not heard, trying again");
                },
            }
            let _ = tokio::time::timeout(RETRY_WAIT, stop.cancelled()).await;
        }
    }

    async fn hear(&self) -> Result<(), RedisError> {
        let mut subscription = self.journal.connection.client().get_async_pubsub().await?;
        subscription.subscribe(self.journal.keys.channel()).await?;
        // What was appended before it listened.
        self.journal.appended.notify_one();
        let mut heard = subscription.on_message();
        while heard.next().await.is_some() {
            self.journal.appended.notify_one();
        }
        Ok(())
    }
}

#[async_trait]
impl OutboxSource for RedisOutbox {
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError> {
        let (keys, mut script) = (&self.journal.keys, self.journal.scripts.pending.prepare_invoke());
        script.key(keys.outbox()).key(keys.lease());
        script.arg(&self.relay).arg(LEASE.as_millis() as u64).arg(limit);
        let found: Vec<(String, f64)> =
            self.journal.connection.script("EVALSHA pending", &script).await.map_err(unavailable)?;
        let decode = |(body, position): (String, f64)| Ok((position as i64, serde_json::from_str(&body)?));
        found
            .into_iter()
            .map(decode)
            .collect::<Result<_, serde_json::Error>>()
            .map_err(|error| OutboxError(Box::new(error)))
    }

    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError> {
        if positions.is_empty() {
            return Ok(());
        }
        let mut remove = pipe();
        let key = self.journal.keys.outbox();
        for position in positions {
            remove.cmd("ZREMRANGEBYSCORE").arg(&key).arg(position).arg(position).ignore();
        }
        self.journal.connection.pipeline("PIPELINE ZREMRANGEBYSCORE", &remove).await.map_err(unavailable)
    }

    async fn appended(&self) {
        self.journal.appended.notified().await;
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        let mut ask = pipe();
        let key = self.journal.keys.outbox();
        ask.atomic().cmd("ZCARD").arg(&key).cmd("ZRANGE").arg(&key).arg(0).arg(0);
        let (waiting, oldest): (u64, Vec<String>) =
            self.journal.connection.pipeline("MULTI ZCARD", &ask).await.map_err(unavailable)?;
        let oldest: Option<Event> = oldest
            .first()
            .map(|body| serde_json::from_str(body))
            .transpose()
            .map_err(|error| OutboxError(Box::new(error)))?;
        Ok(Backlog { waiting, oldest_at: oldest.map(|event| event.time) })
    }
}

#[async_trait]
impl OutboxStatusSource for RedisOutbox {
    async fn status(&self) -> Result<OutboxStatus, OutboxError> {
        let keys = &self.journal.keys;
        let mut ask = pipe();
        ask.atomic().cmd("ZCARD").arg(keys.outbox()).cmd("ZRANGE").arg(keys.outbox()).arg(0).arg(0).arg("WITHSCORES");
        let (depth, oldest): (u64, Vec<(String, f64)>) =
            self.journal.connection.pipeline("MULTI ZCARD", &ask).await.map_err(unavailable)?;
        let oldest = oldest.first().map(|(body, position)| Unpublished::read(*position as i64, body)).transpose()?;
        // An entry's id is its position; what stands before the oldest that waits has been published.
        let last = oldest.as_ref().map_or_else(|| "+".to_owned(), |oldest| format!("({}-0", oldest.position));
        let newest = cmd("XREVRANGE").arg(keys.events()).arg(last).arg("-").arg("COUNT").arg(1).to_owned();
        let newest: Vec<(String, Vec<String>)> = self.journal.connection.command(&newest).await.map_err(unavailable)?;
        let position = |id: &str| id.split('-').next().and_then(|position| position.parse().ok());
        let published_to = newest.first().and_then(|(id, _)| position(id));
        Ok(OutboxStatus { depth, oldest, published_to })
    }
}

fn unavailable(error: RedisError) -> OutboxError {
    OutboxError(Box::new(error))
}
