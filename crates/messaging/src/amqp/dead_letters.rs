//! Dead letters on RabbitMQ: a look takes them unacknowledged, and gives them back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};

use super::error::{AmqpError, failed};
use super::message::{self, Received};
use super::publisher::Outgoing;
use super::topology::{self, short};
use super::{AmqpBus, Shared};
use crate::dead_letters::{DeadLetter, DeadLetterError, DeadLetters, Handled, LetterId, Pile, Which, dead_queue};

/// Most letters that one look takes out of the others' sight.
const MOST: u64 = 10_000;
/// Longest time for one look, or for handling what was asked for. When it is over the broker has everything back that was not
/// handled.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Longest wait for letters given back to be seen again.
const SETTLED: Duration = Duration::from_secs(1);
/// Letters replayed in one step.
const BATCH: usize = 64;

/// The dead letters of an [`AmqpBus`].
pub struct AmqpDeadLetters {
    shared: Arc<Shared>,
}

impl AmqpBus {
    /// Its dead letters.
    pub fn dead_letters(&self) -> AmqpDeadLetters {
        AmqpDeadLetters { shared: Arc::clone(&self.shared) }
    }
}

impl From<AmqpError> for DeadLetterError {
    fn from(error: AmqpError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// A channel that takes letters; whatever it still has when it ends goes back to where it was.
struct Look {
    channel: Channel,
    queue: String,
    /// Letters to be taken yet; what is buried after the look began is not waited for.
    left: u64,
    /// Letters that must be there when all is given back.
    staying: u32,
}

impl Look {
    /// `None` when the group has no queue of dead letters.
    async fn open(shared: &Shared, group: &str, most: u64) -> Result<Option<Self>, AmqpError> {
        let connection = shared.consuming.now().await?;
        let queue = shared.names.queue(&dead_queue(group));
        let Some(depth) = topology::depth(&connection, &queue).await? else { return Ok(None) };
        let channel = connection.create_channel().await.map_err(failed("opening a channel"))?;
        Ok(Some(Self { channel, queue, left: u64::from(depth).min(most), staying: depth }))
    }

    async fn next(&mut self) -> Result<Option<Received>, AmqpError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let options = BasicGetOptions { no_ack: false };
        let got = self.channel.basic_get(short(&self.queue)?, options).await.map_err(failed("taking a dead letter"))?;
        Ok(got.map(|message| Received::from(message.delivery)))
    }

    async fn remove(&mut self, letters: Vec<u64>) -> Result<(), AmqpError> {
        for tag in letters {
            self.channel.basic_ack(tag, BasicAckOptions::default()).await.map_err(failed("removing a dead letter"))?;
            self.staying = self.staying.saturating_sub(1);
        }
        Ok(())
    }

    /// Everything not removed goes back, and is there again for the next look.
    async fn close(self, shared: &Shared) -> Result<(), AmqpError> {
        // Tag 0: all that the channel has (AMQP 0-9-1 §1.8.3.14).
        let all = BasicNackOptions { multiple: true, requeue: true };
        self.channel.basic_nack(0, all).await.map_err(failed("giving dead letters back"))?;
        self.channel.close(200, "done".into()).await.map_err(failed("closing a channel"))?;
        // A quorum queue takes a moment to have them. Another look may hold some by then: that is not waited for.
        let connection = shared.consuming.now().await?;
        let deadline = tokio::time::Instant::now() + SETTLED;
        while topology::depth(&connection, &self.queue).await?.is_some_and(|depth| depth < self.staying) {
            if tokio::time::Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(SETTLED / 100).await;
        }
        Ok(())
    }
}

fn letter(group: &str, received: &Received) -> DeadLetter {
    DeadLetter {
        group: group.to_owned(),
        key: received.key(),
        body: received.text(),
        attempts: received.attempts_made(),
        first_failed_at: received.first_failed_at(),
        last_failed_at: received.last_failed_at(),
        error: received.error(),
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, AmqpError>>) -> Result<T, AmqpError> {
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or(Err(AmqpError::TimedOut("handling dead letters")))
}

impl AmqpDeadLetters {
    async fn look(&self, group: &str, limit: usize, wanted: Option<&str>) -> Result<Vec<DeadLetter>, AmqpError> {
        let Some(mut look) = Look::open(&self.shared, group, MOST).await? else { return Ok(Vec::new()) };
        let mut letters = Vec::new();
        while let Some(received) = look.next().await? {
            // The broker keeps what was given back in the order of giving it back: taking a few would put them behind the
            // others that were once looked at. So all are taken, whatever is wanted.
            if letters.len() < limit && wanted.is_none_or(|key| received.key() == key) {
                letters.push(letter(group, &received));
            }
        }
        look.close(&self.shared).await?;
        Ok(letters)
    }

    /// Removes the letters that are meant, after handing them to the group if so asked.
    async fn handle(&self, group: &str, which: &Which, replay: bool) -> Result<Handled, AmqpError> {
        // Those that stay are kept out of sight until the end; those that go are not, and may be any number.
        let most = if *which == Which::All { u64::MAX } else { MOST };
        let Some(mut look) = Look::open(&self.shared, group, most).await? else {
            return Ok(Handled { done: 0, missing: which.missing([]) });
        };
        let (mut found, mut done, mut batch) = (Vec::new(), 0, Vec::new());
        loop {
            let received = look.next().await?;
            let is_last = received.is_none();
            batch.extend(received.filter(|received| which.contains(&received.key())));
            if batch.len() >= BATCH || is_last {
                if replay {
                    let target = self.shared.names.queue(group);
                    let outgoing: Vec<Outgoing> =
                        batch.iter().map(|received| message::replayed(received, target.clone())).collect();
                    if let Err(error) = self.shared.publisher.publish(outgoing).await {
                        look.close(&self.shared).await?;
                        return Err(error);
                    }
                }
                done += batch.len() as u64;
                if *which != Which::All {
                    found.extend(batch.iter().map(Received::key));
                }
                look.remove(batch.drain(..).map(|received| received.delivery_tag).collect()).await?;
            }
            if is_last {
                break;
            }
        }
        look.close(&self.shared).await?;
        Ok(Handled { done, missing: which.missing(found.iter().map(String::as_str)) })
    }
}

#[async_trait]
impl DeadLetters for AmqpDeadLetters {
    async fn piles(&self, groups: &[String]) -> Result<Vec<Pile>, DeadLetterError> {
        let ask = async {
            let connection = self.shared.consuming.now().await?;
            let mut piles = Vec::new();
            for group in groups {
                let queue = self.shared.names.queue(&dead_queue(group));
                let letters = topology::depth(&connection, &queue).await?.unwrap_or(0);
                if letters > 0 {
                    piles.push(Pile { group: group.clone(), letters: u64::from(letters) });
                }
            }
            piles.sort_by(|a, b| a.group.cmp(&b.group));
            piles.dedup();
            Ok(piles)
        };
        Ok(in_time(ask).await?)
    }

    async fn list(&self, group: &str, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        Ok(in_time(self.look(group, limit, None)).await?)
    }

    async fn find(&self, id: &LetterId) -> Result<Option<DeadLetter>, DeadLetterError> {
        Ok(in_time(self.look(&id.group, 1, Some(&id.key))).await?.pop())
    }

    async fn replay(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError> {
        match in_time(self.handle(group, which, true)).await {
            Err(AmqpError::NotTaken(_)) => Err(DeadLetterError::NoSuchGroup(group.to_owned())),
            handled => Ok(handled?),
        }
    }

    async fn discard(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError> {
        Ok(in_time(self.handle(group, which, false)).await?)
    }
}
