//! One connection, shared by all: it pipelines what is asked at once, and comes back by itself.

use std::time::{Duration, Instant};

use observability::db::{self, PoolState, System};
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult,
    ScriptInvocation, Value,
};

use super::calls::{Failed, name_of};
use super::gate::{Gate, Pass};
use super::url::RedisUrl;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for an answer: above a slow fsync of the append-only file, below what callers wait.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time that a peer may leave what was sent unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to Redis.
#[derive(Clone)]
pub(super) struct Connection {
    client: Client,
    calls: db::Client,
    way: Way,
}

#[derive(Clone)]
enum Way {
    /// To whatever Redis is there.
    Direct(ConnectionManager),
    /// To one that is known to have everything.
    Guarded(Gate),
}

impl Connection {
    /// Connects when first asked for something.
    pub(super) fn lazy(url: &RedisUrl) -> RedisResult<Self> {
        let client = Client::open(url.info().set_tcp_settings(tcp_settings()))?;
        // No retries inside: whoever asks while Redis is away is told so at once, and every question tries anew.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Self { client, calls: calls_of(url), way: Way::Direct(manager) })
    }

    /// The same Redis, through a gate.
    pub(super) fn behind(&self, gate: Gate) -> Self {
        let watched = gate.downgrade();
        self.calls.watch_pool(move || Some(pool_state(watched()?)));
        Self { client: self.client.clone(), calls: self.calls.clone(), way: Way::Guarded(gate) }
    }

    /// A connection for a gate.
    pub(super) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// For subscriptions, which need connections of their own.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let ask = async {
            let mut link = self.link().await?;
            match command.query_async(&mut link).await {
                Err(error) if self.is_stale(&link, &error) => command.query_async(&mut self.link().await?).await,
                result => result,
            }
        };
        self.told(name_of(command), ask).await
    }

    /// `name` is what telemetry calls it: one of few.
    pub(super) async fn pipeline<T: FromRedisValue>(&self, name: &'static str, pipeline: &Pipeline) -> RedisResult<T> {
        let ask = async {
            let mut link = self.link().await?;
            match pipeline.query_async(&mut link).await {
                Err(error) if self.is_stale(&link, &error) => pipeline.query_async(&mut self.link().await?).await,
                result => result,
            }
        };
        self.told(name, ask).await
    }

    /// Runs a script by its digest, sending it first where Redis does not know it (yet, or after a restart). `name` is what
    /// telemetry calls it: one of few.
    ///
    /// A script is sent again only where it can't have run, or where running twice is as good as once: all of them compare
    /// the revision that they were decided on.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        name: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        let ask = async {
            let mut link = self.link().await?;
            match script.invoke_async(&mut link).await {
                Err(error) if self.is_stale(&link, &error) => script.invoke_async(&mut self.link().await?).await,
                result => result,
            }
        };
        self.told(name, ask).await
    }

    async fn told<T>(&self, name: &'static str, ask: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let ask = async { ask.await.map_err(Failed) };
        self.calls.call(name, ask).await.map_err(|Failed(error)| error)
    }

    async fn link(&self) -> RedisResult<Link> {
        match &self.way {
            Way::Direct(manager) => Ok(Link::Manager(manager.clone())),
            Way::Guarded(gate) => {
                let asked = Instant::now();
                let pass = gate.pass().await;
                self.calls.waited(asked.elapsed());
                pass.map(Link::Pass)
            }
        }
    }

    /// The connection was gone before the question, or the failure to connect is an old one: the next attempt connects anew.
    fn is_stale(&self, link: &Link, error: &RedisError) -> bool {
        let lost = error.is_connection_refusal() || error.is_connection_dropped();
        // A primary that became a replica: another one has the data now.
        let demoted = error.code() == Some("READONLY");
        if let (Way::Guarded(gate), Link::Pass(pass)) = (&self.way, link)
            && (lost || demoted)
        {
            gate.broke(pass);
        }
        lost
    }
}

/// What telemetry calls this Redis.
fn calls_of(url: &RedisUrl) -> db::Client {
    let info = url.info();
    let calls = db::Client::new(System::Redis, info.redis_settings().db().to_string()).owned_by("inventory");
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => calls.at(host, *port),
        _ => calls,
    }
}

/// All callers share one connection: it is in use while it is open.
fn pool_state(is_open: bool) -> PoolState {
    PoolState { idle: 0, used: u64::from(is_open), max: 1 }
}

/// What a question goes over.
enum Link {
    Manager(ConnectionManager),
    Pass(Pass),
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Manager(manager) => manager.req_packed_command(command),
            Self::Pass(pass) => pass.connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Manager(manager) => manager.req_packed_commands(pipeline, offset, count),
            Self::Pass(pass) => pass.connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Manager(manager) => manager.get_db(),
            Self::Pass(pass) => pass.connection.get_db(),
        }
    }
}

/// A peer that vanished without a word is noticed by what it does not acknowledge, and connected to anew.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_TIMEOUT);
    settings
}
