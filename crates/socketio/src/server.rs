//! The server: how it is built, mounted and used.

use std::{future::Future, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use actix_web::{HttpRequest, web};

use crate::{
    Emitter, Snapshot,
    adapter::{Adapter, AdapterError, LocalAdapter},
    bare,
    config::Config,
    drain,
    engine::{Cors, Forbidden, http},
    hub::{Hub, Namespaces, Protocol},
    limits::Limits,
    namespace::Namespace,
    node::LocalNode,
};

/// A Socket.IO server. Cheap to clone; all clones are one server. May be used from any thread.
///
/// It is mounted by [`Self::configure`] on every worker of an actix server, and works as long as that runs.
#[derive(Clone)]
pub struct SocketIo(pub(crate) Arc<Hub>);

/// The namespace is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no namespace {0:?} is open")]
pub struct UnknownNamespace(pub String);

impl SocketIo {
    /// A server with the original's defaults, to be changed.
    pub fn builder() -> Builder {
        Builder { config: Config::default(), namespaces: Vec::new(), adapter: None }
    }

    /// Mounts the endpoint, under [`Builder::path`] below the scope it is called for.
    ///
    /// ```no_run
    /// use actix_web::{App, HttpServer};
    /// use socketio::{Namespace, SocketIo};
    ///
    /// # #[actix_web::main]
    /// # async fn main() -> std::io::Result<()> {
    /// let io = SocketIo::builder().namespace(Namespace::new("/")).build();
    /// HttpServer::new(move || App::new().configure(|config| io.configure(config)))
    ///     // Lets the server notice at once when a polling client goes away.
    ///     .h1_allow_half_closed(false)
    ///     .bind(("127.0.0.1", 3000))?
    ///     .run()
    ///     .await
    /// # }
    /// ```
    pub fn configure(&self, config: &mut web::ServiceConfig) {
        mount(&self.0, config);
    }

    /// The sockets of a namespace, to send to.
    ///
    /// # Errors
    /// It was not declared, or is dynamic and no client has asked for it on this node.
    pub fn of(&self, namespace: &str) -> Result<Emitter, UnknownNamespace> {
        let found = self.0.namespaces().and_then(|namespaces| namespaces.find(namespace));
        let found = found.ok_or_else(|| UnknownNamespace(namespace.to_owned()))?;
        Ok(Emitter::new(self.0.clone(), found))
    }

    /// Names of the namespaces that are open on this node.
    pub fn namespaces(&self) -> Vec<String> {
        let all = self.0.namespaces().map(Namespaces::all).unwrap_or_default();
        all.iter().map(|namespace| namespace.name.to_string()).collect()
    }

    /// What the server has done so far, and what it holds now.
    pub fn stats(&self) -> Snapshot {
        self.0.stats.snapshot()
    }

    /// Runs an actix server until SIGINT or SIGTERM, then [closes](Self::close) this one, and stops actix's gracefully.
    ///
    /// actix waits for open connections when it stops, and a WebSocket is one; so its own handling of signals has to be
    /// off: [`actix_web::HttpServer::disable_signals`].
    ///
    /// # Errors
    /// Those of the server, or the signals can't be listened for.
    pub async fn run_until_signal(&self, server: actix_web::dev::Server) -> std::io::Result<()> {
        let handle = server.handle();
        let mut server = std::pin::pin!(server);
        tokio::select! {
            // Stopped by somebody else.
            served = &mut server => return served,
            signal = stop_signal() => signal?,
        }
        self.close().await;
        let (served, ()) = futures::join!(server, handle.stop(true));
        served
    }

    /// Empties the server before it is replaced: new connections are refused from this call on (a 503 with `Retry-After`),
    /// and those that are there are closed in random order, about `per_second` of them. Each gets what waits for it first. To the
    /// client it looks like a lost network (`transport close`): it connects anew by itself, to wherever that leads, and recovers its
    /// session there. Here the reason is [`crate::DisconnectReason::ServerShuttingDown`].
    ///
    /// Done when the clients have been told, except those that take nothing for [`Builder::ping_timeout`]; [`Self::close`] is for
    /// what is left then. Dropped before, it closes no more of them, and new ones are let in again.
    ///
    /// ```no_run
    /// # use std::{num::NonZeroU32, time::Duration};
    /// # async fn example(io: socketio::SocketIo) {
    /// let rate = NonZeroU32::new(500).expect("not zero");
    /// // Whoever is still here after a minute is closed along with the server.
    /// let _ = tokio::time::timeout(Duration::from_mins(1), io.drain(rate)).await;
    /// io.close().await;
    /// # }
    /// ```
    pub fn drain(&self, per_second: NonZeroU32) -> impl Future<Output = ()> + Send + use<> {
        drain::run(&self.0, per_second)
    }

    /// Waits until the store of the cluster has everything that was broadcast before this call, on this node and to all
    /// namespaces: then it reaches its sockets though this node dies. At once where there is no such store.
    ///
    /// # Errors
    /// It was not stored within this time, though it may be yet; or some of it was dropped, because too much waited already
    /// (`max_queued` of the adapter). The latter is noticed as long as what waited then still
    /// waits, so call it right after sending.
    pub async fn flush(&self, within: Duration) -> Result<(), AdapterError> {
        let Some(namespaces) = self.0.namespaces() else { return Ok(()) };
        let late = || AdapterError::Unavailable(format!("not stored within {within:?}"));
        tokio::time::timeout(within, namespaces.adapter.flush()).await.unwrap_or_else(|_| Err(late()))
    }

    /// Disconnects all clients (`server shutting down`: they may recover elsewhere), refuses new ones, sends what waits
    /// for other nodes, and leaves the cluster.
    pub async fn close(&self) {
        self.0.close_all();
        if let Some(namespaces) = self.0.namespaces() {
            namespaces.adapter.close().await;
        }
    }
}

/// SIGINT or SIGTERM; Ctrl-C where there are no such signals.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

fn mount(hub: &Arc<Hub>, config: &mut web::ServiceConfig) {
    let path = hub.config.path.trim_end_matches('/');
    for path in [path.to_owned(), format!("{path}/")] {
        let hub = hub.clone();
        config.service(
            web::resource(path)
                .to(move |request: HttpRequest, payload: web::Payload| http::serve(hub.clone(), request, payload)),
        );
    }
}

macro_rules! engine_settings {
    () => {
        /// Where the endpoint is; `/socket.io` unless said, with and without a slash at its end.
        #[must_use]
        pub fn path(mut self, path: impl Into<String>) -> Self {
            self.config.path = path.into();
            self
        }

        /// Time between an answer to a ping and the next ping; 25 s unless said.
        #[must_use]
        pub fn ping_interval(mut self, interval: Duration) -> Self {
            self.config.ping_interval = interval;
            self
        }

        /// Time a client has to answer a ping; 20 s unless said.
        #[must_use]
        pub fn ping_timeout(mut self, timeout: Duration) -> Self {
            self.config.ping_timeout = timeout;
            self
        }

        /// Bytes of one message, and of the body of one polling request, that a client may send; 1 MB unless said.
        #[must_use]
        pub fn max_payload(mut self, bytes: usize) -> Self {
            self.config.max_payload = bytes;
            self
        }

        /// Time a client has to switch to WebSocket after it began to; 10 s unless said.
        #[must_use]
        pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
            self.config.upgrade_timeout = timeout;
            self
        }

        /// Serves WebSocket alone, from the first request: a cluster of such servers needs no sticky sessions.
        #[must_use]
        pub fn websocket_only(mut self) -> Self {
            self.config.polling = false;
            self
        }

        /// Serves long polling alone.
        #[must_use]
        pub fn polling_only(mut self) -> Self {
            self.config.websocket = false;
            self
        }

        /// Which pages may use the polling transport from other origins; none unless said.
        #[must_use]
        pub fn cors(mut self, cors: Cors) -> Self {
            self.config.cors = Some(cors);
            self
        }

        /// Asked before a connection is opened, upgrades of one excepted. A refusal is a 403 with its message.
        #[must_use]
        pub fn allow_request<F, Fut>(mut self, allow: F) -> Self
        where
            F: Fn(HttpRequest) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<(), Forbidden>> + 'static,
        {
            self.config.allow_request = Some(Box::new(move |request| Box::pin(allow(request))));
            self
        }

        /// How to tell a client's address, for [`Limits::connections_per_ip`]: the peer's unless said. Behind a proxy that
        /// sets a header, read that header, and only there.
        #[must_use]
        pub fn client_ip(mut self, find: impl Fn(&HttpRequest) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
            self.config.client_ip = Some(Box::new(find));
            self
        }

        /// Bounds on what clients may do.
        #[must_use]
        pub fn limits(mut self, limits: Limits) -> Self {
            self.config.limits = limits;
            self
        }
    };
}

/// Collects the settings and namespaces of a server.
pub struct Builder {
    config: Config,
    namespaces: Vec<Namespace>,
    adapter: Option<Box<dyn Adapter>>,
}

impl Builder {
    engine_settings!();

    /// Time a client has to join a namespace after it has connected; 45 s unless said.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// Adds a namespace. One of the same name takes the place of an earlier one.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespaces.push(namespace);
        self
    }

    /// Adds a value for the extractor [`crate::handler::State`]; one for each type.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.config.state.insert(std::any::TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// How nodes reach each other, and where sessions are kept; one node without recovery unless said.
    #[must_use]
    pub fn adapter(mut self, adapter: impl Adapter) -> Self {
        self.adapter = Some(Box::new(adapter));
        self
    }

    /// The server. Its adapter begins to work.
    pub fn build(self) -> SocketIo {
        let adapter: Arc<dyn Adapter> = self.adapter.unwrap_or_else(|| Box::new(LocalAdapter::new())).into();
        let namespaces = Namespaces::new(adapter.clone(), self.namespaces);
        let hub = Hub::new(self.config, Protocol::SocketIo(namespaces));
        let node = Arc::new(LocalNode::default());
        node.connect(&hub);
        adapter.start(node);
        if let Some(namespaces) = hub.namespaces() {
            namespaces.announce();
        }
        SocketIo(hub)
    }
}

/// A bare Engine.IO server. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct EngineIo(Arc<Hub>);

impl EngineIo {
    /// A server with the original's defaults, to be changed.
    pub fn builder() -> EngineBuilder {
        EngineBuilder { config: Config { path: "/engine.io".to_owned(), ..Config::default() } }
    }

    /// Mounts the endpoint, under [`EngineBuilder::path`] (`/engine.io` unless said).
    pub fn configure(&self, config: &mut web::ServiceConfig) {
        mount(&self.0, config);
    }

    /// What the server has done so far, and what it holds now.
    pub fn stats(&self) -> Snapshot {
        self.0.stats.snapshot()
    }

    /// Disconnects all clients and refuses new ones.
    pub fn close(&self) {
        self.0.close_all();
    }
}

/// Collects the settings of a bare server.
pub struct EngineBuilder {
    config: Config,
}

impl EngineBuilder {
    engine_settings!();

    /// The server; `on_message` is called for every message of every client.
    pub fn build(self, on_message: impl Fn(bare::Connection, bare::Message) + Send + Sync + 'static) -> EngineIo {
        EngineIo(Hub::new(self.config, Protocol::Bare(Box::new(on_message))))
    }
}
