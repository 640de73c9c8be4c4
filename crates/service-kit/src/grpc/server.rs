//! What comes in: request id and trace taken over, time measured, deadline kept, caller authenticated, panic contained.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use contracts::{Reason, Refusal};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use observability::tonic::server::Calls;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Layer;

use crate::auth::Authenticator;
use crate::grpc::deadline;

/// The longest any call may take, whatever its caller allows.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// The stack around a service's routes.
#[derive(Clone)]
pub struct Incoming {
    authenticator: Arc<Authenticator>,
}

impl Incoming {
    /// A stack that authenticates with this.
    pub fn new(authenticator: Arc<Authenticator>) -> Self {
        Self { authenticator }
    }
}

impl<S> Layer<S> for Incoming {
    type Service = IncomingService<S>;
    fn layer(&self, inner: S) -> IncomingService<S> {
        IncomingService { inner, authenticator: Arc::clone(&self.authenticator) }
    }
}

/// See [`Incoming`].
#[derive(Clone)]
pub struct IncomingService<S> {
    inner: S,
    authenticator: Arc<Authenticator>,
}

impl<S> tower::Service<Request<Body>> for IncomingService<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone is the one that was polled ready; the original takes the fresh one (tower's rule for clones).
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let authenticator = Arc::clone(&self.authenticator);
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let timeout =
            header("grpc-timeout").and_then(deadline::parse_header).map_or(MAX_TIMEOUT, |left| left.min(MAX_TIMEOUT));
        let work = async move {
            let method = request.uri().path().to_owned();
            let answer = async {
                let authorization =
                    request.headers().get("authorization").map(|value| value.to_str().unwrap_or_default());
                let caller = match authenticator.authenticate(authorization).await {
                    Ok(caller) => caller,
                    Err(refusal) => return Status::from(refusal).into_http(),
                };
                request.extensions_mut().insert(caller);
                let Ok(response) = inner.call(request).await;
                response
            };
            let guarded = AssertUnwindSafe(tokio::time::timeout(timeout, answer)).catch_unwind();
            let response = match guarded.await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => {
                    Status::from(Refusal::new(Reason::DeadlineExceeded, Reason::DeadlineExceeded.title())).into_http()
                }
                Err(_) => {
                    tracing::error!(method, "a call panicked");
                    Status::from(Refusal::new(Reason::Internal, Reason::Internal.title())).into_http()
                }
            };
            Ok(response)
        };
        Box::pin(deadline::within(timeout, work))
    }
}

/// A label from a bounded set: what callers make up is none.
fn known_method(path: &str) -> Option<&'static str> {
    match path {
        "/grpc.health.v1.Health/Check" => Some("/grpc.health.v1.Health/Check"),
        "/grpc.health.v1.Health/Watch" => Some("/grpc.health.v1.Health/Watch"),
        other => contracts::grpc::find_method(other),
    }
}

/// Where a server accepts connections.
pub enum Listener {
    /// Inside this process.
    Local(crate::grpc::local::LocalListener),
    /// A bound TCP socket.
    Tcp(tokio::net::TcpListener),
}

/// Serves the calls to the service of this name until `stop` is cancelled and those in work are done.
///
/// # Errors
/// What the transport said.
pub async fn serve(
    name: &'static str,
    listener: Listener,
    routes: Routes,
    incoming: Incoming,
    stop: tokio_util::sync::CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .layer(Calls::of(name).named_by(known_method))
        .layer(incoming)
        .add_routes(routes);
    match listener {
        Listener::Local(connections) => router.serve_with_incoming_shutdown(connections, stop.cancelled_owned()).await,
        Listener::Tcp(socket) => {
            let connections = tonic::transport::server::TcpIncoming::from(socket).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(connections, stop.cancelled_owned()).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::known_method;

    #[test]
    fn a_path_is_a_label_only_if_a_service_has_it_whatever_the_answer_was() {
        for path in ["/souk.orders.v1.OrdersService/PlaceOrder", "/grpc.health.v1.Health/Check"] {
            assert_eq!(known_method(path), Some(path));
        }
        for made_up in ["/souk.orders.v1.OrdersService/0190a1b2", "/a/b", "/", ""] {
            assert_eq!(known_method(made_up), None);
        }
    }
}
