//! The one place where a refusal becomes a response: RFC 9457 `application/problem+json`.

use std::fmt;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use contracts::{Reason, Refusal};
use observability::RequestContext;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The media type of problems (RFC 9457 §3).
pub const CONTENT_TYPE: &str = "application/problem+json";
/// What `type` begins with; the rest names the reason, and the address describes it.
pub const TYPE_PREFIX: &str = "/problems/";
/// The wait to advise when who refused advised none, in seconds.
const DEFAULT_RETRY_AFTER_SECONDS: u64 = 1;
/// Members that no extension may replace.
const RESERVED: &[&str] = &["type", "title", "status", "detail", "instance", "request_id", "trace_id", "errors"];

tokio::task_local! {
    static INSTANCE: Arc<str>;
}

/// Runs what answers the request for `path`, so that its problems can name it.
pub fn at<F: Future>(path: Arc<str>, future: F) -> impl Future<Output = F::Output> {
    INSTANCE.scope(path, future)
}

/// A refusal on its way to the caller: the error type of all handlers and extractors.
#[derive(Debug)]
pub struct Problem(Refusal);

/// A problem document (RFC 9457). Extension members such as `order_id` and `missing` stand beside these.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/problems/out-of-stock",
    "title": "Not everything is in stock",
    "status": 409,
    "detail": "3 of TEA-001 wanted, 1 available",
    "instance": "/api/orders",
    "request_id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "order_id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c",
    "missing": [{"sku": "TEA-001", "requested": 3, "available": 1}]
}))]
pub struct ProblemDocument {
    /// Names the kind of problem; the address tells what it means and what to do.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// This case in a sentence.
    pub detail: String,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Finds every log line of this request.
    pub request_id: String,
    /// The trace that the request belongs to.
    pub trace_id: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// What a program needs to react.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extensions: Map<String, Value>,
}

/// A field at fault.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldProblem {
    /// A JSON pointer into the body (RFC 6901), or the name of a query parameter or header.
    #[schema(example = "/items/0/quantity")]
    pub pointer: String,
    /// What is wrong with it.
    #[schema(example = "must be a whole number from 1 to 10000")]
    pub detail: String,
}

impl Problem {
    /// A problem that its title describes well enough.
    pub fn of(reason: Reason) -> Self {
        Refusal::new(reason, reason.title()).into()
    }

    /// A problem for a status that someone other than Souk chose, such as a library that looks at requests before it.
    pub fn of_http_status(status: StatusCode) -> Self {
        Self::of(match status {
            StatusCode::UNAUTHORIZED => Reason::AuthenticationRequired,
            StatusCode::FORBIDDEN => Reason::NotAllowed,
            StatusCode::NOT_FOUND => Reason::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => Reason::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Reason::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Reason::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Reason::UnsupportedMediaType,
            StatusCode::SERVICE_UNAVAILABLE => Reason::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => Reason::DeadlineExceeded,
            other if other.is_client_error() => Reason::InvalidRequest,
            _ => Reason::Internal,
        })
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    fn document(&self) -> ProblemDocument {
        let Self(refusal) = self;
        let (reason, status) = (refusal.reason, self.status_code());
        // What went wrong inside is for the log, under the same request id.
        let detail = if status.is_server_error() { reason.title().to_owned() } else { refusal.detail.clone() };
        let context = RequestContext::current_or_background();
        let errors = refusal
            .fields
            .iter()
            .map(|field| FieldProblem { pointer: field.field.clone(), detail: field.message.clone() });
        let extensions = refusal
            .metadata
            .iter()
            .filter(|(name, _)| reason != Reason::Internal && !RESERVED.contains(&name.as_str()));
        ProblemDocument {
            kind: format!("{TYPE_PREFIX}{}", reason.slug()),
            title: reason.title(),
            status: status.as_u16(),
            detail,
            instance: INSTANCE.try_with(ToString::to_string).ok(),
            request_id: context.request_id().to_owned(),
            trace_id: context.trace_id().to_string(),
            errors: errors.collect(),
            extensions: extensions.map(|(name, value)| (name.clone(), extension(value))).collect(),
        }
    }

    /// Seconds, rounded up: a wait cut short would be refused again.
    fn retry_after_seconds(&self) -> Option<u64> {
        let advised = self.0.retry_after.map(|wait| wait.as_millis().div_ceil(1000).clamp(1, 86_400) as u64);
        let always =
            matches!(self.0.reason, Reason::OrderInProgress) || matches!(self.0.reason.http_status(), 429 | 503 | 504);
        advised.or(always.then_some(DEFAULT_RETRY_AFTER_SECONDS))
    }
}

/// Metadata travels as text; lists and objects among it are JSON (see [`Refusal::metadata`]).
fn extension(value: &str) -> Value {
    let structured = value.starts_with(['[', '{']).then(|| serde_json::from_str(value).ok()).flatten();
    structured.unwrap_or_else(|| Value::String(value.to_owned()))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let (reason, status) = (self.0.reason, self.status_code());
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(reason = reason.as_str(), detail = self.0.detail, "request failed");
        } else if status.is_server_error() {
            tracing::warn!(reason = reason.as_str(), detail = self.0.detail, "request failed");
        }
        let mut response = HttpResponseBuilder::new(status);
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)));
        if let Some(seconds) = self.retry_after_seconds() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3.1: no error code when nothing was presented.
            let challenge = if reason == Reason::InvalidToken { r#"Bearer error="invalid_token""# } else { "Bearer" };
            response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        }
        response.body(serde_json::to_vec(&self.document()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn json(problem: &Problem) -> Value {
        serde_json::to_value(problem.document()).unwrap()
    }

    #[test]
    fn every_reason_has_its_status_and_those_that_pass_say_when_to_come_back() {
        for reason in Reason::ALL {
            let response = Problem::of(*reason).error_response();
            assert_eq!(response.status().as_u16(), reason.http_status());
            let waits = matches!(reason.http_status(), 429 | 503 | 504) || *reason == Reason::OrderInProgress;
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), waits, "{reason:?}");
            assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), reason.http_status() == 401);
        }
    }

    #[test]
    fn metadata_becomes_extension_members_and_never_replaces_a_standard_one() {
        let refusal = Refusal::new(Reason::OutOfStock, "3 of TEA wanted")
            .with("order_id", "7")
            .with("missing", r#"[{"sku":"TEA"}]"#)
            .with("odd", "{not json")
            .with("status", "200");
        let problem = json(&refusal.into());
        assert_eq!(problem["order_id"], "7");
        assert_eq!(problem["missing"][0]["sku"], "TEA");
        assert_eq!(problem["odd"], "{not json");
        assert_eq!(problem["status"], 409);
        assert_eq!(problem["type"], "/problems/out-of-stock");
    }

    #[test]
    fn what_went_wrong_inside_is_not_told() {
        let refusal = Refusal::new(Reason::Internal, "row 7 of table secrets").with("row", "7");
        let problem = json(&refusal.into());
        assert!(!problem.to_string().contains("secrets") && problem.get("row").is_none(), "{problem}");
    }

    #[test]
    fn waits_are_rounded_up_to_whole_seconds() {
        let waiting = |wait| Problem(Refusal::new(Reason::Unavailable, "").retry_after(wait)).retry_after_seconds();
        assert_eq!(waiting(Duration::from_millis(1001)), Some(2));
        assert_eq!(waiting(Duration::ZERO), Some(1));
    }

    #[tokio::test]
    async fn a_problem_names_the_path_of_its_request() {
        let problem = at("/api/orders".into(), async { json(&Problem::of(Reason::OrderNotFound)) }).await;
        assert_eq!(problem["instance"], "/api/orders");
    }
}
