//! Which pages may speak to the server over polling.
//!
//! Source: <https://fetch.spec.whatwg.org/#http-cors-protocol>

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
};

/// Cross-origin rules of the polling transport. Browsers don't apply them to WebSocket: check `Origin` in
/// [`crate::Builder::allow_request`] where it matters.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Origins,
    credentials: bool,
    max_age_secs: Option<u32>,
}

#[derive(Clone, Debug)]
enum Origins {
    Any,
    List(Vec<String>),
}

impl Cors {
    /// Pages of every origin, without credentials: `Access-Control-Allow-Origin: *`.
    pub fn any() -> Self {
        Self { origins: Origins::Any, credentials: false, max_age_secs: None }
    }

    /// Pages of these origins alone, such as `https://example.org`.
    pub fn origins<S: Into<String>>(origins: impl IntoIterator<Item = S>) -> Self {
        Self {
            origins: Origins::List(origins.into_iter().map(Into::into).collect()),
            credentials: false,
            max_age_secs: None,
        }
    }

    /// Lets those pages send cookies. With [`Self::any`], the origin that asks is named instead of `*`.
    #[must_use]
    pub fn credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// How long a browser may keep the answer to its preflight request, in seconds.
    #[must_use]
    pub fn max_age_secs(mut self, seconds: u32) -> Self {
        self.max_age_secs = Some(seconds);
        self
    }

    /// Adds what the request may know.
    pub(crate) fn apply(&self, request: &HttpRequest, headers: &mut HeaderMap) {
        let origin = request.headers().get(header::ORIGIN);
        let allowed = match &self.origins {
            Origins::Any if !self.credentials => Some(HeaderValue::from_static("*")),
            Origins::Any => origin.cloned(),
            Origins::List(list) => {
                origin.filter(|origin| list.iter().any(|known| known.as_bytes() == origin.as_bytes())).cloned()
            }
        };
        if !matches!(self.origins, Origins::Any) || self.credentials {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(allowed) = allowed else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// Adds what a preflight request asks for.
    pub(crate) fn preflight(&self, request: &HttpRequest, headers: &mut HeaderMap) {
        self.apply(request, headers);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST,OPTIONS"));
        if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            headers.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
        }
        if let Some(seconds) = self.max_age_secs {
            headers.insert(HeaderName::from_static("access-control-max-age"), HeaderValue::from(seconds));
        }
    }
}
