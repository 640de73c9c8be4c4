//! How long requests take, by route.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use observability::metrics::HTTP_REQUESTS;

/// The route of what matched none.
const UNMATCHED: &str = "unmatched";

/// Observes the time to the head of the response. Labels come from bounded sets: the template of the route, never the
/// path; the methods there are, never what a caller made up.
///
/// # Errors
/// Those of the layers inside.
pub async fn observe<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let started = Instant::now();
    let response = next.call(request).await?;
    let (route, status) = (response.request().match_pattern(), response.status());
    let labels = [method(response.request().method()), route.as_deref().unwrap_or(UNMATCHED), status.as_str()];
    HTTP_REQUESTS.with_label_values(&labels).observe(started.elapsed().as_secs_f64());
    Ok(response)
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
