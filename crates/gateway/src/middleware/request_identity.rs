//! Request id and trace: taken over or made, in scope for everything that works for the request, returned to the caller.

use std::sync::Arc;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use observability::RequestContext;
use observability::context::{REQUEST_ID_HEADER, TRACEPARENT_HEADER};

use crate::problem;

/// Runs the request in its context.
///
/// # Errors
/// Those of the layers inside.
pub async fn accept<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let context = RequestContext::accept(header(REQUEST_ID_HEADER), header(TRACEPARENT_HEADER));
    let request_id = HeaderValue::from_str(context.request_id());
    let path: Arc<str> = request.path().into();
    let mut response = context.scope(problem::at(path, next.call(request))).await?;
    if let Ok(request_id) = request_id {
        response.headers_mut().insert(HeaderName::from_static(REQUEST_ID_HEADER), request_id);
    }
    Ok(response)
}
