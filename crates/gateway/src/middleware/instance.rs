//! Problems name the request that they are about: its path is in scope for them.

use std::sync::Arc;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use crate::problem;

/// Runs the request where its problems know its path.
///
/// # Errors
/// Those of the layers inside.
pub async fn know<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let path: Arc<str> = request.path().into();
    problem::at(path, next.call(request)).await
}
