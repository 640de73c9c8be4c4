//! The access log of an actix-web server.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode, Version};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::{ClientAddress, LoggedBody};
use crate::RequestContext;
use crate::access_log::{Exchange, Format, Skip, remote_user};

/// Writes the access log: wrap it around everything but what makes the request's id.
///
/// The line is written once the body of the response has ended, so that streams are told with their true time and
/// length; also when the client went away, the handler panicked or the request was given up. Then it says `aborted`, and
/// without a head there is no status.
///
/// The peer is whoever connected, unless a [`ClientAddress`] says otherwise: what a proxy says of others in
/// `X-Forwarded-For` could be said by anybody, so it is not believed here. `:req[x-forwarded-for]` shows it.
///
/// While the access log is not heard, which is looked up for each request, it costs next to nothing.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Config>);

#[derive(Debug)]
struct Config {
    format: Format,
    skip: Skip,
}

impl AccessLog {
    /// A log in this format, without the paths of `skip`.
    pub fn new(format: Format, skip: Skip) -> Self {
        Self(Arc::new(Config { format, skip }))
    }
}

impl<S, B> Transform<S, ServiceRequest> for AccessLog
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody,
{
    type Response = ServiceResponse<LoggedBody<B>>;
    type Error = Error;
    type Transform = AccessLogService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(AccessLogService { inner: Rc::new(inner), config: Arc::clone(&self.0) }))
    }
}

/// See [`AccessLog`].
#[derive(Debug)]
pub struct AccessLogService<S> {
    inner: Rc<S>,
    config: Arc<Config>,
}

impl<S, B> Service<ServiceRequest> for AccessLogService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody,
{
    type Response = ServiceResponse<LoggedBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (inner, config) = (Rc::clone(&self.inner), Arc::clone(&self.config));
        // All of it when it is polled: only then is it in the scope of the request.
        Box::pin(async move {
            let heard = Format::is_heard() && !config.skip.matches(request.path());
            let mut entry = heard.then(|| Entry::begin(config, &request));
            match inner.call(request).await {
                Ok(response) => Ok(response.map_body(|head, body| {
                    if let Some(entry) = &mut entry {
                        entry.answered(head.status, &head.headers, body.size());
                    }
                    LoggedBody::new(body, entry)
                })),
                Err(error) => {
                    if let Some(entry) = &mut entry {
                        // The server makes the response of it; what is in it is not seen here.
                        let response = error.as_response_error().error_response();
                        entry.answered(response.status(), response.headers(), BodySize::None);
                    }
                    Err(error)
                }
            }
        })
    }
}

/// A line that is written when it is dropped, however that comes.
pub(super) struct Entry {
    config: Arc<Config>,
    context: Option<RequestContext>,
    exchange: Exchange,
    started: Instant,
    written: u64,
    /// What is left to write, where it was announced.
    announced: Option<u64>,
    ended: bool,
}

impl Entry {
    fn begin(config: Arc<Config>, request: &ServiceRequest) -> Self {
        let (context, headers) = (RequestContext::current(), request.headers());
        let exchange = Exchange {
            method: request.method().as_str().to_owned(),
            url: request.uri().path_and_query().map_or("*", |url| url.as_str()).to_owned(),
            http_version: version(request.version()),
            remote_addr: ClientAddress::of(request).map(|address| address.to_string()),
            remote_user: text(headers, header::AUTHORIZATION.as_str()).as_deref().and_then(remote_user),
            id: context.as_ref().map(|context| context.request_id().to_owned()),
            request_headers: config.format.request_headers().iter().map(|name| text(headers, name)).collect(),
            ..Exchange::default()
        };
        Self { config, context, exchange, started: Instant::now(), written: 0, announced: None, ended: false }
    }

    fn answered(&mut self, status: StatusCode, headers: &HeaderMap, size: BodySize) {
        self.exchange.response_time = Some(self.started.elapsed());
        self.exchange.status = Some(status.as_u16());
        let names = self.config.format.response_headers();
        self.exchange.response_headers = names.iter().map(|name| text(headers, name)).collect();
        // What has no body has ended with its head (RFC 9110 §6.4.1).
        let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.ended = bodiless
            || matches!(size, BodySize::None | BodySize::Sized(0))
            || self.exchange.method == Method::HEAD.as_str();
        self.announced = match size {
            _ if bodiless => None,
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::None | BodySize::Stream => {
                text(headers, header::CONTENT_LENGTH.as_str()).and_then(|bytes| bytes.parse().ok())
            }
        };
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.ended |= self.announced.is_some_and(|announced| self.written >= announced);
    }

    pub(super) fn ended(&mut self) {
        self.ended = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.exchange.total_time = Some(self.started.elapsed());
        self.exchange.aborted = !self.ended;
        self.exchange.content_length = self.announced.or((self.written > 0).then_some(self.written));
        let write = async { self.config.format.write(&self.exchange) };
        // The body is sent outside of the request's own scope; the line belongs to it all the same.
        match self.context.take() {
            Some(context) => context.scope(write).now_or_never(),
            None => write.now_or_never(),
        };
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use actix_web::body::{BodyStream, SizedStream, to_bytes};
    use actix_web::http::header::HeaderValue;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, try_call_service};
    use actix_web::web::Bytes;
    use actix_web::{App, HttpResponse, web};
    use serde_json::{Map, Value, json};
    use tracing::field::{Field, Visit};
    use tracing::subscriber::{DefaultGuard, set_default};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::logs::ACCESS_TARGET;

    /// What was written: the fields of each event, with `request_id` from the context that it was written in.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<Map<String, Value>>>>);

    struct Fields<'a>(&'a mut Map<String, Value>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.insert(field.name().to_owned(), format!("{value:?}").into());
        }
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name().to_owned(), value.into());
        }
        fn record_u64(&mut self, field: &Field, value: u64) {
            self.0.insert(field.name().to_owned(), value.into());
        }
        fn record_f64(&mut self, field: &Field, value: f64) {
            self.0.insert(field.name().to_owned(), value.into());
        }
        fn record_bool(&mut self, field: &Field, value: bool) {
            self.0.insert(field.name().to_owned(), value.into());
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Written {
        fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            if event.metadata().target() == ACCESS_TARGET {
                let mut fields = Map::new();
                event.record(&mut Fields(&mut fields));
                if let Some(context) = RequestContext::current() {
                    fields.insert("request_id".to_owned(), context.request_id().into());
                }
                self.0.lock().unwrap().push(fields);
            }
        }
    }

    impl Written {
        fn listen() -> (Self, DefaultGuard) {
            let written = Self::default();
            let guard = set_default(tracing_subscriber::registry().with(written.clone()));
            (written, guard)
        }

        fn take(&self) -> Vec<Map<String, Value>> {
            std::mem::take(&mut self.0.lock().unwrap())
        }

        fn line(&self) -> String {
            let lines = self.take();
            assert_eq!(lines.len(), 1, "{lines:?}");
            lines[0]["message"].as_str().unwrap().to_owned()
        }
    }

    fn log(format: &str) -> AccessLog {
        AccessLog::new(format.parse().unwrap(), "/health/*".parse().unwrap())
    }

    async fn with_id<B: MessageBody>(
        request: ServiceRequest,
        next: actix_web::middleware::Next<B>,
    ) -> Result<ServiceResponse<B>, Error> {
        RequestContext::accept(Some("the-id"), None).scope(next.call(request)).await
    }

    macro_rules! app {
        ($format:expr) => {
            init_service(
                App::new()
                    .wrap(log($format))
                    .wrap(from_fn(with_id))
                    .route("/hello", web::get().to(|| async { HttpResponse::Ok().body("hello") }))
                    .route("/hello", web::head().to(|| async { HttpResponse::Ok().body("hello") }))
                    .route("/health/live", web::get().to(|| async { HttpResponse::Ok().finish() }))
                    .route("/empty", web::get().to(|| async { HttpResponse::NoContent().finish() }))
                    .route(
                        "/stream",
                        web::get().to(|| async {
                            let chunks =
                                ["ab", "cde"].map(|chunk| Ok::<_, Error>(Bytes::from_static(chunk.as_bytes())));
                            HttpResponse::Ok().body(BodyStream::new(futures::stream::iter(chunks)))
                        }),
                    )
                    .route(
                        "/short",
                        web::get().to(|| async {
                            let chunks = futures::stream::iter([Ok::<_, Error>(Bytes::from_static(b"ab"))]);
                            HttpResponse::Ok().body(SizedStream::new(10, chunks.chain(futures::stream::pending())))
                        }),
                    )
                    .route("/never", web::get().to(std::future::pending::<HttpResponse>))
                    .route("/panic", web::get().to(|| async { if true { panic!("meant") } else { "" } })),
            )
            .await
        };
    }
    use futures::StreamExt as _;

    #[actix_web::test]
    async fn the_line_comes_when_the_body_has_ended_and_not_before() {
        let (written, _guard) = Written::listen();
        let app = app!("tiny");
        let response = call_service(&app, TestRequest::get().uri("/stream").to_request()).await;
        assert!(written.take().is_empty(), "the head alone is no end");
        assert_eq!(to_bytes(response.into_body()).await.unwrap(), "abcde");
        let line = written.line();
        assert!(line.starts_with("GET /stream 200 5 - ") && line.ends_with(" ms"), "{line}");
    }

    #[actix_web::test]
    async fn the_client_is_the_peer_unless_it_is_known_better() {
        use actix_web::HttpMessage as _;

        let (written, _guard) = Written::listen();
        let app = app!(":remote-addr");
        let request = || TestRequest::get().uri("/empty").peer_addr("203.0.113.7:5000".parse().unwrap()).to_request();
        drop(call_service(&app, request()).await);
        assert_eq!(written.line(), "203.0.113.7");
        let known = request();
        known.extensions_mut().insert(ClientAddress("2001:db8::7".parse().unwrap()));
        drop(call_service(&app, known).await);
        assert_eq!(written.line(), "2001:db8::7");
    }

    #[actix_web::test]
    async fn as_json_it_is_fields_of_the_request_in_whose_scope_it_was() {
        let (written, _guard) = Written::listen();
        let app = app!("json");
        let request = TestRequest::get()
            .uri("/hello?token=abc&a=1")
            .peer_addr("203.0.113.7:5000".parse().unwrap())
            .insert_header(("user-agent", "curl/8.0"))
            .insert_header(("referer", "https://shop.example/?code=abc"))
            .insert_header(("x-forwarded-for", "198.51.100.1"));
        let response = call_service(&app, request.to_request()).await;
        to_bytes(response.into_body()).await.unwrap();
        let mut fields = written.take().remove(0);
        assert!(
            fields.remove("response_time_ms").unwrap().as_f64() <= fields.remove("total_time_ms").unwrap().as_f64()
        );
        let wanted = json!({
            "message": "request answered", "request_id": "the-id", "method": "GET", "url": "/hello?token=***&a=1",
            "status": 200, "content_length": 5, "remote_addr": "203.0.113.7", "user_agent": "curl/8.0",
            "referrer": "https://shop.example/?code=***", "http_version": "1.1",
        });
        assert_eq!(Value::Object(fields), wanted);
    }

    #[actix_web::test]
    async fn a_client_that_goes_away_in_the_middle_of_the_body_leaves_a_line_that_says_so() {
        let (written, _guard) = Written::listen();
        let app = app!("json");
        let response = call_service(&app, TestRequest::get().uri("/short").to_request()).await;
        let mut body = Box::pin(response.into_body());
        let chunk = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await;
        assert_eq!(chunk.unwrap().unwrap(), "ab");
        assert!(written.take().is_empty());
        drop(body);
        let fields = written.take().remove(0);
        assert_eq!((&fields["aborted"], &fields["status"]), (&json!(true), &json!(200)));
        assert_eq!(fields["request_id"], "the-id");
    }

    #[actix_web::test]
    async fn a_client_that_goes_away_before_the_head_leaves_a_line_without_a_status() {
        let (written, _guard) = Written::listen();
        let app = app!(":method :url :status :response-time :id");
        let call = call_service(&app, TestRequest::get().uri("/never").to_request());
        assert!(call.now_or_never().is_none());
        assert_eq!(written.line(), "GET /never - - the-id");
    }

    #[actix_web::test]
    async fn a_panic_leaves_a_line_without_a_status() {
        let (written, _guard) = Written::listen();
        let app = app!(":method :url :status");
        let call = call_service(&app, TestRequest::get().uri("/panic").to_request());
        assert!(std::panic::AssertUnwindSafe(call).catch_unwind().await.is_err());
        assert_eq!(written.line(), "GET /panic -");
    }

    #[actix_web::test]
    async fn what_has_no_body_ends_with_its_head() {
        let (written, _guard) = Written::listen();
        let app = app!("json");
        for (method, uri, length) in [(Method::GET, "/empty", None), (Method::HEAD, "/hello", Some(5))] {
            drop(call_service(&app, TestRequest::with_uri(uri).method(method).to_request()).await);
            let fields = written.take().remove(0);
            assert_eq!(fields.get("aborted"), None, "{uri}");
            assert_eq!(fields.get("content_length").and_then(Value::as_u64), length, "{uri}");
        }
    }

    #[actix_web::test]
    async fn an_error_that_no_one_answered_is_told_with_its_status() {
        let (written, _guard) = Written::listen();
        async fn refuse<B: MessageBody>(
            _: ServiceRequest,
            _: actix_web::middleware::Next<B>,
        ) -> Result<ServiceResponse<B>, Error> {
            Err(actix_web::error::ErrorImATeapot("no"))
        }
        let app = init_service(App::new().wrap(from_fn(refuse)).wrap(log(":status :url"))).await;
        assert!(try_call_service(&app, TestRequest::get().uri("/x").to_request()).await.is_err());
        assert_eq!(written.line(), "418 /x");
    }

    #[actix_web::test]
    async fn skipped_paths_and_an_access_log_that_is_off_leave_nothing() {
        let (written, guard) = Written::listen();
        let app = app!("tiny");
        drop(call_service(&app, TestRequest::get().uri("/health/live").to_request()).await);
        assert!(written.take().is_empty());
        drop(guard);
        let off = tracing_subscriber::EnvFilter::new("info");
        let _guard = set_default(tracing_subscriber::registry().with(written.clone()).with(off));
        drop(call_service(&app, TestRequest::get().uri("/hello").to_request()).await);
        assert!(written.take().is_empty());
    }

    #[actix_web::test]
    async fn bytes_that_are_no_text_and_quotes_of_callers_stay_inside_their_field() {
        let (written, _guard) = Written::listen();
        let app = app!("combined");
        let mut request = TestRequest::get().uri("/empty").to_request();
        let hostile = HeaderValue::from_bytes(b"\xff\"\t200 forged").unwrap();
        request.headers_mut().insert(header::USER_AGENT, hostile);
        drop(call_service(&app, request).await);
        let line = written.line();
        assert!(line.ends_with("\"\u{fffd}\\\"\\x09200 forged\""), "{line}");
    }
}
