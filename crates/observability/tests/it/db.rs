//! What a call leaves behind: a span, an observation, the request's time, a line when it was slow.

use std::future::{Ready, ready};
use std::time::{Duration, Instant};

use observability::context::speaking_for;
use observability::db::{self, Client, Fault, StoreFault, System};
use observability::spent::Dependency;
use observability::trace::SpanKind;
use observability::{RequestContext, metrics};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::lines::SlowLines;
use crate::process::{named, received, request};

#[derive(Debug)]
enum Failure {
    Refused,
    Store,
}

impl StoreFault for Failure {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Refused => None,
            Self::Store => Some(Fault::new("conflict", "taken").with_status(Some("23505"))),
        }
    }
}

fn done() -> Ready<Result<u8, Failure>> {
    ready(Ok(1))
}

/// Until this time has passed, by the clock that calls are measured with.
async fn pass(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        tokio::task::yield_now().await;
    }
}

/// The value of a line of the metrics; `None` when there is none.
pub(crate) fn metric(line: &str) -> Option<f64> {
    let text = String::from_utf8(metrics::render()).unwrap();
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

fn count_of(service: &str, operation: &str) -> Option<f64> {
    metric(&format!(
        "db_client_operation_duration_seconds_count{{operation=\"{operation}\",service=\"{service}\",system=\"postgresql\"}}"
    ))
}

#[tokio::test]
async fn calls_inside_a_recorded_trace_are_spans() {
    let request = request();
    let client = Client::new(System::Postgresql, "shop").at("db.example", 5432);
    let broker = Client::new(System::Sqlite, "broker").as_broker();

    assert!(!client.begin("outside").is_recorded(), "what no request asked for makes no trace");
    let server = request.start(SpanKind::Server, "GET /", Vec::new);
    let scoped = async {
        let mut call = client.begin("find thing");
        assert!(call.is_recorded());
        call.statements("SELECT 1 WHERE id = $1".to_owned());
        call.end(&done().await);
        client.call("save thing", async { Err::<(), _>(Failure::Store) }).await.unwrap_err();
        client.call("refuse thing", async { Err::<(), _>(Failure::Refused) }).await.unwrap_err();
        broker.call("publish", done()).await.unwrap();
        // Dropped before it answers.
        let forgotten = client.call("forget thing", std::future::pending::<Result<(), Failure>>());
        assert!(tokio::time::timeout(Duration::ZERO, forgotten).await.is_err());
        client.call("ask inside", async { Ok::<_, Failure>(RequestContext::current().unwrap().span_id()) }).await
    };
    let asked = server.scope(scoped).await.unwrap();
    assert_ne!(asked, server.context().span_id(), "a call's own calls are inside of it");
    let server_id = server.context().span_id().to_bytes().to_vec();
    server.end();

    let spans = received(&request, 6).await;
    let found = named(&spans, "find thing");
    assert_eq!(found.span.parent_span_id, server_id);
    assert_eq!(found.span.kind(), opentelemetry_proto::tonic::trace::v1::span::SpanKind::Client);
    for (key, value) in [
        ("db.system.name", "postgresql"),
        ("db.namespace", "shop"),
        ("db.operation.name", "find thing"),
        ("db.query.summary", "find thing"),
        ("db.query.text", "SELECT 1 WHERE id = $1"),
        ("server.address", "db.example"),
        ("server.port", "5432"),
    ] {
        assert_eq!(found.text(key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(found.text("error.type"), None);

    let failed = named(&spans, "save thing");
    assert_eq!(failed.text("error.type").as_deref(), Some("conflict"));
    assert_eq!(failed.text("db.response.status_code").as_deref(), Some("23505"));
    assert_eq!(failed.span.status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(named(&spans, "refuse thing").text("error.type"), None, "a refusal is no failure");
    assert_eq!(named(&spans, "forget thing").text("error.type").as_deref(), Some("cancelled"));
    assert!(spans.iter().all(|span| span.span.name != "publish"), "the broker's own store makes no spans");
    assert_eq!(request.spent().on(Dependency::Sql).1, 5);
    assert_eq!(request.spent().on(Dependency::Broker).1, 1);
}

#[tokio::test]
async fn a_call_is_observed_once_however_it_ends() {
    let client = Client::new(System::Postgresql, "stock").owned_by("inventory");
    client.call("once", done()).await.unwrap();
    client.call("once", async { Err::<(), _>(Failure::Store) }).await.unwrap_err();
    let cancelled = client.call("once", std::future::pending::<Result<(), NoFault>>());
    assert!(tokio::time::timeout(Duration::ZERO, cancelled).await.is_err());
    assert_eq!(count_of("inventory", "once"), Some(3.0));
    speaking_for("elsewhere", client.call("once", done())).await.unwrap();
    assert_eq!(count_of("elsewhere", "once"), Some(1.0), "in the name of the service that asks");
    assert_eq!(count_of("inventory", "once"), Some(3.0));
}

#[tokio::test]
async fn a_slow_call_is_logged_with_its_request_and_counted() {
    let lines = SlowLines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let _installed = tracing::subscriber::set_default(subscriber);
    let client = Client::new(System::Mongodb, "letters").owned_by("post");
    let request = RequestContext::accept(Some("r-42"), None);

    db::set_slow_threshold(Duration::from_millis(20));
    let slow = async {
        let mut call = client.begin("list letters");
        call.statements("find letters by owner".to_owned());
        pass(Duration::from_millis(20)).await;
        call.end(&done().await);
        client.call("quick", done()).await
    };
    request.scope(slow).await.unwrap();
    let told = lines.taken();
    let [line] = told.as_slice() else { panic!("{told:?}") };
    for part in [
        "level=WARN",
        "request_id=r-42",
        "operation=\"list letters\"",
        "system=\"mongodb\"",
        "database=\"letters\"",
        "duration_ms=",
        "statements=\"find letters by owner\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(metric("db_slow_operations_total{service=\"post\",system=\"mongodb\"}"), Some(1.0));

    db::set_slow_threshold(Duration::ZERO);
    assert_eq!(db::slow_threshold(), None);
    let off = async {
        pass(Duration::from_millis(20)).await;
        done().await
    };
    client.call("off", off).await.unwrap();
    assert_eq!(lines.taken(), Vec::<String>::new());
}

impl StoreFault for NoFault {
    fn fault(&self) -> Option<Fault<'_>> {
        None
    }
}

/// An error that is none of the store's.
#[derive(Debug)]
pub(crate) struct NoFault;
