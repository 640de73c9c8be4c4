//! What goes out: every call carries the request id, the trace, the time that is left and who is calling.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::TryFutureExt as _;
use futures::future::{Either, ErrInto};
use observability::RequestContext;
use observability::context::{REQUEST_ID_HEADER, TRACEPARENT_HEADER};
use tonic::body::Body;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::auth::ServiceIdentity;
use crate::grpc::deadline;
use crate::grpc::local::LocalConnector;
use crate::grpc::measured::{self, Measured};
use crate::grpc::pool::Pool;

/// Largest answer head that is read. A refusal travels in headers, and one that names every item of an order outgrows the
/// usual 16 KiB.
pub(super) const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// A channel to a neighbour; cheap to clone, connects when first used, reconnects by itself.
pub type GrpcChannel = InterceptedService<Transport, Outgoing>;

/// What carries a call to a neighbour.
#[derive(Clone)]
pub enum Transport {
    /// Over memory, to a service of this process: it is there as long as its callers are.
    Local(Channel),
    /// Over the network.
    Remote(Pool),
}

impl tower::Service<http::Request<Body>> for Transport {
    type Response = http::Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Measured<Either<LocalAnswer, <Pool as tower::Service<http::Request<Body>>>::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Local(channel) => channel.poll_ready(context).map_err(Into::into),
            Self::Remote(pool) => pool.poll_ready(context),
        }
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = measured::method(request.uri().path());
        let answer = match self {
            Self::Local(channel) => Either::Left(channel.call(request).err_into()),
            Self::Remote(pool) => Either::Right(pool.call(request)),
        };
        Measured::new(method, answer)
    }
}

/// The answer to a call within the process.
type LocalAnswer =
    ErrInto<<Channel as tower::Service<http::Request<Body>>>::Future, Box<dyn std::error::Error + Send + Sync>>;

/// Where a neighbour is.
#[derive(Clone)]
pub enum Neighbour {
    /// In this process.
    Local(LocalConnector),
    /// At one or several addresses, among which calls are balanced.
    Remote(Vec<Endpoint>),
}

/// Adds to each call what every call carries.
#[derive(Clone)]
pub struct Outgoing {
    identity: Arc<ServiceIdentity>,
    callee: &'static str,
}

impl Interceptor for Outgoing {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let left = deadline::remaining();
        if left.is_zero() {
            return Err(Status::deadline_exceeded("no time is left for this call"));
        }
        let metadata = request.metadata_mut();
        if let Some(context) = RequestContext::current() {
            if let Ok(value) = MetadataValue::try_from(context.request_id()) {
                metadata.insert(REQUEST_ID_HEADER, value);
            }
            if let Ok(value) = MetadataValue::try_from(context.traceparent()) {
                metadata.insert(TRACEPARENT_HEADER, value);
            }
        }
        // A call on behalf of a user carries the user's token already.
        if !metadata.contains_key("authorization") {
            let token = self.identity.token_for(self.callee);
            if let Ok(value) = bearer(&token) {
                metadata.insert("authorization", value);
            }
        }
        if !metadata.contains_key("grpc-timeout") {
            request.set_timeout(left);
        }
        Ok(request)
    }
}

/// The `authorization` value of a token.
///
/// # Errors
/// When the token holds characters that no header may.
pub fn bearer(token: &str) -> Result<MetadataValue<Ascii>, tonic::metadata::errors::InvalidMetadataValue> {
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A channel from the service with this identity to `callee`.
pub fn channel(neighbour: &Neighbour, identity: Arc<ServiceIdentity>, callee: &'static str) -> GrpcChannel {
    let transport = match neighbour {
        Neighbour::Local(connector) => Transport::Local(
            Endpoint::from_static("http://in-process")
                .http2_max_header_list_size(MAX_HEADER_BYTES)
                .connect_with_connector_lazy(connector.clone()),
        ),
        Neighbour::Remote(endpoints) => Transport::Remote(Pool::new(endpoints)),
    };
    InterceptedService::new(transport, Outgoing { identity, callee })
}

/// A request that carries a user's access token instead of the service's own.
///
/// # Errors
/// `INVALID_TOKEN` when the token holds characters that no header may.
pub fn on_behalf_of<T>(token: &str, message: T) -> Result<Request<T>, contracts::Refusal> {
    let mut request = Request::new(message);
    let value = bearer(token).map_err(|_| {
        contracts::Refusal::new(contracts::Reason::InvalidToken, contracts::Reason::InvalidToken.title())
    })?;
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}
