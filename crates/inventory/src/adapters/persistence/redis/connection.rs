//! One connection, shared by all: it pipelines what is asked at once, and comes back by itself.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ScriptInvocation};

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
    manager: ConnectionManager,
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
        Ok(Self { client, manager })
    }

    /// For subscriptions, which need connections of their own.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut manager = self.manager.clone();
        match command.query_async(&mut manager).await {
            Err(error) if is_stale(&error) => command.query_async(&mut manager).await,
            result => result,
        }
    }

    pub(super) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        let mut manager = self.manager.clone();
        match pipeline.query_async(&mut manager).await {
            Err(error) if is_stale(&error) => pipeline.query_async(&mut manager).await,
            result => result,
        }
    }

    /// Runs a script by its digest, sending it first where Redis does not know it (yet, or after a restart).
    ///
    /// A script is sent again only where it can't have run, or where running twice is as good as once: all of them compare
    /// the revision that they were decided on.
    pub(super) async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> RedisResult<T> {
        let mut manager = self.manager.clone();
        match script.invoke_async(&mut manager).await {
            Err(error) if is_stale(&error) => script.invoke_async(&mut manager).await,
            result => result,
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

/// The connection was gone before the question, or the failure to connect is an old one: the next attempt connects anew.
fn is_stale(error: &RedisError) -> bool {
    error.is_connection_refusal() || error.is_connection_dropped()
}
