//! A panic is a mistake in the program, but the caller still gets an answer and the connection lives on.

use std::panic::AssertUnwindSafe;

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use contracts::Reason;
use futures::FutureExt as _;

use crate::problem::Problem;

/// Answers 500 in place of what panicked; the panic's own message went to the log when it happened.
///
/// # Errors
/// Those of the layers inside.
pub async fn contain<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    // Possible only inside of the router: it needs the request for itself until the route is found.
    let remembered = request.request().clone();
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(answer) => answer.map(ServiceResponse::map_into_left_body),
        Err(_) => {
            tracing::error!(path = remembered.path(), "a handler panicked");
            Ok(ServiceResponse::from_err(Problem::of(Reason::Internal), remembered).map_into_right_body())
        }
    }
}
