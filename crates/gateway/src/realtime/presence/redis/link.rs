//! One connection, shared by all; it comes back by itself.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult};

use crate::realtime::url::RedisUrl;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for an answer: presence that comes later is none.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time that a peer may leave what was sent unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Link(ConnectionManager);

impl Link {
    /// Connects when first asked for something.
    pub(super) fn lazy(url: &RedisUrl) -> RedisResult<Self> {
        let client = Client::open(url.info().set_tcp_settings(tcp_settings()))?;
        // No retries inside: whoever asks while Redis is away is told so at once, and every question tries anew.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        ConnectionManager::new_lazy_with_config(client, config).map(Self)
    }

    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match command.query_async(&mut self.0.clone()).await {
            Err(error) if is_stale(&error) => command.query_async(&mut self.0.clone()).await,
            answer => answer,
        }
    }

    pub(super) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        match pipeline.query_async(&mut self.0.clone()).await {
            // The steps can be done twice: who came or went by the first attempt alone is then told by nobody.
            Err(error) if is_stale(&error) => pipeline.query_async(&mut self.0.clone()).await,
            answer => answer,
        }
    }
}

/// The connection was gone before the question, or the failure to connect is an old one: the next attempt connects anew.
fn is_stale(error: &RedisError) -> bool {
    error.is_connection_refusal() || error.is_connection_dropped()
}

/// A peer that vanished without a word is noticed by what it does not acknowledge.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_TIMEOUT);
    settings
}
