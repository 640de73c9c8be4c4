//! JSON bodies: bounded, typed, unknown fields refused.

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use contracts::{Reason, Refusal};
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use service_kit::grpc::deadline;

use super::decode;
use crate::problem::Problem;

/// The largest body, in bytes (docs/errors.md: BODY_TOO_LARGE).
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A body that must be there.
pub struct JsonBody<T>(pub T);

/// A body that may be left out; then it is the default.
pub struct OptionalJsonBody<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(BodyHead::of(request), payload.take());
        Box::pin(async move {
            let body = body.await?;
            if body.is_empty() {
                return Err(Refusal::new(Reason::MalformedBody, "the body is empty").into());
            }
            Ok(Self(decode::json(&body)?))
        })
    }
}

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalJsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(BodyHead::of(request), payload.take());
        Box::pin(async move {
            let body = body.await?;
            Ok(Self(if body.is_empty() { T::default() } else { decode::json(&body)? }))
        })
    }
}

/// What the head of a request says of its body.
struct BodyHead {
    json: bool,
    encoded: bool,
    length: Option<u64>,
}

impl BodyHead {
    fn of(request: &HttpRequest) -> Self {
        let header = |name| request.headers().get(name);
        let encoding = header(header::CONTENT_ENCODING);
        let announced = header(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            json: request.content_type().eq_ignore_ascii_case("application/json"),
            encoded: encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")),
            // Neither header means no body (RFC 9112 §6.3).
            length: announced.or((!request.headers().contains_key(header::TRANSFER_ENCODING)).then_some(0)),
        }
    }
}

/// Reads the whole body; empty when there is none.
async fn read(head: BodyHead, payload: Payload) -> Result<Bytes, Refusal> {
    if head.length == Some(0) {
        return Ok(Bytes::new());
    }
    if head.length.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    // A chunked body may still turn out to be empty: then its type does not matter.
    let typed = head.json && !head.encoded;
    let collected = collect(payload, if typed { MAX_BODY_BYTES } else { 0 });
    match tokio::time::timeout(deadline::remaining(), collected).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(Unreadable::TooLarge)) if typed => Err(too_large()),
        Ok(Err(Unreadable::TooLarge)) if head.encoded => {
            Err(Refusal::new(Reason::UnsupportedMediaType, "encoded bodies are not understood"))
        }
        Ok(Err(Unreadable::TooLarge)) => {
            Err(Refusal::new(Reason::UnsupportedMediaType, Reason::UnsupportedMediaType.title()))
        }
        Ok(Err(Unreadable::Broken(error))) => {
            tracing::debug!(error = %error, "a body could not be read");
            Err(Refusal::new(Reason::MalformedBody, "the body ended early or is not encoded as its headers say"))
        }
        Err(_) => Err(Refusal::new(Reason::RequestTimeout, "the body did not arrive in time")),
    }
}

enum Unreadable {
    TooLarge,
    Broken(PayloadError),
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Unreadable> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => Unreadable::TooLarge,
            other => Unreadable::Broken(other),
        })?;
        if body.len() + chunk.len() > limit {
            return Err(Unreadable::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn too_large() -> Refusal {
    Refusal::new(Reason::BodyTooLarge, format!("the body is larger than {MAX_BODY_BYTES} bytes"))
}
