//! The time that a request has. Reading its body and every call made for it get what is left.

use std::time::Duration;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use futures::future::LocalBoxFuture;
use service_kit::grpc::deadline;

use super::{EVENTS_PATH, POLL_PATH};

/// Sets the deadline. Who waits for live events has none: the single reads have the default one.
pub fn keep<B: MessageBody + 'static>(
    timeout: Duration,
) -> impl Fn(ServiceRequest, Next<B>) -> LocalBoxFuture<'static, Result<ServiceResponse<B>, Error>> {
    move |request, next| {
        if request.path() == EVENTS_PATH || request.path().starts_with(POLL_PATH) {
            return Box::pin(async move { next.call(request).await });
        }
        Box::pin(deadline::within(timeout, async move { next.call(request).await }))
    }
}
