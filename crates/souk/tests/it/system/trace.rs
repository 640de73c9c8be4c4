//! One checkout through six processes and four engines is one trace.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{Consumer, Server};
use serde_json::json;

use super::shoppers::Shoppers;
use super::world::World;
use crate::telemetry::otlp::Receiver;
use crate::telemetry::spans::Spans;

/// A caller who records what happens to this order.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Whether all of the checkout's trace has come: to the push, which every gateway hears of.
fn is_whole(spans: &Spans) -> Result<(), String> {
    let trace = spans.of_trace(TRACE);
    let pushes = trace.find("gateway", Consumer, "process inbox.appended").len();
    let orphans = trace.orphans(Some(CALLER));
    match (pushes, &orphans[..]) {
        (4, []) => Ok(()),
        (4, [orphan, ..]) => Err(format!("orphan: {orphan}")),
        _ => Err(format!("{pushes} pushes")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_ENGINE"]
async fn a_checkout_through_six_processes_is_one_tree() {
    let receiver = Receiver::grpc();
    // In production few traces are recorded: this one because its caller records it.
    let world = World::start_with(1, &[("SOUK_OTLP_ENDPOINT", receiver.endpoint())]).await;
    let shoppers = Shoppers::register(&world).await;
    let url = format!("{}/api/orders", world.gateways()[0]);
    let body = json!({ "items": [{ "sku": "PLENTY-1", "quantity": 1 }], "payment_method": "card_ok" });
    let request = world.client.post(url).bearer_auth(shoppers.token(0)).json(&body);
    let placed = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01")).send().await.unwrap();
    assert_eq!(placed.status(), 201);

    let trace = receiver.until(is_whole).await.of_trace(TRACE);
    let begun: Vec<_> = trace.roots(Some(CALLER)).iter().map(|span| span.name.as_str()).collect();
    assert_eq!(begun, ["POST /api/orders"], "{trace}");
    for service in ["gateway", "orders", "inventory", "payment", "notification"] {
        let of: Vec<_> = trace.0.iter().filter(|span| span.service == service).collect();
        let processes: BTreeSet<_> = of.iter().map(|span| span.resource["service.instance.id"].to_string()).collect();
        assert_eq!(processes.len(), 1, "{service} in\n{trace}");
    }
    for (service, name) in
        [("inventory", "souk.inventory.v1.InventoryService/Hold"), ("payment", "souk.payment.v1.PaymentService/Charge")]
    {
        let way: Vec<_> = trace.ancestry(trace.the(service, Server, name)).iter().map(|span| &*span.service).collect();
        assert_eq!(way, [service, "orders", "orders", "orders", "orders", "gateway", "gateway"], "{trace}");
    }
    for event in trace.find("notification", Consumer, "process order.confirmed") {
        assert_eq!(event.attribute("messaging.system"), "rabbitmq", "{event}");
        assert_eq!(trace.ancestry(event)[1].service, "orders", "{trace}");
    }
}
