//! Makes `Accept-Encoding` a question with an answer: gzip or nothing.
//!
//! The compressor refuses what it can't satisfy with 406; a JSON API rather answers uncompressed (RFC 9110 §12.5.3 lets it).

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;

use super::EVENTS_PATH;

/// Leaves `gzip` as the only wish, or none; none for live events, which a compressor would hold back.
///
/// # Errors
/// Those of the layers inside.
pub async fn negotiate<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if request.headers().contains_key(header::ACCEPT_ENCODING) {
        let wished = request.path() != EVENTS_PATH
            && request.headers().get_all(header::ACCEPT_ENCODING).any(|value| value.to_str().is_ok_and(wants_gzip));
        let headers = request.headers_mut();
        headers.remove(header::ACCEPT_ENCODING);
        if wished {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    next.call(request).await
}

fn wants_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|part| {
        let (coding, weight) = part.split_once(';').unwrap_or((part, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim_end_matches(['0', '.']).is_empty());
        matches!(coding.trim().to_ascii_lowercase().as_str(), "gzip" | "x-gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_wished_by_name_or_star_unless_its_weight_is_nothing() {
        for yes in ["gzip", "br, GZIP;q=0.5", "*", "gzip;q=1.0", "deflate,gzip"] {
            assert!(wants_gzip(yes), "{yes}");
        }
        for no in ["", "br", "identity", "gzip;q=0", "gzip; q=0.000, br", "*;q=0"] {
            assert!(!wants_gzip(no), "{no}");
        }
    }
}
