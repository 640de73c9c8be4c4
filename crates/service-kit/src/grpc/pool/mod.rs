//! Calls to a service at one or several addresses: spread over those that live, refused at once when none does, repeated
//! when that is safe.
//!
//! - An address that can't be connected to is left alone for a moment ([`address`]); while all are, a call fails at once.
//! - A call that was never sent goes to another address, whatever it is.
//! - A call that was lost on its way, or that a server or a proxy turned away unseen, is sent again only if its .proto file
//!   says that nothing happens twice ([`contracts::grpc::is_repeatable`]), at most [`MAX_SENT`] times, within the time that
//!   is left, after a jittered wait, and only while repeats are few ([`budget`]).
//! - What a service itself refuses, with a reason, is never repeated here.
//!
//! Source: docs/adr/0014-calls-between-services.md.

mod address;
mod budget;

use std::error::Error as StdError;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tower::ServiceExt as _;

use self::address::Address;
use self::budget::Budget;
use super::deadline;

/// Most times that one call is sent.
const MAX_SENT: u32 = 3;
/// The wait before a call is sent again is random, between nothing and this; doubled for each further time.
const FIRST_WAIT: Duration = Duration::from_millis(25);

type BoxError = Box<dyn StdError + Send + Sync>;

/// A service at its addresses; clones share what is known of them.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    addresses: Vec<Address>,
    next: AtomicUsize,
    budget: Budget,
    jitter: RandomState,
}

/// No address of a service can be connected to.
#[derive(Debug, thiserror::Error)]
#[error("no address of the service can be reached")]
struct NobodyThere;

impl Pool {
    /// Connects when first used.
    pub fn new(endpoints: &[Endpoint]) -> Self {
        Self(Arc::new(Inner {
            addresses: endpoints.iter().map(Address::new).collect(),
            next: AtomicUsize::new(0),
            budget: Budget::default(),
            jitter: RandomState::new(),
        }))
    }
}

impl tower::Service<Request<Body>> for Pool {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pool = Arc::clone(&self.0);
        Box::pin(async move {
            let timeout = request.headers().get("grpc-timeout").and_then(|value| value.to_str().ok());
            let left = timeout.and_then(deadline::parse_header).unwrap_or(deadline::DEFAULT_TIMEOUT);
            let until = Instant::now() + left;
            // The transport's own timeout begins only once there is a connection.
            tokio::time::timeout_at(until, pool.send(request, until))
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded("the call took longer than it may").into()))
        })
    }
}

/// How an attempt ended that another one may mend.
enum Lost {
    /// It was never sent.
    Unsent(BoxError),
    /// It may have been done, or not.
    OnItsWay(BoxError),
    /// It was turned away by something that is not the service.
    TurnedAway(Response<Body>),
}

impl Inner {
    async fn send(&self, request: Request<Body>, until: Instant) -> Result<Response<Body>, BoxError> {
        let repeatable = contracts::grpc::is_repeatable(request.uri().path());
        self.budget.earn();
        if !repeatable && self.addresses.len() == 1 {
            let index = self.pick(&[]).ok_or_else(nobody_there)?;
            return match attempt(&self.addresses[index], request).await {
                Ok(response) | Err(Lost::TurnedAway(response)) => Ok(response),
                Err(Lost::Unsent(error)) => Err(error),
                Err(Lost::OnItsWay(error)) => Err(unavailable(error)),
            };
        }
        let kept = Kept::of(request).await?;
        let (mut sent, mut tried) = (0, Vec::with_capacity(self.addresses.len()));
        loop {
            let Some(index) = self.pick(&tried) else { return Err(nobody_there()) };
            let lost = match attempt(&self.addresses[index], kept.request(sent > 0, until)).await {
                Ok(response) => return Ok(response),
                Err(lost) => lost,
            };
            if let Lost::Unsent(error) = lost {
                // Nobody was troubled by it: it costs no budget, and each address is asked once.
                tried.push(index);
                if tried.len() == self.addresses.len() {
                    return Err(error);
                }
                continue;
            }
            sent += 1;
            let wait = self.wait(sent);
            let again = repeatable && sent < MAX_SENT && Instant::now() + wait < until && self.budget.spend();
            if !again {
                return match lost {
                    Lost::TurnedAway(response) => Ok(response),
                    Lost::Unsent(error) => Err(error),
                    Lost::OnItsWay(error) => Err(unavailable(error)),
                };
            }
            tracing::debug!(method = kept.path(), sent, "a call is sent again");
            tokio::time::sleep(wait).await;
        }
    }

    /// The live address with the fewest calls in work, other than those tried; each in its turn among equals.
    fn pick(&self, tried: &[usize]) -> Option<usize> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.addresses.len();
        let in_turn = (0..count).map(|n| first.wrapping_add(n) % count);
        in_turn
            .filter(|index| !tried.contains(index) && self.addresses[*index].is_live())
            .min_by_key(|index| self.addresses[*index].load())
    }

    fn wait(&self, sent: u32) -> Duration {
        let most = FIRST_WAIT * 2_u32.pow(sent.saturating_sub(1).min(8));
        let entropy = self.jitter.hash_one(self.next.load(Ordering::Relaxed));
        Duration::from_micros(entropy % most.as_micros().max(1) as u64)
    }
}

async fn attempt(address: &Address, request: Request<Body>) -> Result<Response<Body>, Lost> {
    let _counted = address.count();
    match address.channel().oneshot(request).await {
        Ok(response) if was_turned_away(&response) => Err(Lost::TurnedAway(response)),
        Ok(response) => Ok(response),
        Err(error) if is_caused_by::<TimeoutExpired>(&error) => Err(Lost::OnItsWay(error.into())),
        Err(error) if is_caused_by::<ConnectError>(&error) => Err(Lost::Unsent(error.into())),
        Err(error) => Err(Lost::OnItsWay(error.into())),
    }
}

/// Whether the call was refused by something before the service, or by a service that gives no reason.
fn was_turned_away(response: &Response<Body>) -> bool {
    let headers = response.headers();
    match Status::from_header_map(headers) {
        Some(status) => status.code() == Code::Unavailable && status.details().is_empty(),
        None => matches!(response.status().as_u16(), 502..=504),
    }
}

/// Whether an error of this type is among the causes.
fn is_caused_by<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<T>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn nobody_there() -> BoxError {
    ConnectError(Box::new(NobodyThere)).into()
}

/// A lost call, whatever the transport calls it.
fn unavailable(error: BoxError) -> BoxError {
    if is_caused_by::<TimeoutExpired>(error.as_ref()) {
        return Status::deadline_exceeded("the call took longer than it may").into();
    }
    let mut status = Status::unavailable("the call was lost on its way");
    status.set_source(Arc::from(error));
    status.into()
}

/// A request that can be sent more than once. Its body is shared, not copied.
struct Kept {
    head: http::request::Parts,
    body: bytes::Bytes,
}

impl Kept {
    async fn of(request: Request<Body>) -> Result<Self, BoxError> {
        let (head, body) = request.into_parts();
        Ok(Self { head, body: body.collect().await?.to_bytes() })
    }

    fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// Carries the time that is left now, when time has passed.
    fn request(&self, again: bool, until: Instant) -> Request<Body> {
        let mut request = Request::new(Body::new(Full::new(self.body.clone())));
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.version_mut() = self.head.version;
        *request.headers_mut() = self.head.headers.clone();
        *request.extensions_mut() = self.head.extensions.clone();
        if again {
            set_timeout(request.headers_mut(), until.saturating_duration_since(Instant::now()));
        }
        request
    }
}

fn set_timeout(headers: &mut HeaderMap, left: Duration) {
    // Eight digits of microseconds are a hundred seconds, more than any call gets.
    let micros = left.as_micros().min(99_999_999);
    if let Ok(value) = HeaderValue::try_from(format!("{micros}u")) {
        headers.insert("grpc-timeout", value);
    }
}
