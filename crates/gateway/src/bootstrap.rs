//! The composition root: the only place that names concrete adapters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{HttpServer, web};
use contracts::Clock;
use messaging::{BusError, EventBus};
use observability::{Health, HealthCheck};
use service_kit::platform::UnknownNeighbour;
use service_kit::{BackgroundTask, Platform, host};
use socketio::SocketIo;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clients::{Channels, Clients};
use crate::extract::Access;
use crate::extract::credentials::CookieOrigins;
use crate::extract::session_cookie::SessionCookie;
use crate::live::consumer::{self, RealtimeConsumer};
use crate::live::feed::Live;
use crate::live::revocation_loader::RevocationLoader;
use crate::live::{MemoryHub, RealtimeHub, Revocations};
use crate::middleware;
use crate::realtime::channels::{LiveUpdates, order_updates, product_updates};
use crate::realtime::cluster::{Cluster, ClusterError};
use crate::realtime::drain::{Departures, Drain};
use crate::realtime::presence::{Presence, sockets};
use crate::realtime::{Desk, chat, endpoint, guard};
use crate::routes;
use crate::settings::Settings;

/// The queues that gateways of one cluster share.
pub const GROUPS: &[&str] = &[chat::push::QUEUE, order_updates::QUEUE, product_updates::QUEUE];

/// How long an idle connection is kept for the next request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The gateway, built and bound; await [`Gateway::server`] to serve.
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    /// Serves until its handle stops it.
    pub server: Server,
    /// What is to be done with its clients once it is asked to stop, before the server is stopped. Tasks end with it.
    pub drain: Drain,
    /// What goes on beside the requests.
    pub tasks: Vec<BackgroundTask>,
    /// What it depends on.
    pub checks: Vec<HealthCheck>,
}

/// Why the gateway could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A service that it needs can't be found.
    #[error(transparent)]
    UnknownNeighbour(#[from] UnknownNeighbour),
    /// The gateways can't be connected.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The queue could not be declared.
    #[error("the queue of the gateway could not be declared")]
    Subscribe(#[from] BusError),
    /// The address can't be listened on.
    #[error("{address} can't be listened on: is it taken by another process? SOUK_GATEWAY_ADDR names another one")]
    Bind {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Builds the gateway and binds its address. `health` is what `/health/ready` reports; the caller adds
/// [`Gateway::checks`] to it, runs [`Gateway::tasks`], and stops the server when `platform.stop` is cancelled.
///
/// # Errors
/// [`BootstrapError`]; nothing is left behind.
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
    health: Health,
) -> Result<Gateway, BootstrapError> {
    let identity = platform.identity("gateway");
    let clients = Clients::new(Channels {
        users: platform.channel(&identity, "users")?,
        orders: platform.channel(&identity, "orders")?,
        inventory: platform.channel(&identity, "inventory")?,
        payment: platform.channel(&identity, "payment")?,
        notification: platform.channel(&identity, "notification")?,
    });
    let instance = platform.ids.new_uuid().to_string();
    let (url, length) = (&settings.realtime_url, settings.realtime_stream_length);
    let cluster = Cluster::connect(url, length, &instance, settings.presence, Arc::clone(&platform.clock))?;
    let presence = Presence::new(&instance, Arc::clone(&cluster.presence), settings.presence);
    let hub: Arc<dyn RealtimeHub> = Arc::new(MemoryHub::default());
    let revocations = Arc::new(Revocations::new(Arc::clone(&platform.clock)));
    let cookies = CookieOrigins::new(settings.cors_origins.clone());
    let access = Arc::new(Access::new(platform.user_tokens(&identity)?, Arc::clone(&revocations), cookies));
    // Cancelled only when the clients have been moved elsewhere: until then they are told what happens.
    let ended = CancellationToken::new();
    let departures = Arc::new(Departures::default());
    let live = Arc::new(Live {
        hub: Arc::clone(&hub),
        clients: clients.clone(),
        access: Arc::clone(&access),
        clock: Arc::clone(&platform.clock),
        draining: platform.stop.clone(),
        departures: Arc::clone(&departures),
        stop: ended.clone(),
    });
    let desk = Desk {
        clients: clients.clone(),
        access: Arc::clone(&access),
        sessions: Arc::default(),
        absent: Arc::default(),
        chat: Arc::default(),
        live: Arc::clone(&live),
        presence: presence.clone(),
        clock: Arc::clone(&platform.clock),
        answer_within: settings.request_timeout,
    };
    let channels = cluster.channels();
    let updates = LiveUpdates::new(
        clients.clone(),
        channels.versions,
        channels.watched,
        Arc::clone(&platform.clock),
        settings.request_timeout,
    );
    let io = endpoint::build(cluster.adapt(SocketIo::builder()).state(updates.clone()), &desk);
    let (server, address) = bind(settings, &desk, io.clone(), health)?;
    // Declared before the list is loaded: what is revoked in between is in the queue.
    let reload = Arc::new(Notify::new());
    let realtime = Arc::new(RealtimeConsumer {
        hub: Arc::clone(&hub),
        revocations: Arc::clone(&revocations),
        reload: Arc::clone(&reload),
        clock: Arc::clone(&platform.clock),
        desk: desk.clone(),
        io: io.clone(),
    });
    let consume = consumer::subscribe(&bus, &instance, realtime, ended.clone()).await?;
    let push_chat = chat::push::subscribe(&bus, io.clone(), ended.clone()).await?;
    let mut tasks = updates.start(&io, &bus, cluster.reach(), &instance, &ended).await?;
    let ids = Arc::clone(&platform.ids);
    let loader =
        RevocationLoader { clients, revocations: Arc::clone(&revocations), hub, reload, desk: desk.clone(), ids };
    tasks.extend([
        load_revocations(loader, platform.stop.clone()),
        consume,
        push_chat,
        guard_sockets(desk, ended.clone()),
        presence.run(sockets::announcer(&io), ended.clone()),
        run_sockets(io.clone(), ended.clone()),
    ]);
    tasks.extend(cluster.watch(&ended));
    let mut checks = checks(bus, revocations);
    checks.push(cluster.check());
    let drain = Drain { io, departures, pace: settings.drain, ended };
    Ok(Gateway { address, server, drain, tasks, checks })
}

fn bind(
    settings: &Settings,
    desk: &Desk,
    io: SocketIo,
    health: Health,
) -> Result<(Server, SocketAddr), BootstrapError> {
    let (access, live) = (web::Data::from(Arc::clone(&desk.access)), web::Data::from(Arc::clone(&desk.live)));
    let chat = web::Data::from(Arc::clone(&desk.chat));
    let clock: web::Data<dyn Clock> = web::Data::from(Arc::clone(&desk.clock));
    let (clients, health) = (web::Data::new(desk.clients.clone()), web::Data::new(health));
    let io_data = web::Data::new(io.clone());
    let cookies = web::Data::new(SessionCookie { secure: !settings.address.ip().is_loopback() });
    let for_workers = settings.clone();
    let server = HttpServer::new(move || {
        // Made once by each worker, on the runtime that is its own.
        observability::metrics::runtime::watch(&tokio::runtime::Handle::current());
        middleware::pipeline(&for_workers)
            .app_data(clients.clone())
            .app_data(access.clone())
            .app_data(live.clone())
            .app_data(chat.clone())
            .app_data(clock.clone())
            .app_data(cookies.clone())
            .app_data(health.clone())
            .app_data(io_data.clone())
            .configure(|config| io.configure(config))
            .configure(routes::configure)
    });
    let server = match settings.workers {
        Some(workers) => server.workers(workers.get()),
        None => server,
    };
    let address = settings.address;
    let server = server
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        // Who closes its side has gone: what waits for it ends at once, and not at the next write.
        .h1_allow_half_closed(false)
        .shutdown_timeout(host::GRACE.as_secs())
        .disable_signals()
        // A client that takes no data does not keep its connection for ever.
        .on_connect(socketio::on_connect)
        .bind(address)
        .map_err(|source| BootstrapError::Bind { address, source })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

fn load_revocations(loader: RevocationLoader, stop: CancellationToken) -> BackgroundTask {
    BackgroundTask::new("gateway revocation list", move || loader.clone().run(stop.clone()))
}

fn guard_sockets(desk: Desk, stop: CancellationToken) -> BackgroundTask {
    BackgroundTask::new("gateway socket guard", move || guard::run(desk.clone(), stop.clone()))
}

fn run_sockets(io: SocketIo, ended: CancellationToken) -> BackgroundTask {
    BackgroundTask::new("gateway sockets", move || endpoint::run(io.clone(), ended.clone()))
}

fn checks(bus: Arc<dyn EventBus>, revocations: Arc<Revocations>) -> Vec<HealthCheck> {
    vec![
        HealthCheck::critical("revocations", move || {
            let loaded = revocations.is_loaded();
            async move { if loaded { Ok(()) } else { Err("not loaded yet".to_owned()) } }
        }),
        // Without it nothing comes live, but everything can still be read.
        HealthCheck::optional("broker", move || {
            let bus = Arc::clone(&bus);
            async move { bus.ping().await.map_err(|error| error.to_string()) }
        }),
    ]
}
