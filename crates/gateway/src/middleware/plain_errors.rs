//! Errors that a library answered on its own, in plain text or without a body, become problems like all others.

use actix_web::Error;
use actix_web::ResponseError as _;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;

use crate::problem::Problem;

/// Renders such errors; the headers that came with them stay.
///
/// # Errors
/// Those of the layers inside.
pub async fn render<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let response = next.call(request).await?;
    if !is_plain_error(&response) {
        return Ok(response.map_into_left_body());
    }
    let (request, plain) = response.into_parts();
    let mut problem = Problem::of_http_status(plain.status()).error_response();
    for (name, value) in plain.headers() {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH && *name != header::CONTENT_ENCODING {
            problem.headers_mut().append(name.clone(), value.clone());
        }
    }
    Ok(ServiceResponse::new(request, problem).map_into_right_body())
}

fn is_plain_error<B>(response: &ServiceResponse<B>) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && match response.headers().get(header::CONTENT_TYPE) {
            None => true,
            Some(content_type) => content_type.as_bytes().starts_with(b"text/"),
        }
}
