//! Spans, from the code that makes them to the receiver.

use std::time::Duration;

use observability::RequestContext;
use observability::spent::{Dependency, spend};
use observability::trace::{self, KeyValue, SpanKind};
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::process::{PROCESS, named, received, request};
use crate::receiver::{number, text};

#[tokio::test]
async fn services_of_one_process_send_under_their_own_names_and_children_find_their_parents() {
    let caller = request();
    let front = caller.clone().in_service("front").start(SpanKind::Server, "GET /", Vec::new);
    front
        .scope(async {
            let call = trace::child(SpanKind::Client, "call", Vec::new).unwrap();
            let arrived = RequestContext::accept(Some("r-1"), Some(&call.context().traceparent())).in_service("back");
            let back = arrived.start(SpanKind::Server, "back.Call", Vec::new);
            back.scope(async { tracing::info_span!("of the macros").in_scope(|| ()) }).await;
        })
        .await;
    front.end();
    let spans = received(&caller, 4).await;
    let of = |name: &str| named(&spans, name);
    assert_eq!(of("GET /").span.parent_span_id, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    for (child, parent, service) in
        [("call", "GET /", "front"), ("back.Call", "call", "back"), ("of the macros", "back.Call", "back")]
    {
        assert_eq!(of(child).span.parent_span_id, of(parent).span.span_id, "{child}");
        assert_eq!(of(child).service, service);
        assert_eq!(of(child).text("service.name"), None, "it is the resource's");
    }
    for span in &spans {
        assert_eq!(span.text("request.id").as_deref(), Some("r-1"), "{span:?}");
        let sdk = ["name", "language"].map(|part| text(&span.resource, &format!("telemetry.sdk.{part}")));
        assert_eq!(sdk, ["opentelemetry", "rust"].map(|part| Some(part.to_owned())), "{span:?}");
        assert!(text(&span.resource, "telemetry.sdk.version").is_some(), "{span:?}");
        assert_eq!(span.version, env!("CARGO_PKG_VERSION"), "{span:?}");
    }
}

#[tokio::test]
async fn a_request_tells_what_it_spent_and_what_failed() {
    let caller = request();
    let span = caller.start(SpanKind::Server, "spender", Vec::new);
    span.scope(async { spend(Dependency::Sql, Duration::from_millis(3)) }).await;
    span.fail("timeout", "the store of a@b.example did not answer");
    span.end_request();
    let spans = received(&caller, 1).await;
    let span = named(&spans, "spender");
    assert_eq!((span.text("time.sql_ms").as_deref(), span.text("calls.sql").as_deref()), (Some("3"), Some("1")));
    assert_eq!(span.text("error.type").as_deref(), Some("timeout"));
    assert_eq!(span.span.status.as_ref().unwrap().code(), StatusCode::Error);
    let event = &span.span.events[0];
    assert_eq!(
        (event.name.as_str(), text(&event.attributes, "exception.type").as_deref()),
        ("exception", Some("timeout"))
    );
    assert!(!format!("{span:?}").contains("a@b.example"), "{span:?}");
}

#[tokio::test]
async fn an_error_that_is_logged_is_seen_on_the_span_it_happened_in() {
    let caller = request();
    let span = caller.start(SpanKind::Internal, "unlucky", Vec::new);
    span.scope(async { tracing::error!(attempt = 2, "the disk is full") }).await;
    span.end();
    let spans = received(&caller, 1).await;
    let span = named(&spans, "unlucky");
    assert_eq!(span.span.status.as_ref().unwrap().code(), StatusCode::Error);
    let event = &span.span.events[0];
    assert_eq!(text(&event.attributes, "exception.message").as_deref(), Some("the disk is full"));
    assert_eq!((event.name.as_str(), number(&event.attributes, "attempt")), ("exception", Some(2)));
}

#[tokio::test]
async fn a_warning_that_is_logged_is_seen_on_its_span_and_is_no_exception() {
    let caller = request();
    let span = caller.start(SpanKind::Internal, "worried", Vec::new);
    span.scope(async { tracing::warn!(left = 7_u64, late = true, "the disk is nearly full") }).await;
    span.end();
    let spans = received(&caller, 1).await;
    let span = named(&spans, "worried");
    assert_eq!(span.span.status.as_ref().map_or(StatusCode::Unset, Status::code), StatusCode::Unset);
    let event = &span.span.events[0];
    let of = |key: &str| text(&event.attributes, key);
    assert_eq!((event.name.as_str(), of("log.message").as_deref()), ("log", Some("the disk is nearly full")));
    assert_eq!((of("exception.message"), of("code.namespace")), (None, None));
    assert_eq!(number(&event.attributes, "left"), Some(7));
    assert_eq!(of("code.file.path").as_deref(), Some(file!()));
    assert!(number(&event.attributes, "code.line.number").is_some());
}

#[tokio::test]
async fn no_secret_leaves_with_a_span() {
    let caller = request();
    let span = caller.start(SpanKind::Server, "careless", || {
        vec![KeyValue::new("user.password", "hunter2-canary"), KeyValue::new("note", "write to canary@souk.example")]
    });
    span.end();
    let spans = received(&caller, 1).await;
    let span = named(&spans, "careless");
    let all = format!("{span:?}");
    assert!(!all.contains("hunter2-canary") && !all.contains("canary@souk.example"), "{all}");
}

#[tokio::test]
async fn a_caller_who_does_not_record_is_followed_in_that() {
    let _ = &*PROCESS;
    let trace_id = uuid::Uuid::new_v4().simple().to_string();
    let quiet = RequestContext::accept(None, Some(&format!("00-{trace_id}-00f067aa0ba902b7-00")));
    let span = quiet.start(SpanKind::Server, "quiet", || panic!("attributes of what is not recorded"));
    assert!(!span.is_recording());
    assert_eq!(span.context().trace_id(), quiet.trace_id());
    assert_ne!(span.context().span_id(), quiet.span_id(), "log lines name the span they are in");
    assert!(span.context().traceparent().ends_with("-00"));
    span.scope(async { assert!(trace::child(SpanKind::Client, "call", Vec::new).is_none()) }).await;
    span.end();
    // Spans are sent in the order they ended: once a later one is there, the quiet one is not on its way.
    let later = request();
    later.start(SpanKind::Server, "later", Vec::new).end();
    received(&later, 1).await;
    assert!(PROCESS.receiver.of(quiet.trace_id().to_bytes()).is_empty());
}

#[tokio::test]
async fn outside_of_a_trace_a_call_makes_none() {
    let _ = &*PROCESS;
    assert!(trace::child(SpanKind::Client, "poll", Vec::new).is_none());
    let idle = RequestContext::background();
    assert!(idle.scope(async { trace::child(SpanKind::Client, "poll", Vec::new).is_none() }).await);
}
