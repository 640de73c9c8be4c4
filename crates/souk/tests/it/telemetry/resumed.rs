//! A checkout that is not decided at once goes on later, by other hands: in the same request and the same trace.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{Internal, Server};
use serde_json::json;

use crate::process::{PATIENCE, eventually};

use super::otlp::Receiver;
use super::shop::Shop;
use super::spans::Spans;

const REQUEST: &str = "resumed-1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_that_is_settled_later_stays_in_its_request_and_its_trace() {
    let receiver = Receiver::grpc();
    let shop = Shop::open(&[("SOUK_OTLP_ENDPOINT", receiver.endpoint())]).await;
    let token = shop.ada().await;
    let mut listener = shop.listen(&token).await;
    let body =
        json!({ "items": [{ "sku": "TEA-MINT-100", "quantity": 1 }], "payment_method": "card_timeout_captured" });
    let order = shop.client.post(shop.souk.url("/api/orders")).bearer_auth(&token).header("x-request-id", REQUEST);
    let answer = order.json(&body).timeout(PATIENCE).send().await.unwrap();
    assert_eq!(answer.status(), 202, "its outcome is not known yet");
    // Told to the customer under the request that they made.
    listener.until("event: notification").await;
    listener.until(&format!("\"request_id\":\"{REQUEST}\"")).await;

    let told = ["checkout is put off", "payment decided", "checkout is taken up", "order changed", "email sent"];
    for message in told {
        let is_told = || shop.output.grep(REQUEST).iter().any(|line| line["message"] == message);
        eventually(&format!("a line '{message}' that names the request"), PATIENCE, is_told).await;
    }
    let lines = shop.output.grep(REQUEST);
    let trace = lines[0]["trace_id"].as_str().unwrap().to_owned();
    assert!(lines.iter().all(|line| line["trace_id"] == *trace), "one trace: {lines:#?}");

    // Parents end, and are sent, after their children.
    let complete = |spans: &Spans| {
        let spans = spans.of_trace(&trace);
        let runs = spans.find("orders", Internal, "checkout.process").len();
        let orphans = spans.orphans(None).len();
        if runs >= 2 && orphans == 0 { Ok(()) } else { Err(format!("{runs} runs of the saga, {orphans} orphans")) }
    };
    let spans = receiver.until(complete).await.of_trace(&trace);
    spans.the("gateway", Server, "POST /api/orders");
    assert!(!spans.find("payment", Internal, "payment.reconcile").is_empty());
    assert_eq!(spans.roots(None).len(), 1);
}
