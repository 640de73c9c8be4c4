//! Live updates: channels that a page subscribes to, with versions that have no gaps.
//!
//! - [`channel`]: their names;
//! - [`subscribe`]: what clients ask for, [`snapshots`] what they get at first, [`update`] what comes after;
//! - [`order_updates`], [`product_updates`]: from the events of the bus to updates; [`catalogue`]: products as channels show them;
//! - [`ports`]: versions, and who watches what, shared by all gateways; in [`memory`] or on Redis;
//! - [`watching`]: who watches what on this gateway; [`recheck`]: whether they still may;
//! - [`dashboard`]: figures every second, of [`sales`] and [`latency`];
//! - [`merge_patch`]: patches as RFC 7396 has them.
//!
//! Source: docs/adr/0029-live-updates.md.

pub mod catalogue;
pub mod channel;
pub mod dashboard;
pub mod latency;
pub mod memory;
pub mod merge_patch;
mod metrics;
pub mod order_updates;
pub mod ports;
pub mod product_updates;
pub mod recheck;
#[cfg(feature = "redis")]
pub mod redis;
pub mod sales;
pub mod snapshots;
pub mod subscribe;
pub mod update;
pub mod watching;

pub use channel::Channel;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::Clock;
use messaging::{BusError, Consumer, EventBus, EventHandler, Subscription};
use observability::logs::error_chain;
use service_kit::BackgroundTask;
use socketio::adapter::AdapterError;
use socketio::handler::{Ack, State};
use socketio::{Namespace, Socket, SocketIo};
use tokio_util::sync::CancellationToken;

use self::catalogue::Products;
use self::dashboard::Dashboard;
use self::order_updates::OrderUpdates;
use self::ports::{ChannelVersions, WATCH_EVERY, WatchedChannels};
use self::product_updates::{Changed, ProductUpdates};
use self::sales::Sales;
use self::snapshots::Snapshots;
use self::watching::{Watchers, Watching};
use crate::clients::Clients;

/// Wait before the store of channels is asked again.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for the cluster to store what was sent.
const STORED_WITHIN: Duration = Duration::from_secs(5);
/// Channels named to the store in one step.
const NAMED_AT_ONCE: usize = 1000;

/// Everything that handlers of sockets need of channels; given to the server as state. Cheap to clone; all clones share the same.
#[derive(Clone)]
pub struct LiveUpdates {
    snapshots: Arc<Snapshots>,
    versions: Arc<dyn ChannelVersions>,
    watched: Arc<dyn WatchedChannels>,
    watchers: Arc<Watchers>,
    sales: Arc<Sales>,
    dashboard: Arc<Dashboard>,
    clients: Clients,
    clock: Arc<dyn Clock>,
    answer_within: Duration,
}

/// For whom a gateway publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// For its own sockets: it is alone, or other gateways know nothing of it.
    Alone,
    /// For the sockets of all gateways: one of them publishes.
    Cluster,
}

impl LiveUpdates {
    /// Nobody watches anything yet. What is asked for a client may take `answer_within`.
    pub fn new(
        clients: Clients,
        versions: Arc<dyn ChannelVersions>,
        watched: Arc<dyn WatchedChannels>,
        clock: Arc<dyn Clock>,
        answer_within: Duration,
    ) -> Self {
        let (watchers, sales) = (Arc::new(Watchers::default()), Arc::new(Sales::default()));
        let dashboard = Arc::new(Dashboard::new(Arc::clone(&clock), Arc::clone(&sales), Arc::clone(&watchers)));
        let snapshots = Arc::new(Snapshots {
            clients: clients.clone(),
            products: Products::new(clients.clone()),
            versions: Arc::clone(&versions),
            dashboard: Arc::clone(&dashboard),
            catalogue: Mutex::default(),
        });
        Self { snapshots, versions, watched, watchers, sales, dashboard, clients, clock, answer_within }
    }

    /// Adds the events of channels to a namespace.
    #[must_use]
    pub fn mount(namespace: Namespace) -> Namespace {
        namespace
            .on("subscribe", subscribe::subscribe)
            .on("unsubscribe", subscribe::unsubscribe)
            .on_recover(recheck::recovered)
            .on_server_event(dashboard::SHARE_EVENT, share)
    }

    /// What the socket watches.
    fn watching(&self, socket: &Socket) -> Arc<Watching> {
        if let Some(watching) = socket.extension::<Watching>() {
            return watching;
        }
        socket.insert_extension(Watching::new(&self.watchers));
        // It is there: handlers of one socket run on one thread, up to their first await.
        socket.extension::<Watching>().unwrap_or_else(|| Arc::new(Watching::new(&self.watchers)))
    }

    /// The socket gets what is published from now on.
    fn join(&self, watching: &Watching, socket: &Socket, channel: &Channel) {
        watching.add(channel);
        socket.join(channel.room());
        if *channel == Channel::Dashboard {
            self.dashboard.wake();
        }
    }

    /// Declares the queues, and returns what goes on beside the sockets of this gateway, which `instance` names.
    ///
    /// # Errors
    /// When the bus can't be reached.
    pub async fn start(
        &self,
        io: &SocketIo,
        bus: &Arc<dyn EventBus>,
        reach: Reach,
        instance: &str,
        stop: &CancellationToken,
    ) -> Result<Vec<BackgroundTask>, BusError> {
        metrics::announce();
        self.dashboard.connect(io.clone());
        let orders = Arc::new(OrderUpdates {
            io: io.clone(),
            watched: Arc::clone(&self.watched),
            watchers: Arc::clone(&self.watchers),
            sales: Arc::clone(&self.sales),
            clock: Arc::clone(&self.clock),
        });
        let products = Arc::new(ProductUpdates {
            io: io.clone(),
            products: Products::new(self.clients.clone()),
            versions: Arc::clone(&self.versions),
            watched: Arc::clone(&self.watched),
            watchers: Arc::clone(&self.watchers),
            clock: Arc::clone(&self.clock),
            changed: Changed::default(),
        });
        let queue = |name: &str, bindings: &[&str]| match reach {
            Reach::Alone => Subscription::broadcast(name, instance, bindings),
            Reach::Cluster => Subscription::ordered(name, bindings),
        };
        let of_orders = queue(order_updates::QUEUE, order_updates::BINDINGS);
        let of_products = Subscription {
            prefetch: product_updates::PREFETCH,
            ..queue(product_updates::QUEUE, product_updates::BINDINGS)
        };
        let (watched, watchers) = (Arc::clone(&self.watched), Arc::clone(&self.watchers));
        Ok(vec![
            consume("gateway.live.orders consumer", bus, of_orders, orders, stop).await?,
            consume("gateway.live.products consumer", bus, of_products, Arc::clone(&products), stop).await?,
            task("gateway product updates", stop, move |stop| Arc::clone(&products).run(stop)),
            task("gateway watched channels", stop, move |stop| {
                name_watched(Arc::clone(&watched), Arc::clone(&watchers), stop)
            }),
            task("gateway dashboard", stop, {
                let dashboard = Arc::clone(&self.dashboard);
                move |stop| Arc::clone(&dashboard).run(stop)
            }),
        ])
    }
}

/// The socket gets no more.
fn leave(watching: &Watching, socket: &Socket, channel: &Channel) {
    socket.leave(channel.room());
    watching.remove(channel);
}

fn task<F>(
    name: &'static str,
    stop: &CancellationToken,
    run: impl Fn(CancellationToken) -> F + Send + Sync + 'static,
) -> BackgroundTask
where
    F: Future<Output = ()> + Send + 'static,
{
    let stop = stop.clone();
    BackgroundTask::new(name, move || run(stop.clone()))
}

async fn consume<H: EventHandler + 'static>(
    name: &'static str,
    bus: &Arc<dyn EventBus>,
    subscription: Subscription,
    handler: Arc<H>,
    stop: &CancellationToken,
) -> Result<BackgroundTask, BusError> {
    let consumer = Consumer::declare(bus, subscription).await?;
    Ok(task(name, stop, move |stop| {
        let handler: Arc<dyn EventHandler> = handler.clone();
        Arc::clone(&consumer).run(handler, stop)
    }))
}

/// Another gateway asks for this one's figures.
async fn share(ack: Ack, live: State<LiveUpdates>) {
    if let Err(error) = ack.send(&live.dashboard.share()) {
        tracing::error!(%error, "figures can't be encoded");
    }
}

/// Keeps what is watched here known as watched.
async fn name_watched(watched: Arc<dyn WatchedChannels>, watchers: Arc<Watchers>, stop: CancellationToken) {
    let mut wait = WATCH_EVERY;
    loop {
        if tokio::time::timeout(wait, stop.cancelled()).await.is_ok() {
            return;
        }
        wait = WATCH_EVERY;
        for channels in watchers.channels().chunks(NAMED_AT_ONCE) {
            if let Err(error) = watched.watch(channels).await {
                tracing::warn!(error = %error_chain(&error), "watched channels can't be named yet");
                wait = RETRY_WAIT;
                break;
            }
        }
    }
}

/// Waits until the cluster has stored what was sent so far: the event that caused it may be forgotten then.
fn stored(io: &SocketIo) -> impl Future<Output = Result<(), AdapterError>> + '_ {
    io.flush(STORED_WITHIN)
}
