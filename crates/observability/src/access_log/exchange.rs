//! A request and its answer, as far as they are known.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a server knows of a request and its answer, as it was sent: cleaning and masking is done by the format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// `1.1`; of HTTP/2 `2.0`.
    pub http_version: &'static str,
    /// The address of the peer. Of a proxy before the server, unless the server has reason to believe what it says.
    pub remote_addr: Option<String>,
    /// Who Basic authentication names; see [`remote_user`].
    pub remote_user: Option<String>,
    /// The request's id.
    pub id: Option<String>,
    /// The request headers that [`super::Format::request_headers`] asks for, in its order.
    pub request_headers: Vec<Option<String>>,
    /// The response headers that [`super::Format::response_headers`] asks for, in its order.
    pub response_headers: Vec<Option<String>>,
    /// The status, once there is one.
    pub status: Option<u16>,
    /// Bytes of the response's body: as announced, or else as they were written.
    pub content_length: Option<u64>,
    /// From the head of the request to the head of the response.
    pub response_time: Option<Duration>,
    /// From the head of the request to the end of the response.
    pub total_time: Option<Duration>,
    /// The response did not come to its end: the client went away, or the handler broke.
    pub aborted: bool,
}

/// The user that an `authorization` header of the Basic scheme names (RFC 7617 §2); the password is dropped.
pub fn remote_user(authorization: &str) -> Option<String> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (user, _) = decoded.split_once(':')?;
    (!user.is_empty()).then(|| user.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_basic_authentication_names_a_user() {
        // "Aladdin:open sesame", the example of RFC 7617.
        assert_eq!(remote_user("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").as_deref(), Some("Aladdin"));
        assert_eq!(remote_user("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").as_deref(), Some("Aladdin"));
        for none in ["Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic", "Basic !", "Basic QWxhZGRpbg==", "", "Basic Og=="]
        {
            assert_eq!(remote_user(none), None, "{none}");
        }
    }
}
