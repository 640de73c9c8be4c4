//! Which pages may call from a browser: those of the origins in the settings, no others.

use actix_cors::Cors;
use actix_web::http::{Method, header};
use actix_web::middleware::Condition;

use crate::extract::idempotency_key;

/// How long browsers may remember a preflight, in seconds.
const MAX_AGE_SECONDS: usize = 3600;

/// The allow-list; without any origin browsers keep to their own rule, the same origin.
pub fn allow_list(origins: &[String]) -> Condition<Cors> {
    let cors = origins
        .iter()
        .fold(Cors::default(), |cors, origin| cors.allowed_origin(origin))
        .allowed_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH])
        .allowed_headers([idempotency_key::HEADER, "Last-Event-ID", "x-request-id"])
        .allowed_headers(["traceparent", "tracestate", "uber-trace-id"])
        .expose_headers(["x-request-id", "location", "etag", "retry-after", "www-authenticate"])
        // With their cookie, too: docs/adr/0027-cookies-of-browsers.md.
        .supports_credentials()
        .max_age(MAX_AGE_SECONDS);
    Condition::new(!origins.is_empty(), cors)
}
