//! The ports on Redis: for gateways that share one.
//!
//! | key | what |
//! | --- | --- |
//! | `<prefix>:version:<channel>` | the channel's version, a number |
//! | `<prefix>:watched:<channel>` | there while anybody watches the channel |

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Clock;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, Pipeline, RedisError, RedisResult};

use super::Channel;
use super::ports::{ChannelStoreUnavailable, ChannelVersions, WATCHED_FOR, WatchedChannels};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for an answer: above a slow fsync of the append-only file.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Versions and watched channels under one prefix of one Redis.
pub struct RedisChannels {
    connection: ConnectionManager,
    prefix: String,
    clock: Arc<dyn Clock>,
}

impl RedisChannels {
    /// Connects when first asked for something, and again whenever the connection was lost. Must be called inside a Tokio
    /// runtime. `clock` tells where a version begins.
    ///
    /// # Errors
    /// The driver refused the address.
    pub fn open(url: &str, prefix: &str, clock: Arc<dyn Clock>) -> RedisResult<Self> {
        // No retries inside: whoever asks while Redis is away is told so, and every question tries anew.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?;
        Ok(Self { connection, prefix: prefix.to_owned(), clock })
    }

    fn version_key(&self, channel: &Channel) -> String {
        format!("{}:version:{channel}", self.prefix)
    }

    fn watched_key(&self, channel: &Channel) -> String {
        format!("{}:watched:{channel}", self.prefix)
    }

    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, ChannelStoreUnavailable> {
        let mut connection = self.connection.clone();
        let answer = match pipeline.query_async(&mut connection).await {
            // The connection was gone before the question: the next attempt connects anew.
            Err(error) if is_stale(&error) => pipeline.query_async(&mut connection).await,
            answer => answer,
        };
        answer.map_err(|error| ChannelStoreUnavailable(Box::new(error)))
    }

    /// `SET … NX` for each channel, then `command` on its key: the answers of the latter.
    async fn on_versions(&self, command: &str, channels: &[Channel]) -> Result<Vec<u64>, ChannelStoreUnavailable> {
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.clock.now().unix_ms();
        let mut pipeline = Pipeline::with_capacity(channels.len() * 2);
        for channel in channels {
            let key = self.version_key(channel);
            pipeline.cmd("SET").arg(&key).arg(first).arg("NX").ignore();
            pipeline.cmd(command).arg(key);
        }
        self.ask(&pipeline).await
    }
}

fn is_stale(error: &RedisError) -> bool {
    error.is_connection_refusal() || error.is_connection_dropped()
}

#[async_trait]
impl ChannelVersions for RedisChannels {
    async fn next(&self, channels: &[Channel]) -> Result<Vec<u64>, ChannelStoreUnavailable> {
        self.on_versions("INCR", channels).await
    }

    async fn current(&self, channels: &[Channel]) -> Result<Vec<u64>, ChannelStoreUnavailable> {
        self.on_versions("GET", channels).await
    }
}

#[async_trait]
impl WatchedChannels for RedisChannels {
    async fn watch(&self, channels: &[Channel]) -> Result<(), ChannelStoreUnavailable> {
        if channels.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::with_capacity(channels.len());
        for channel in channels {
            pipeline.cmd("SET").arg(self.watched_key(channel)).arg(1).arg("EX").arg(WATCHED_FOR.as_secs()).ignore();
        }
        self.ask(&pipeline).await
    }

    async fn are_watched(&self, channels: &[Channel]) -> Result<Vec<bool>, ChannelStoreUnavailable> {
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(channels.len());
        for channel in channels {
            pipeline.cmd("EXISTS").arg(self.watched_key(channel));
        }
        self.ask(&pipeline).await
    }
}
