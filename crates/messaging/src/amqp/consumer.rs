//! Deliveries of one queue: taken, settled, and recovered after the connection is lost.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{BoxFuture, try_join_all};
use futures::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use observability::logs::error_chain;

use super::Shared;
use super::bindings;
use super::connection::wait_after;
use super::error::{AmqpError, failed};
use super::message::{self, Received};
use super::publisher::Outgoing;
use super::topology::{self, short};
use crate::bus::{Audience, BusError, Deliveries, Delivery, Subscription, Verdict};
use crate::dead_letters::{self, dead_queue};
use crate::mailbox::log_dropped;

/// Longest time to declare a queue, and to begin to consume, once connected; longer than changing its bindings may take.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest time to close a channel that is no longer wanted.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a queue is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declaration {
    /// A consumer group says what it wants from now on.
    Replace,
    /// A connection came back: the queue and its bindings are as durable as each other, and a newer instance of the group
    /// may have replaced them. Only a queue that is gone is declared as at first.
    Restore,
}

/// A consumer's end of a queue.
pub(super) struct AmqpDeliveries {
    shared: Arc<Shared>,
    subscription: Subscription,
    queue: String,
    session: Option<Session>,
    /// The next session, while it is being opened: a caller that waits no longer must not leave half a consumer behind.
    opening: Option<Opening>,
    /// What this consumer has in work, by the port's tag. Tags are never used twice, so that a delivery of a lost session
    /// is not taken for one of this.
    held: HashMap<i64, Received>,
    last_tag: i64,
    /// Deliveries whose settlement failed while the session lives. They come again from here: giving them back to the
    /// broker would count against its delivery limit, as if they had killed their consumer.
    again: VecDeque<Delivery>,
    /// A settlement was begun and not ended: its caller gave up, and nobody knows how far it came.
    settling: bool,
    /// The instance's queue was gone: nobody knows what passed it by.
    missed: Arc<AtomicBool>,
}

type Opening = BoxFuture<'static, Result<Session, AmqpError>>;

/// A channel that consumes. Everything not acknowledged on it comes again when it ends.
struct Session {
    channel: Channel,
    consumer: lapin::Consumer,
    /// The broker's tags of what was taken and not yet settled.
    unsettled: BTreeSet<u64>,
}

/// Declares what a subscription needs, waiting while the broker is away.
pub(super) async fn declare(shared: &Shared, subscription: &Subscription) -> Result<(), AmqpError> {
    persist(&subscription.queue, || async {
        prepare(shared, subscription, Declaration::Replace, &AtomicBool::new(false)).await?;
        Ok(())
    })
    .await
}

impl AmqpDeliveries {
    /// Declares and begins to consume, waiting while the broker is away.
    pub(super) async fn open(
        shared: Arc<Shared>,
        subscription: Subscription,
        declaration: Declaration,
    ) -> Result<Self, AmqpError> {
        let missed = Arc::new(AtomicBool::new(false));
        let session =
            persist(&subscription.queue, || Session::open(&shared, &subscription, declaration, &missed)).await?;
        Ok(Self {
            queue: shared.names.queue(&subscription.queue),
            shared,
            subscription,
            session: Some(session),
            opening: None,
            held: HashMap::new(),
            last_tag: 0,
            again: VecDeque::new(),
            settling: false,
            missed,
        })
    }

    /// Gives up the session: the broker delivers again what was not settled.
    fn lose_session(&mut self) {
        self.end_session();
        self.held.clear();
        self.again.clear();
        self.settling = false;
    }

    fn end_session(&mut self) {
        if let Some(session) = self.session.take()
            && self.subscription.audience == Audience::Ordered
        {
            session.end();
        }
    }

    /// Waits while the broker is away. Dropped meanwhile, it goes on with the next call.
    async fn open_again(&mut self) -> Result<(), AmqpError> {
        let opening = self.opening.get_or_insert_with(|| {
            let (shared, missed) = (Arc::clone(&self.shared), Arc::clone(&self.missed));
            let subscription = self.subscription.clone();
            let open = async move {
                persist(&subscription.queue, || Session::open(&shared, &subscription, Declaration::Restore, &missed))
                    .await
            };
            open.boxed()
        });
        let opened = opening.await;
        self.opening = None;
        self.session = Some(opened?);
        tracing::info!(queue = self.queue, "consuming again");
        Ok(())
    }

    /// Takes a message into work.
    fn take(&mut self, received: Received) -> Delivery {
        self.last_tag += 1;
        let delivery = Delivery { tag: self.last_tag, attempt: received.attempt, event: received.event() };
        self.held.insert(self.last_tag, received);
        delivery
    }

    /// Waits for the first message and takes what is there with it; `None` when the session has ended.
    async fn receive(&mut self) -> Option<Vec<Delivery>> {
        let session = self.session.as_mut()?;
        let mut received = vec![session.receive().await?];
        // The broker sends at most `prefetch`, so this ends.
        while let Some(more) = session.receive().now_or_never() {
            received.push(more?);
        }
        Some(received.into_iter().map(|message| self.take(message)).collect())
    }

    /// Sorts the verdicts by what they ask of the broker.
    fn plan(&self, verdicts: &[(Delivery, Verdict)]) -> Plan {
        let mut plan = Plan::default();
        let now = self.shared.clock.now();
        for (delivery, verdict) in verdicts {
            let Some(received) = self.held.get(&delivery.tag) else {
                plan.lost = true;
                continue;
            };
            let tag = received.delivery_tag;
            let (target, why) = match verdict {
                Verdict::Ack => {
                    plan.done.push(tag);
                    continue;
                }
                // No other queue belongs to this one.
                Verdict::Retry(_) | Verdict::Dead(_) if self.subscription.audience == Audience::Instance => {
                    log_dropped(delivery, verdict);
                    plan.done.push(tag);
                    continue;
                }
                // From a queue of dead letters a message goes nowhere.
                Verdict::Retry(_) | Verdict::Dead(_) if topology::is_dead_letter_queue(&self.queue) => {
                    plan.left.push(tag);
                    continue;
                }
                Verdict::Retry(why) => {
                    let delay = self.subscription.retry.delays.get(delivery.attempt.saturating_sub(1) as usize);
                    if delay.is_none() {
                        dead_letters::tell(&self.subscription.queue, delivery, why);
                    }
                    let target = delay
                        .map_or_else(|| dead_queue(&self.queue), |delay| topology::retry_queue(&self.queue, *delay));
                    (target, why)
                }
                Verdict::Dead(why) => {
                    dead_letters::tell(&self.subscription.queue, delivery, why);
                    (dead_queue(&self.queue), why)
                }
            };
            plan.moved.push(message::moved(received, target, why, now));
            // Once it is there.
            plan.done.push(tag);
        }
        plan
    }
}

impl Drop for AmqpDeliveries {
    fn drop(&mut self) {
        self.end_session();
    }
}

/// What a settlement asks of the broker.
#[derive(Default)]
struct Plan {
    /// Published elsewhere before anything is acknowledged.
    moved: Vec<Outgoing>,
    /// Acknowledged.
    done: Vec<u64>,
    /// Given back where they are.
    left: Vec<u64>,
    /// Some deliveries were of a lost session.
    lost: bool,
}

#[async_trait]
impl Deliveries for AmqpDeliveries {
    /// Waits while the broker is away, and recovers by itself.
    async fn next(&mut self) -> Result<Vec<Delivery>, BusError> {
        if self.settling {
            self.lose_session();
        }
        if !self.again.is_empty() {
            return Ok(self.again.drain(..).collect());
        }
        loop {
            if self.session.is_none() {
                self.open_again().await?;
            }
            if self.missed.load(Ordering::Acquire) {
                return Ok(Vec::new());
            }
            match self.receive().await {
                Some(deliveries) => return Ok(deliveries),
                None => self.lose_session(),
            }
        }
    }

    async fn settle(&mut self, verdicts: Vec<(Delivery, Verdict)>) -> Result<(), BusError> {
        self.settling = true;
        let Plan { moved, done, left, lost } = self.plan(&verdicts);
        let deliveries = verdicts.into_iter().map(|(delivery, _)| delivery);
        if let Err(error) = self.shared.publisher.publish(moved).await {
            self.again.extend(deliveries.filter(|delivery| self.held.contains_key(&delivery.tag)));
            self.settling = false;
            return Err(error.into());
        }
        if let Some(session) = &mut self.session
            && let Err(error) = session.settle(&done, &left).await
        {
            self.lose_session();
            return Err(error.into());
        }
        for delivery in deliveries {
            self.held.remove(&delivery.tag);
        }
        self.settling = false;
        if lost { Err(AmqpError::DeliveryLost.into()) } else { Ok(()) }
    }

    fn has_missed(&mut self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }
}

impl Session {
    async fn open(
        shared: &Shared,
        subscription: &Subscription,
        declaration: Declaration,
        missed: &AtomicBool,
    ) -> Result<Self, AmqpError> {
        let channel = prepare(shared, subscription, declaration, missed).await?;
        let begin = async {
            let prefetch = u16::try_from(subscription.prefetch).unwrap_or(u16::MAX).max(1);
            channel
                .basic_qos(prefetch, BasicQosOptions::default())
                .await
                .map_err(failed("limiting what is in work at once"))?;
            let queue = short(&shared.names.queue(&subscription.queue))?;
            channel
                .basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default())
                .await
                .map_err(failed("consuming"))
        };
        let consumer = in_time("beginning to consume", begin).await?;
        Ok(Self { channel, consumer, unsettled: BTreeSet::new() })
    }

    /// Closes the channel, so that everything unsettled goes back at once and ahead of the rest. The driver would cancel the
    /// consumer first: then the next consumer of an ordered queue would be given what is behind the unsettled messages
    /// before those.
    fn end(self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let close = async {
                    // Closing drops what is not sent yet: an answer from the broker shows that acknowledgements are there.
                    self.channel.basic_qos(1, BasicQosOptions::default()).await?;
                    self.channel.close(200, "done".into()).await
                };
                // When it fails, the connection is gone and took the channel with it.
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
                drop(self.consumer);
            });
        }
    }

    /// The next message; `None` when the session has ended. Loses nothing when it is dropped while it waits.
    async fn receive(&mut self) -> Option<Received> {
        match self.consumer.next().await? {
            Ok(delivery) => {
                self.unsettled.insert(delivery.delivery_tag);
                Some(Received::from(delivery))
            }
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "consuming was interrupted");
                None
            }
        }
    }

    async fn settle(&mut self, done: &[u64], left: &[u64]) -> Result<(), AmqpError> {
        for tag in done.iter().chain(left) {
            self.unsettled.remove(tag);
        }
        let give_back = BasicNackOptions { multiple: false, requeue: true };
        let left = left.iter().map(|tag| self.channel.basic_nack(*tag, give_back));
        try_join_all(left).await.map_err(failed("giving a message back"))?;
        let Some(newest) = done.iter().max().copied() else {
            return Ok(());
        };
        if self.unsettled.first().is_none_or(|oldest| *oldest > newest) {
            // Nothing older is in work: one acknowledgement covers them all.
            let multiple = BasicAckOptions { multiple: true };
            return self.channel.basic_ack(newest, multiple).await.map_err(failed("acknowledging"));
        }
        let acks = done.iter().map(|tag| self.channel.basic_ack(*tag, BasicAckOptions::default()));
        try_join_all(acks).await.map_err(failed("acknowledging"))?;
        Ok(())
    }
}

/// Waits for the connection and declares everything that a subscription needs. Notes in `missed` when the queue of an
/// instance had to be made again.
async fn prepare(
    shared: &Shared,
    subscription: &Subscription,
    declaration: Declaration,
    missed: &AtomicBool,
) -> Result<Channel, AmqpError> {
    let connection = shared.consuming.wait().await;
    let setup = async {
        let channel = connection.create_channel().await.map_err(failed("opening a channel"))?;
        let (exchange, queue) = (shared.names.exchange(), shared.names.queue(&subscription.queue));
        if declaration == Declaration::Restore && topology::exists(&connection, &queue).await? {
            return Ok(channel);
        }
        topology::declare_exchange(&channel, &exchange).await?;
        if subscription.audience == Audience::Instance {
            if declaration == Declaration::Restore {
                missed.store(true, Ordering::Release);
            }
            topology::declare_instance_queue(&channel, &queue).await?;
            bindings::bind(&channel, &exchange, &queue, &subscription.bindings).await?;
            return Ok(channel);
        }
        topology::declare_queues(&channel, &queue, subscription).await?;
        if !topology::is_dead_letter_queue(&queue) {
            let wanted = &subscription.bindings;
            if let Err(error) = bindings::replace(&connection, &exchange, &queue, wanted).await {
                tracing::warn!(queue, error = %error_chain(&error), "stale bindings can't be removed, only new ones added");
                bindings::bind(&channel, &exchange, &queue, wanted).await?;
            }
        }
        Ok(channel)
    };
    in_time("declaring a queue", setup).await
}

async fn in_time<T>(doing: &'static str, work: impl Future<Output = Result<T, AmqpError>>) -> Result<T, AmqpError> {
    tokio::time::timeout(SETUP_TIMEOUT, work).await.unwrap_or(Err(AmqpError::TimedOut(doing)))
}

/// Tries until it works or the broker refuses for good.
async fn persist<T, F>(queue: &str, mut attempt: impl FnMut() -> F) -> Result<T, AmqpError>
where
    F: Future<Output = Result<T, AmqpError>>,
{
    let mut failures = 0;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if error.is_refusal() => return Err(error),
            Err(error) => {
                failures += 1;
                tracing::warn!(queue, error = %error_chain(&error), "queue can't be consumed, trying again");
                tokio::time::sleep(wait_after(failures)).await;
            }
        }
    }
}
