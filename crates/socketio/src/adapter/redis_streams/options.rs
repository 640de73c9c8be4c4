//! What can be set, under the names and with the defaults of the original where it has them.

use std::time::Duration;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisError, io::tcp::TcpSettings};

use super::RedisStreams;
use crate::recovery::RecoveryOptions;

/// Longest time that a peer may leave what was sent unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(5);

/// What every part of the adapter goes by.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) stream_name: String,
    pub(super) stream_count: u32,
    pub(super) channel_prefix: String,
    pub(super) max_len: usize,
    pub(super) read_count: usize,
    pub(super) block_time: Duration,
    pub(super) session_key_prefix: String,
    pub(super) only_plaintext: bool,
    pub(super) recovery: Option<RecoveryOptions>,
    pub(super) max_queued: usize,
    pub(super) max_queued_bytes: usize,
    pub(super) close_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stream_name: "socket.io".to_owned(),
            stream_count: 1,
            channel_prefix: "socket.io".to_owned(),
            max_len: 10_000,
            read_count: 500,
            block_time: Duration::from_secs(5),
            session_key_prefix: "sio:session:".to_owned(),
            only_plaintext: false,
            recovery: None,
            max_queued: 100_000,
            max_queued_bytes: 64 << 20,
            close_timeout: Duration::from_secs(3),
        }
    }
}

/// Why the adapter can't be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address is not repeated, since it may hold a password.
    #[error("the address must be redis://[user:password@]host[:port][/database]")]
    Url(#[source] RedisError),
    /// There must be a stream.
    #[error("the number of streams must be at least 1")]
    NoStream,
    /// Reading must bring something.
    #[error("the number of entries read at once must be at least 1")]
    NothingRead,
    /// The thread or its runtime could not be had.
    #[error("the thread that talks to Redis can't be started")]
    Thread(#[source] std::io::Error),
}

/// Makes a [`RedisStreams`].
#[derive(Debug)]
pub struct RedisStreamsBuilder {
    url: String,
    options: Options,
}

impl RedisStreamsBuilder {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), options: Options::default() }
    }

    /// `streamName`: name of the stream, or what the names of several begin with. `socket.io` by default.
    pub fn stream_name(mut self, name: impl Into<String>) -> Self {
        self.options.stream_name = name.into();
        self
    }

    /// `streamCount`: over how many streams the namespaces are spread. 1 by default; the same on all nodes.
    pub fn stream_count(mut self, count: u32) -> Self {
        self.options.stream_count = count;
        self
    }

    /// `channelPrefix`: what the names of the pub/sub channels begin with. `socket.io` by default.
    pub fn channel_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.channel_prefix = prefix.into();
        self
    }

    /// `maxLen`: about how many entries a stream keeps. 10 000 by default. A client that missed more can't recover, and a
    /// node that was cut off for longer loses what it did not read.
    pub fn max_len(mut self, entries: usize) -> Self {
        self.options.max_len = entries;
        self
    }

    /// `readCount`: most entries read at once. 500 by default.
    pub fn read_count(mut self, entries: usize) -> Self {
        self.options.read_count = entries;
        self
    }

    /// `blockTimeInMs`: how long one read waits where there is nothing new. 5 seconds by default, at least a millisecond.
    pub fn block_time(mut self, time: Duration) -> Self {
        self.options.block_time = time.max(Duration::from_millis(1));
        self
    }

    /// `sessionKeyPrefix`: what the keys of sessions begin with. `sio:session:` by default.
    pub fn session_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.session_key_prefix = prefix.into();
        self
    }

    /// `onlyPlaintext`: entries are always JSON; binary data would be sent as Node's `Buffer` looks in JSON.
    pub fn only_plaintext(mut self, only: bool) -> Self {
        self.options.only_plaintext = only;
        self
    }

    /// Recovery of connection state, which is off by default. What the options keep in memory serves clients that come back
    /// soon; others are served from the stream, whose length is [`Self::max_len`].
    pub fn recovery(mut self, recovery: RecoveryOptions) -> Self {
        self.options.recovery = Some(recovery);
        self
    }

    /// Most messages, and most bytes of them, that wait while Redis is away; what comes then is dropped and counted.
    /// 100 000 and 64 MiB by default, per stream.
    pub fn max_queued(mut self, messages: usize, bytes: usize) -> Self {
        self.options.max_queued = messages;
        self.options.max_queued_bytes = bytes;
        self
    }

    /// How long the end may wait for what is still to be sent. 3 seconds by default.
    pub fn close_timeout(mut self, time: Duration) -> Self {
        self.options.close_timeout = time;
        self
    }

    /// The adapter. It connects once it is started.
    ///
    /// # Errors
    /// Where an option makes no sense or the process can't have a thread.
    pub fn build(self) -> Result<RedisStreams, BuildError> {
        if self.options.stream_count == 0 {
            return Err(BuildError::NoStream);
        }
        if self.options.read_count == 0 {
            return Err(BuildError::NothingRead);
        }
        let info = self.url.into_connection_info().map_err(BuildError::Url)?.set_tcp_settings(tcp_settings());
        let target = describe(&info);
        let client = Client::open(info).map_err(BuildError::Url)?;
        RedisStreams::new(client, target, self.options)
    }
}

/// The address without user and password, for logs.
fn describe(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("{host}:{port}/{}", info.redis_settings().db()),
        other => other.to_string(),
    }
}

/// A peer that vanished without a word is noticed by what it does not acknowledge.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_TIMEOUT);
    settings
}
