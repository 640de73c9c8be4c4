//! What connects the gateways: where sockets of others are reached, sessions are kept, and who is online is known.
//! `SOUK_REALTIME_URL` says which; nothing else differs.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock;
use observability::HealthCheck;
use service_kit::BackgroundTask;
use socketio::Builder;
use socketio::adapter::LocalAdapter;
#[cfg(feature = "redis")]
use socketio::adapter::RedisStreams;
use socketio::recovery::RecoveryOptions;
use tokio_util::sync::CancellationToken;

use super::channels::Reach;
use super::channels::memory::MemoryChannels;
use super::channels::ports::{ChannelVersions, WatchedChannels};
use super::presence::memory::MemoryPresence;
use super::presence::{PresenceStore, Timing};
#[cfg(feature = "redis")]
use super::{channels::redis::RedisChannels, cluster_metrics, presence::redis::RedisPresence, url::RedisUrl};

/// The schemes that this build has a driver for.
pub const SCHEMES: &str = if cfg!(feature = "redis") { "memory://, redis://" } else { "memory://" };
/// How long a client may take to come back to its session.
const RECOVERY: Duration = Duration::from_mins(2);

/// Why the gateways can't be connected by what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A scheme that this build has no driver for.
    #[error("SOUK_REALTIME_URL names {scheme}://, and this build has no driver for it; it has {SCHEMES}")]
    NoDriver {
        /// The scheme asked for.
        scheme: String,
    },
    /// The address can't be used. It is not repeated: it may hold a password.
    #[error("SOUK_REALTIME_URL can't be used")]
    Address(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// See the module.
pub struct Cluster {
    /// Who is online.
    pub presence: Arc<dyn PresenceStore>,
    channels: Channels,
    sockets: Sockets,
}

/// What gateways share about channels.
#[derive(Clone)]
pub struct Channels {
    /// Their versions.
    pub versions: Arc<dyn ChannelVersions>,
    /// Which of them anybody watches.
    pub watched: Arc<dyn WatchedChannels>,
}

impl Channels {
    fn of(store: Arc<impl ChannelVersions + WatchedChannels + 'static>) -> Self {
        Self { versions: store.clone(), watched: store }
    }
}

enum Sockets {
    /// Of this process alone.
    Local,
    #[cfg(feature = "redis")]
    Redis(RedisStreams),
}

impl Cluster {
    /// What `url` names, as this gateway sees it: `memory://` or `redis://…`. `max_len` is about how many events the stream in
    /// Redis keeps.
    ///
    /// # Errors
    /// [`ClusterError`]; a Redis that is away is none: it is waited for.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg_attr(not(feature = "redis"), expect(unused_variables, reason = "memory keeps no stream"))]
    pub fn connect(
        url: &str,
        max_len: usize,
        gateway: &str,
        timing: Timing,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClusterError> {
        match url.split_once("://").map_or(url, |(scheme, _)| scheme) {
            "memory" => {
                let channels = Channels::of(Arc::new(MemoryChannels::new(Arc::clone(&clock))));
                let presence = Arc::new(MemoryPresence::new(gateway, timing, clock));
                Ok(Self { presence, channels, sockets: Sockets::Local })
            }
            #[cfg(feature = "redis")]
            "redis" => Self::on_redis(url, max_len, gateway, timing, clock),
            scheme => Err(ClusterError::NoDriver { scheme: scheme.to_owned() }),
        }
    }

    #[cfg(feature = "redis")]
    fn on_redis(
        url: &str,
        max_len: usize,
        gateway: &str,
        timing: Timing,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClusterError> {
        let url: RedisUrl = url.parse().map_err(|error| ClusterError::Address(Box::new(error)))?;
        let streams = RedisStreams::builder(url.address())
            .stream_name(url.named("socket.io"))
            .channel_prefix(url.named("socket.io"))
            .session_key_prefix(url.named("sio:session:"))
            .max_len(max_len)
            .recovery(recovery())
            .build()
            .map_err(|error| ClusterError::Address(Box::new(error)))?;
        let presence =
            RedisPresence::new(&url, gateway, timing).map_err(|error| ClusterError::Address(Box::new(error)))?;
        let channels = RedisChannels::open(url.address(), &url.named("souk:live"), clock)
            .map_err(|error| ClusterError::Address(Box::new(error)))?;
        let channels = Channels::of(Arc::new(channels));
        Ok(Self { presence: Arc::new(presence), channels, sockets: Sockets::Redis(streams) })
    }

    /// Gives a server its way to the others.
    pub fn adapt(&self, builder: Builder) -> Builder {
        match &self.sockets {
            Sockets::Local => builder.adapter(LocalAdapter::with_recovery(recovery())),
            #[cfg(feature = "redis")]
            Sockets::Redis(streams) => builder.adapter(streams.clone()),
        }
    }

    /// What is known of channels.
    pub fn channels(&self) -> Channels {
        self.channels.clone()
    }

    /// For whose sockets this gateway publishes.
    pub fn reach(&self) -> Reach {
        match self.sockets {
            Sockets::Local => Reach::Alone,
            #[cfg(feature = "redis")]
            Sockets::Redis(_) => Reach::Cluster,
        }
    }

    /// Whether what connects the gateways answers. Without it, sockets hear what their own gateway has to tell, and REST all.
    pub fn check(&self) -> HealthCheck {
        let presence = Arc::clone(&self.presence);
        HealthCheck::optional("realtime", move || {
            let presence = Arc::clone(&presence);
            async move { presence.ping().await.map_err(|error| observability::logs::error_chain(&error)) }
        })
    }

    /// Keeps the metrics of what connects the gateways up to date.
    #[cfg_attr(not(feature = "redis"), expect(unused_variables, reason = "nothing to watch in memory"))]
    pub fn watch(&self, stop: &CancellationToken) -> Option<BackgroundTask> {
        match &self.sockets {
            Sockets::Local => None,
            #[cfg(feature = "redis")]
            Sockets::Redis(streams) => {
                let (streams, stop) = (streams.clone(), stop.clone());
                Some(BackgroundTask::new("gateway cluster metrics", move || {
                    cluster_metrics::run(streams.clone(), stop.clone())
                }))
            }
        }
    }
}

fn recovery() -> RecoveryOptions {
    RecoveryOptions { max_disconnection: RECOVERY, ..RecoveryOptions::default() }
}
