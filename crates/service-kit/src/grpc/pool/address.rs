//! One address of a service: its connection, its load, and whether it can be reached.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::backoff::Backoff;
use crate::grpc::client::MAX_HEADER_BYTES;

/// How long a connection may take: neighbours are near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a connection is tried, also an idle one, and how long the answer may take: a peer that vanished without a word
/// is noticed within their sum.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an address that could not be connected to is left alone. Short: a neighbour that is back should be found at
/// once, and a refused connection costs next to nothing.
const LEFT_ALONE: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };

/// An address; see the module.
pub(super) struct Address {
    channel: Channel,
    in_work: AtomicUsize,
    health: Arc<Health>,
}

/// Whether an address could be connected to, last time; shared with those who try.
struct Health {
    to: Uri,
    reachable: AtomicBool,
}

impl Address {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let health = Arc::new(Health { to: endpoint.uri().clone(), reachable: AtomicBool::new(true) });
        let channel = endpoint
            .clone()
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(Connector { health: Arc::clone(&health) });
        Self { channel, in_work: AtomicUsize::new(0), health }
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Calls in work.
    pub(super) fn load(&self) -> usize {
        self.in_work.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to connect, if there was one, succeeded.
    pub(super) fn is_live(&self) -> bool {
        self.health.reachable.load(Ordering::Acquire)
    }

    /// Counts a call until the guard is dropped.
    pub(super) fn count(&self) -> impl Drop + use<'_> {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }
}

struct Counted<'a>(&'a Address);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Health {
    /// Leaves the address alone, and begins to look for its return.
    fn failed(self: &Arc<Self>, error: &io::Error) {
        if self.reachable.swap(false, Ordering::AcqRel) {
            tracing::warn!(address = %self.to, %error, "a neighbour can't be reached");
            tokio::spawn(look_for_return(Arc::downgrade(self), self.to.clone()));
        }
    }
}

/// Knocks until somebody opens, or nobody asks any more: no call has to find out, and none waits for it.
async fn look_for_return(health: Weak<Health>, to: Uri) {
    let jitter = RandomState::new();
    for failures in 1.. {
        tokio::time::sleep(LEFT_ALONE.wait(failures, jitter.hash_one(failures))).await;
        let found = connect(&to).await.is_ok();
        let Some(health) = health.upgrade() else { return };
        if found {
            tracing::info!(address = %to, "a neighbour can be reached again");
            health.reachable.store(true, Ordering::Release);
            return;
        }
    }
}

/// Connects, and takes note of how that went.
struct Connector {
    health: Arc<Health>,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let health = Arc::clone(&self.health);
        Box::pin(async move {
            // Calls that queued while another failed need not each find out for themselves.
            if !health.reachable.load(Ordering::Acquire) {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "it could not be reached a moment ago"));
            }
            connect(&to).await.map(TokioIo::new).inspect_err(|error| health.failed(error))
        })
    }
}

async fn connect(to: &Uri) -> io::Result<TcpStream> {
    let host = to.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, to.port_u16().unwrap_or(80)));
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, stream).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
