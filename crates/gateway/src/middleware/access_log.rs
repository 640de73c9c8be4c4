//! One line for every request, when its head is answered. The query is left out: `/events` may carry a token in it.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use observability::logs::ACCESS_TARGET;

/// Writes the line.
///
/// # Errors
/// Those of the layers inside.
pub async fn write<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    if !tracing::enabled!(target: ACCESS_TARGET, tracing::Level::DEBUG) {
        return next.call(request).await;
    }
    let started = Instant::now();
    let response = next.call(request).await?;
    let elapsed_ms = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    let (request, status) = (response.request(), response.status().as_u16());
    tracing::debug!(
        target: ACCESS_TARGET,
        method = request.method().as_str(),
        path = request.path(),
        status,
        response_time_ms = elapsed_ms,
        "request answered"
    );
    Ok(response)
}
