//! The outermost middleware: request id and trace taken over or made, in scope for all that works for the request.
//!
//! One span for each request, named and described after OpenTelemetry's conventions for HTTP servers. It ends with the head
//! of the response; a body that streams has the context of its own making.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Version;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use futures::future::LocalBoxFuture;
use opentelemetry::propagation::Extractor;

use super::ClientAddress;
use crate::RequestContext;
use crate::context::REQUEST_ID_HEADER;
use crate::trace::{KeyValue, Span, SpanKind};

/// What asks often and tells little: its requests have ids, and no spans.
const PROBES: &str = "/health/";

/// Runs each request in a context of its own, in the name of this service, and returns the request id to the caller.
/// Wrap it last, so that everything else happens inside.
pub fn follow<B: MessageBody + 'static>(
    service: &'static str,
) -> impl Fn(ServiceRequest, Next<B>) -> LocalBoxFuture<'static, Result<ServiceResponse<B>, Error>> + Clone {
    move |request, next| {
        let context = RequestContext::extract(&Headers(request.headers())).in_service(service);
        Box::pin(async move {
            let request_id = HeaderValue::from_str(context.request_id());
            let mut result = if request.path().starts_with(PROBES) {
                context.scope(next.call(request)).await
            } else {
                traced(&context, request, next).await
            };
            if let (Ok(response), Ok(request_id)) = (&mut result, request_id) {
                response.headers_mut().insert(HeaderName::from_static(REQUEST_ID_HEADER), request_id);
            }
            result
        })
    }
}

async fn traced<B: MessageBody>(
    context: &RequestContext,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let method = method(request.method().as_str());
    let span = context.start(SpanKind::Server, method, || attributes(method, &request));
    let result = span.scope(next.call(request)).await;
    if span.is_recording() {
        match &result {
            Ok(response) => describe(&span, method, response),
            Err(error) => span.fail(error.as_response_error().status_code().as_str().to_owned(), &error.to_string()),
        }
    }
    span.end_request();
    result
}

fn attributes(method: &'static str, request: &ServiceRequest) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.path", request.path().to_owned()),
        KeyValue::new("url.scheme", request.connection_info().scheme().to_owned()),
        KeyValue::new("network.protocol.version", version(request.version())),
    ];
    if let Some((address, port)) = server(request.connection_info().host()) {
        attributes.push(KeyValue::new("server.address", address));
        attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    }
    if let Some(client) = ClientAddress::of(request) {
        attributes.push(KeyValue::new("client.address", client.to_string()));
    }
    if let Some(agent) = request.headers().get("user-agent").and_then(|value| value.to_str().ok()) {
        attributes.push(KeyValue::new("user_agent.original", agent.to_owned()));
    }
    attributes
}

/// The longest name that a host may have (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// The host and the port that the caller asked for (RFC 9110 §7.2: `host[:port]`); nothing where it is not well formed.
fn server(host: &str) -> Option<(String, Option<u16>)> {
    let authority: http::uri::Authority = host.parse().ok()?;
    // The part before an @ may be a password.
    let has_user = authority.as_str().contains('@');
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    let is_host = (1..=MAX_HOST).contains(&name.len()) && name.bytes().all(is_name);
    let port = authority.port_u16();
    // A port beyond 65535, or that is no number, is no port to the parser, and no fault either.
    let rest = authority.as_str().strip_prefix(authority.host())?;
    let is_port = if rest.is_empty() { port.is_none() } else { port.is_some_and(|port| port > 0) };
    (!has_user && is_host && is_port).then(|| (name.to_ascii_lowercase(), port))
}

/// The name, now that the route is known, and what came of it. A refusal is the caller's, not the server's, failure.
fn describe<B>(span: &Span, method: &'static str, response: &ServiceResponse<B>) {
    if let Some(route) = response.request().match_pattern() {
        span.rename(format!("{method} {route}"));
        span.set(KeyValue::new("http.route", route));
    }
    let status = response.status();
    span.set(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if status.is_server_error() {
        span.fail(status.as_str().to_owned(), status.canonical_reason().unwrap_or_default());
    }
}

/// The methods there are; what a caller made up is `_OTHER`, as the conventions have it.
fn method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_what_the_caller_asked_for_if_that_is_well_formed() {
        for (host, address, port) in [
            ("shop.example", "shop.example", None),
            ("Shop.Example:8080", "shop.example", Some(8080)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]:8080", "::1", Some(8080)),
        ] {
            assert_eq!(server(host), Some((address.to_owned(), port)), "{host}");
        }
        for bad in ["", ":80", "a b", "user:secret@shop", "shop:port", "shop:70000", "shop:0", &"x".repeat(254)] {
            assert_eq!(server(bad), None, "{bad:?}");
        }
    }
}
