//! The cookie that a sign-in leaves with a browser, for those who asked for it.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;

use super::authenticated::text_headers;
use super::credentials::{COOKIE, has_cookie};
use crate::middleware::forwarded;
use crate::shapes::BadAnswer;

/// Sets the cookie and has it forgotten.
#[derive(Clone, Copy, Debug)]
pub struct SessionCookie {
    /// Whether it is kept off plain HTTP, whatever a proxy says.
    pub secure: bool,
}

impl SessionCookie {
    /// The header that sets it to a token, for as long as that counts.
    ///
    /// # Errors
    /// For a token that no header can carry.
    pub fn set(self, request: &HttpRequest, token: &str, max_age_seconds: u64) -> Result<HeaderValue, BadAnswer> {
        line(token, max_age_seconds, self.secure || forwarded::is_over_tls(request))
            .ok_or(BadAnswer("an access token that is no cookie"))
    }

    /// The header that has the browser forget it; `None` if the request did not bring it.
    pub fn clear(self, request: &HttpRequest) -> Option<HeaderValue> {
        let brought = has_cookie(text_headers(request));
        brought.then(|| line("", 0, self.secure || forwarded::is_over_tls(request))).flatten()
    }
}

/// `Lax`: sent with requests of the same site, not with those that pages of other sites make (RFC 6265bis §5.6.7).
fn line(token: &str, max_age_seconds: u64, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    // Those of base64url and the dots between: nothing that could end the value.
    let is_token = token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let line = format!("{COOKIE}={token}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(line).ok().filter(|_| is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_whole_value_or_there_is_no_cookie() {
        let secure = line("a.b-c_9", 900, true).unwrap();
        assert_eq!(secure, "souk_access=a.b-c_9; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure");
        let plain = line("", 0, false).unwrap();
        assert_eq!(plain, "souk_access=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        for bad in ["a; Domain=example", "a\r\nb", "a,b", "\u{e4}"] {
            assert_eq!(line(bad, 900, true), None, "{bad}");
        }
    }
}
