//! The `Idempotency-Key` header: read and checked here, kept and compared by orders.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use contracts::Refusal;

use crate::problem::Problem;

/// The name of the header.
pub const HEADER: &str = "Idempotency-Key";
/// The longest key, in characters: as `PlaceOrderRequest` has it (proto/souk/orders/v1/orders.proto).
const MAX_LENGTH: usize = 255;

/// The key that makes a repeated order one order; absent when the caller sent none.
pub struct IdempotencyKey(pub Option<String>);

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all(HEADER).map(actix_web::http::header::HeaderValue::as_bytes);
        ready(match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(key), None) => parse(key).map(|key| Self(Some(key))).map_err(Problem::from),
            (Some(_), Some(_)) => Err(Refusal::invalid(HEADER, "must be given once").into()),
        })
    }
}

fn parse(key: &[u8]) -> Result<String, Refusal> {
    let valid = (1..=MAX_LENGTH).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(key) {
        Ok(text) if valid => Ok(text.to_owned()),
        _ => Err(Refusal::invalid(HEADER, format!("must be 1 to {MAX_LENGTH} visible ASCII characters"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_and_bounded() {
        assert!(parse("x".repeat(MAX_LENGTH).as_bytes()).is_ok());
        for bad in [String::new(), "a b".to_owned(), "ä".to_owned(), "a\tb".to_owned(), "x".repeat(MAX_LENGTH + 1)] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
