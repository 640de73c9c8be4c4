//! `product:<sku>` and `catalogue`: what changed of products, to those who watch them.
//!
//! How many units are available changes with every reservation, which does not change the product's version; so these channels
//! have versions of their own ([`ChannelVersions`]). Events only say which products to look at: they are read anew, all that
//! changed since the last time at once, and at most ten times a second.
//!
//! One task reads, counts and sends, so that a higher version never has older data.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::event_data::{ProductEvent, ReservationEvent};
use contracts::values::Sku;
use contracts::{Clock, Event, Timestamp};
use messaging::{ConsumeError, EventHandler};
use serde_json::Value;
use socketio::SocketIo;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::catalogue::{self, Products};
use super::ports::{ChannelVersions, WatchedChannels};
use super::update::{self, Change};
use super::watching::Watchers;
use super::{Channel, metrics};

/// What the queue is called.
pub const QUEUE: &str = "gateway.live.products";
/// What goes into it.
pub const BINDINGS: &[&str] = &["product.*", "inventory.*"];
/// Most events in work at once: as many as may come while others wait to be sent.
pub const PREFETCH: usize = 1000;

/// Updates of one channel are at least this far apart; the latest wins.
const EVERY: Duration = Duration::from_millis(100);
/// Wait before what failed is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// After so many failures the events go back to the bus.
const MAX_FAILURES: u32 = 20;

/// Collects what changed, and publishes it.
pub struct ProductUpdates {
    /// Where updates go.
    pub io: SocketIo,
    /// Where products are read.
    pub products: Products,
    /// The channels' versions.
    pub versions: Arc<dyn ChannelVersions>,
    /// Who watches, anywhere.
    pub watched: Arc<dyn WatchedChannels>,
    /// Who watches, here.
    pub watchers: Arc<Watchers>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is to be done.
    pub changed: Changed,
}

/// What changed since the task looked last.
#[derive(Default)]
pub struct Changed {
    state: Mutex<Pending>,
    some: Notify,
}

#[derive(Default)]
struct Pending {
    skus: BTreeSet<Sku>,
    /// When the oldest change happened.
    since: Option<Timestamp>,
    waiting: Vec<oneshot::Sender<()>>,
    /// Nobody publishes any more: nobody is to wait for it.
    is_over: bool,
}

impl Changed {
    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that these changed; what comes tells that it was published.
    fn note(&self, skus: impl IntoIterator<Item = Sku>, at: Option<Timestamp>) -> oneshot::Receiver<()> {
        let (done, published) = oneshot::channel();
        let mut pending = self.pending();
        pending.skus.extend(skus);
        pending.since = pending.since.into_iter().chain(at).min();
        if !pending.is_over {
            pending.waiting.push(done);
        }
        drop(pending);
        self.some.notify_one();
        published
    }

    /// Whether anybody publishes. Who waits when it is over learns that it won't be done.
    fn set_over(&self, is_over: bool) {
        let mut pending = self.pending();
        pending.is_over = is_over;
        if is_over {
            pending.waiting.clear();
        }
    }

    fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending())
    }

    fn put_back(&self, failed: Pending) {
        let mut pending = self.pending();
        pending.skus.extend(failed.skus);
        pending.since = pending.since.into_iter().chain(failed.since).min();
        if !pending.is_over {
            pending.waiting.extend(failed.waiting);
        }
        drop(pending);
        self.some.notify_one();
    }
}

#[async_trait]
impl EventHandler for ProductUpdates {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        let skus = skus_of(event)?;
        if skus.is_empty() {
            return Ok(());
        }
        let published = self.changed.note(skus, Some(event.time));
        published.await.map_err(|_| ConsumeError::Transient("products can't be read or sent now".to_owned()))
    }

    /// All that wait are published together, and read anew for it.
    fn in_order(&self) -> bool {
        false
    }

    async fn catch_up(&self) {
        for channel in self.watchers.channels() {
            if matches!(channel, Channel::Product(_) | Channel::Catalogue)
                && let Err(error) = update::resync(&self.io, &channel)
            {
                tracing::error!(%channel, %error, "watchers can't be told that they missed something");
            }
        }
    }
}

fn skus_of(event: &Event) -> Result<Vec<Sku>, ConsumeError> {
    let unreadable = |error| ConsumeError::Poison(format!("its data can't be read: {error}"));
    if event.event_type.starts_with("product.") {
        let product: ProductEvent = event.data().map_err(unreadable)?;
        return Ok(vec![product.sku]);
    }
    let reservation: ReservationEvent = event.data().map_err(unreadable)?;
    Ok(reservation.items.into_iter().map(|line| line.sku).collect())
}

/// The versions that this task gave: another number in between means that another gateway gave one.
type Given = HashMap<Channel, u64>;

impl ProductUpdates {
    /// Publishes what changes, until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        self.changed.set_over(false);
        self.publish_until(&stop).await;
        self.changed.set_over(true);
    }

    async fn publish_until(&self, stop: &CancellationToken) {
        let (mut given, mut failures) = (Given::new(), 0);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.some.notified() => {}
            }
            let began = tokio::time::Instant::now();
            let pending = self.changed.take();
            match self.publish(&pending, &mut given).await {
                Ok(again) => {
                    failures = 0;
                    for done in pending.waiting {
                        // Who waited may have been stopped.
                        let _ = done.send(());
                    }
                    if !again.is_empty() {
                        drop(self.changed.note(again, None));
                    }
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(failures, error = %observability::logs::error_chain(&*error), "product updates can't be published yet");
                    if failures < MAX_FAILURES {
                        self.changed.put_back(pending);
                    } else {
                        // Whoever waits is told by this, and the events come again later.
                        failures = 0;
                    }
                    let _ = tokio::time::timeout(RETRY_WAIT, stop.cancelled()).await;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(began + EVERY) => {}
            }
        }
    }

    /// Publishes these products where somebody watches; those that should be published once more.
    async fn publish(
        &self,
        pending: &Pending,
        given: &mut Given,
    ) -> Result<BTreeSet<Sku>, Box<dyn std::error::Error + Send + Sync>> {
        let all: Vec<Channel> =
            std::iter::once(Channel::Catalogue).chain(pending.skus.iter().cloned().map(Channel::Product)).collect();
        let watched = self.watched.are_watched(&all).await?;
        let mut wanted: Vec<Channel> =
            all.into_iter().zip(watched).filter(|(_, watched)| *watched).map(|(channel, _)| channel).collect();
        let Some(first) = wanted.first() else { return Ok(BTreeSet::new()) };
        let skus: Vec<Sku> = if *first == Channel::Catalogue {
            pending.skus.iter().cloned().collect()
        } else {
            wanted.iter().filter_map(sku_of).cloned().collect()
        };
        let products = self.products.find(&skus).await?;
        // A product that is not there has no update of its own.
        wanted.retain(|channel| sku_of(channel).is_none_or(|sku| products.contains_key(sku)));
        // After the products were read: a snapshot with this version was read later and is no older.
        let versions = self.versions.next(&wanted).await?;
        let mut again = BTreeSet::new();
        for (channel, version) in wanted.iter().zip(versions) {
            match sku_of(channel).and_then(|sku| products.get(sku)) {
                Some(product) => update::publish(&self.io, channel, version, Change::Data(product))?,
                None => {
                    let patch: BTreeMap<&Sku, Value> =
                        skus.iter().map(|sku| (sku, products.get(sku).map_or(Value::Null, catalogue::entry))).collect();
                    update::publish(&self.io, channel, version, Change::Patch(patch))?;
                }
            }
            let expected = given.insert(channel.clone(), version).map(|last| last + 1);
            if expected.is_some_and(|expected| expected != version) {
                // Two gateways believed to be the one, for a moment: whose data were older nobody knows.
                again.extend(sku_of(channel).map_or_else(|| skus.clone(), |sku| vec![sku.clone()]));
            }
        }
        super::stored(&self.io).await?;
        let late = pending.since.map_or(Duration::ZERO, |since| self.clock.now().since(since));
        let to_catalogue = u64::from(wanted.first() == Some(&Channel::Catalogue));
        metrics::published(metrics::CATALOGUE, to_catalogue, late);
        metrics::published(metrics::PRODUCT, wanted.len() as u64 - to_catalogue, late);
        Ok(again)
    }
}

fn sku_of(channel: &Channel) -> Option<&Sku> {
    match channel {
        Channel::Product(sku) => Some(sku),
        Channel::Order(_) | Channel::Catalogue | Channel::Dashboard => None,
    }
}
