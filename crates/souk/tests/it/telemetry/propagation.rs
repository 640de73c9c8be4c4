//! Traces that callers began, and traces that nobody records.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind::Server;
use serde_json::Value;

use crate::process::{PATIENCE, eventually};

use super::checkout::trace_of_the_order;
use super::otlp::Receiver;
use super::shop::Shop;
use super::spans::Spans;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A shop that sends its traces to a receiver, and what makes that certain: a request whose spans have come after those of
/// every request before it.
async fn wait_for_all_before(shop: &Shop, receiver: &Receiver, marker: &str) -> Spans {
    let sampled = format!("00-{marker}-{CALLER}-01");
    let request = shop.client.get(shop.souk.url("/api/products?limit=1")).header("traceparent", sampled);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let arrived = |spans: &Spans| match spans.of_trace(marker).find("gateway", Server, "GET /api/products").len() {
        1 => Ok(()),
        found => Err(format!("one request of the marker, not {found}")),
    };
    receiver.until(arrived).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_trace_goes_on_through_all_services_in_either_form() {
    for header in
        [("traceparent", format!("00-{TRACE}-{CALLER}-01")), ("uber-trace-id", format!("{TRACE}:{CALLER}:0:1"))]
    {
        let receiver = Receiver::grpc();
        let shop = Shop::open(&[("SOUK_OTLP_ENDPOINT", receiver.endpoint())]).await;
        let token = shop.ada().await;
        let mut listener = shop.listen(&token).await;
        let order = shop.order(&token, &[(header.0, &header.1)]).await;
        listener.until_notified(&order).await;

        let trace = trace_of_the_order(&receiver, Some(CALLER)).await;
        assert!(trace.0.iter().all(|span| span.trace == TRACE), "{}:\n{trace}", header.0);
        let begun: Vec<_> = trace.roots(Some(CALLER)).iter().map(|span| span.name.as_str()).collect();
        assert_eq!(begun, ["POST /api/orders"], "{}:\n{trace}", header.0);
        assert!(trace.roots(None).is_empty(), "{}:\n{trace}", header.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_its_caller_does_not_record_has_lines_and_no_spans() {
    let receiver = Receiver::grpc();
    let shop = Shop::open(&[("SOUK_OTLP_ENDPOINT", receiver.endpoint())]).await;
    let token = shop.ada().await;
    let mut listener = shop.listen(&token).await;
    let order = shop.order(&token, &[("traceparent", &format!("00-{TRACE}-{CALLER}-00"))]).await;
    listener.until_notified(&order).await;
    eventually("the last line of the order", PATIENCE, || {
        shop.output.grep(TRACE).iter().any(|line| line["message"] == "email sent")
    })
    .await;

    let services: Vec<Value> = shop.output.grep(TRACE).into_iter().map(|line| line["service"].clone()).collect();
    for service in ["gateway", "orders", "inventory", "payment", "notification"] {
        assert!(services.iter().any(|found| found == service), "{service} among {services:?}");
    }
    let spans = wait_for_all_before(&shop, &receiver, "5bf92f3577b34da6a3ce929d0e0e4736").await;
    assert!(spans.of_trace(TRACE).0.is_empty(), "{}", spans.of_trace(TRACE));
    assert!(spans.traces_of_route("POST /api/orders").is_empty(), "no trace of its own either:\n{spans}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_new_traces_the_wanted_part_is_recorded_and_of_a_callers_all() {
    let receiver = Receiver::grpc();
    let ratio = ("SOUK_TRACE_SAMPLE_RATIO", "0".to_owned());
    let shop = Shop::open(&[("SOUK_OTLP_ENDPOINT", receiver.endpoint()), ratio]).await;
    let token = shop.ada().await;
    let mut listener = shop.listen(&token).await;
    let order = shop.order(&token, &[("x-request-id", "not-recorded")]).await;
    listener.until_notified(&order).await;
    eventually("the last line of the order", PATIENCE, || {
        shop.output.grep("not-recorded").iter().any(|line| line["message"] == "email sent")
    })
    .await;

    let spans = wait_for_all_before(&shop, &receiver, TRACE).await;
    assert!(spans.0.iter().all(|span| span.trace == TRACE), "only what a caller asked for:\n{spans}");
}
