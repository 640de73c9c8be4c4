//! One checkout, followed from the request to the push.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{self, Client, Consumer, Internal, Producer, Server};
use serde_json::{Value, json};

use crate::audit::Stores;
use crate::process::{PATIENCE, eventually};

use super::otlp::Receiver;
use super::scrape::Scrape;
use super::shop::Shop;
use super::spans::{Span, Spans};

/// The root.
const PLACED: &str = "POST /api/orders";
/// The services that a checkout passes through.
const SERVICES: [&str; 5] = ["gateway", "inventory", "notification", "orders", "payment"];

/// The last spans: an entry goes out over a connection.
const PUSH: &str = "push inbox entry";

/// What is pushed because of a checkout: the order twice, placed and confirmed, the notification, and the count of unread ones.
const PUSHES: usize = 4;

fn request_id(n: usize) -> String {
    format!("checkout-canary-{n}")
}

/// The trace of the only order that was placed, when all of it is there.
fn whole_trace(spans: &Spans, caller: Option<&str>) -> Result<Spans, String> {
    let traces = spans.traces_of_route(PLACED);
    let [trace] = traces.iter().collect::<Vec<_>>()[..] else { return Err(format!("one trace, not {traces:?}")) };
    let trace = spans.of_trace(trace);
    let wanted = [
        ("gateway", Consumer, "process inbox.appended", PUSHES),
        ("notification", Consumer, "process order.confirmed", 1),
        ("notification", Internal, "email.send", 1),
        ("gateway", Producer, PUSH, PUSHES),
        ("orders", Internal, "checkout.process", 1),
        ("orders", Consumer, "process payment.captured", 1),
        ("inventory", Producer, "publish inventory.committed", 1),
        ("gateway", Consumer, "process order.created", 1),
        ("gateway", Consumer, "process order.confirmed", 1),
        ("gateway", Consumer, "process inventory.reserved", 1),
        ("gateway", Consumer, "process inventory.committed", 1),
    ];
    for (service, kind, name, count) in wanted {
        let found = trace.find(service, kind, name).len();
        if found != count {
            return Err(format!("{count} of {service} {kind:?} {name}, not {found}"));
        }
    }
    match trace.orphans(caller)[..] {
        [] => Ok(trace),
        [orphan, ..] => Err(format!("orphan: {orphan}")),
    }
}

/// Waits for the trace of the only order that was placed.
pub(super) async fn trace_of_the_order(receiver: &Receiver, caller: Option<&str>) -> Spans {
    let spans = receiver.until(|spans| whole_trace(spans, caller).map(drop)).await;
    whole_trace(&spans, caller).unwrap()
}

/// The spans that lead from the root to this one: service, kind, name.
fn way_to<'a>(trace: &'a Spans, span: &Span) -> Vec<(&'a str, SpanKind, &'a str)> {
    let mut way: Vec<_> =
        trace.ancestry(span).into_iter().map(|span| (span.service.as_str(), span.kind, span.name.as_str())).collect();
    way.reverse();
    way
}

fn assert_calls(trace: &Spans) {
    let place = "souk.orders.v1.OrdersService/PlaceOrder";
    let to_orders = [("gateway", Server, PLACED), ("gateway", Client, place), ("orders", Server, place)];
    let calls = [
        ("inventory", "souk.inventory.v1.InventoryService/BatchGetProducts", None),
        ("inventory", "souk.inventory.v1.InventoryService/Hold", Some("reserve")),
        ("inventory", "souk.inventory.v1.InventoryService/Pin", Some("reserve")),
        ("payment", "souk.payment.v1.PaymentService/Charge", Some("charge")),
        ("inventory", "souk.inventory.v1.InventoryService/Commit", Some("commit")),
    ];
    for (service, name, step) in calls {
        let call = trace.the(service, Server, name);
        let mut way = to_orders.to_vec();
        if step.is_some() {
            way.extend([("orders", Internal, "checkout.process"), ("orders", Internal, "saga.step")]);
        }
        way.extend([("orders", Client, name), (service, Server, name)]);
        assert_eq!(way_to(trace, call), way, "the way to {name} in\n{trace}");
        if let Some(step) = step {
            let of = trace.ancestry(call)[2];
            assert_eq!(of.attribute("saga.step"), step, "{of}");
        }
        for span in [call, trace.the("orders", Client, name)] {
            span.assert_attributes(&[
                ("rpc.system.name", json!("grpc")),
                ("rpc.method", json!(name)),
                ("rpc.response.status_code", json!("OK")),
            ]);
        }
    }
}

fn assert_business(trace: &Spans, order: &Value) {
    let checkout = trace.the("orders", Internal, "checkout.process");
    checkout.assert_attributes(&[
        ("order.id", order["id"].clone()),
        ("user.id", order["user_id"].clone()),
        ("order.total_minor", order["total"]["amount_minor"].clone()),
        ("order.currency", order["total"]["currency"].clone()),
        ("order.lines", json!(1)),
        ("order.status", json!("confirmed")),
        ("saga.state", json!("done")),
        ("saga.attempt", json!(1)),
    ]);
    let steps = trace.find("orders", Internal, "saga.step");
    assert!(steps.iter().all(|step| step.parent.as_deref() == Some(&checkout.id)), "{trace}");
    assert!(steps.iter().all(|step| step.attribute("order.id") == &order["id"]), "{trace}");
    let names: BTreeSet<_> = steps.iter().map(|step| step.attribute("saga.step").as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["charge", "commit", "confirm", "reserve"]), "{trace}");
}

/// What an event was published from, published as, and processed by.
fn assert_events(trace: &Spans) {
    let roads = [
        ("order.created", "orders", "orders", vec!["gateway", "notification"]),
        ("order.confirmed", "orders", "orders", vec!["gateway", "notification"]),
        ("inventory.reserved", "inventory", "inventory", vec!["gateway"]),
        ("inventory.committed", "inventory", "inventory", vec!["gateway"]),
        ("payment.captured", "payment", "payment", vec!["orders"]),
        ("inbox.appended", "notification", "notification", vec!["gateway"]),
    ];
    for (event, cause, publisher, consumers) in roads {
        let published = trace.find(publisher, Producer, &format!("publish {event}"));
        assert_eq!(published.len(), if event == "inbox.appended" { PUSHES } else { 1 }, "{event} in\n{trace}");
        for publish in published {
            assert_eq!(trace.ancestry(publish)[1].service, cause, "where {event} comes from in\n{trace}");
            publish.assert_attributes(&[
                ("messaging.operation.name", json!("publish")),
                ("messaging.operation.type", json!("send")),
                ("messaging.system", json!("sqlite")),
                ("messaging.destination.name", json!("events")),
                ("cloudevents.event_type", json!(event)),
            ]);
            let took = publish.attribute("time.broker_ms").as_f64();
            assert!(took.is_some_and(|took| took > 0.0), "{publish}");
            let processed = trace.children(publish);
            let mut by: Vec<_> = processed.iter().map(|span| span.service.as_str()).collect();
            by.sort_unstable();
            assert_eq!(by, consumers, "who uses {event} in\n{trace}");
            for process in processed {
                assert_eq!((process.kind, process.name.as_str()), (Consumer, &*format!("process {event}")));
                process.assert_attributes(&[
                    ("messaging.operation.name", json!("process")),
                    ("messaging.operation.type", json!("process")),
                    ("messaging.message.id", publish.attribute("messaging.message.id").clone()),
                    ("messaging.delivery.attempt", json!(1)),
                ]);
                let group = process.attribute("messaging.consumer.group.name").as_str().unwrap();
                let groups = [
                    "gateway.live.orders",
                    "gateway.live.products",
                    "gateway.realtime",
                    "notification.events",
                    "orders.events",
                ];
                assert!(groups.contains(&group), "{process}");
            }
        }
    }
}

/// The email goes out later, and is nevertheless part of what caused it.
fn assert_email(trace: &Spans) {
    let email = trace.the("notification", Internal, "email.send");
    assert_eq!(trace.ancestry(email)[1].name, "process order.confirmed", "{trace}");
    email.assert_has(&["notification.id"]);
}

/// Each push comes of the entry that it tells of.
fn assert_pushes(trace: &Spans) {
    for push in trace.find("gateway", Producer, PUSH) {
        assert_eq!(trace.ancestry(push)[1].name, "process inbox.appended", "{trace}");
        push.assert_attributes(&[("realtime.transport", json!("sse"))]);
        push.assert_has(&["inbox.cursor"]);
    }
}

fn assert_entry(trace: &Spans, port: u16) {
    let entry = trace.the("gateway", Server, PLACED);
    entry.assert_attributes(&[
        ("http.request.method", json!("POST")),
        ("http.route", json!("/api/orders")),
        ("http.response.status_code", json!(201)),
        ("url.path", json!("/api/orders")),
        ("url.scheme", json!("http")),
        ("network.protocol.version", json!("1.1")),
        ("client.address", json!("127.0.0.1")),
        ("server.address", json!("127.0.0.1")),
        ("server.port", json!(port)),
        ("calls.grpc", json!(1)),
    ]);
    entry.assert_has(&["time.grpc_ms"]);
}

fn assert_resources(trace: &Spans) {
    for span in &trace.0 {
        assert!(!span.failed, "{span}");
        for (name, value) in [("service.namespace", "souk"), ("deployment.environment.name", "development")] {
            assert_eq!(span.resource[name], value, "{name} of {span}");
        }
        for name in ["service.version", "telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version"] {
            assert!(span.resource.contains_key(name), "{name} of {span}");
        }
        let instance = span.resource["service.instance.id"].as_str().unwrap();
        assert!(uuid::Uuid::parse_str(instance).is_ok(), "{instance}");
        assert!(!span.attributes.contains_key("service.name"), "it belongs to the resource: {span}");
    }
}

/// Each service's calls of its store, inside what they were made for.
fn assert_database_spans(trace: &Spans) {
    let is_call = |span: &&Span| span.attributes.contains_key("db.system.name");
    for service in ["orders", "inventory", "payment", "notification"] {
        let calls: Vec<_> = trace.0.iter().filter(|span| span.service == service).filter(is_call).collect();
        assert!(!calls.is_empty(), "calls of the store of {service} in\n{trace}");
        for call in calls {
            assert_eq!((call.kind, call.attribute("db.system.name")), (Client, &json!("sqlite")), "{call}");
            call.assert_has(&["db.namespace", "db.operation.name", "db.query.summary"]);
            assert!(call.parent.is_some() && trace.children(call).is_empty(), "{call} in\n{trace}");
        }
        let entry = trace.0.iter().find(|span| span.service == service && [Server, Consumer].contains(&span.kind));
        entry.unwrap().assert_has(&["calls.sql", "time.sql_ms"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_of_a_checkout_is_one_tree_from_the_request_to_the_push() {
    let receiver = Receiver::grpc();
    let shop = Shop::open(&[("SOUK_OTLP_ENDPOINT", receiver.endpoint())]).await;
    let token = shop.ada().await;
    let mut listener = shop.listen(&token).await;
    let order = shop.order(&token, &[("x-request-id", &request_id(1))]).await;
    listener.until_notified(&order).await;

    // Whoever looks at the screen can say what to search for.
    assert_eq!(listener.count(&format!(r#""request_id":"{}""#, request_id(1))), PUSHES);

    let trace = trace_of_the_order(&receiver, None).await;
    let roots: Vec<_> =
        trace.roots(None).iter().map(|root| (root.service.as_str(), root.kind, root.name.as_str())).collect();
    assert_eq!(roots, [("gateway", Server, PLACED)], "{trace}");
    assert!(SERVICES.iter().all(|service| trace.services().contains(service)), "{trace}");
    assert_entry(&trace, shop.souk.gateway.port());
    assert_calls(&trace);
    assert_business(&trace, &order);
    assert_events(&trace);
    assert_email(&trace);
    assert_pushes(&trace);
    assert_resources(&trace);
    assert_database_spans(&trace);

    // The lines tell of the same trace, and each of the span that it was written in.
    let spans: BTreeSet<_> = trace.0.iter().map(|span| span.id.as_str()).collect();
    let trace_id = trace.0[0].trace.clone();
    let lines = shop.output.grep(&trace_id);
    assert!(!lines.is_empty());
    for line in lines {
        assert!(spans.contains(line["span_id"].as_str().unwrap()), "{line} names no span of\n{trace}");
    }
}

/// What each service says of a checkout in production.
const STORY: [(&str, &str); 9] = [
    ("orders", "order placed"),
    ("inventory", "stock held"),
    ("payment", "payment decided"),
    ("orders", "order changed"),
    ("inventory", "reservation settled"),
    ("notification", "order event recorded"),
    ("notification", "order event recorded"),
    ("notification", "email sent"),
    ("gateway", "inbox entry pushed"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_for_the_request_id_tells_the_whole_story_and_every_line_of_it_carries_its_ids() {
    // Nobody takes traces here: the lines have their ids nevertheless.
    for (level, answered) in [("info", false), ("http", true), ("debug", true)] {
        let shop = Shop::open(&[("SOUK_LOG", level.to_owned())]).await;
        let token = shop.ada().await;
        let mut listener = shop.listen(&token).await;
        let order = shop.order(&token, &[("x-request-id", &request_id(1))]).await;
        listener.until_notified(&order).await;

        let told = || -> Vec<(String, String)> {
            let of = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let lines = shop.output.grep(&request_id(1));
            lines.iter().map(|line| (of(line, "service"), of(line, "message"))).collect()
        };
        let mut wanted: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for fact in STORY {
            *wanted.entry(fact).or_default() += 1;
        }
        wanted.insert(("gateway", "inbox entry pushed"), PUSHES);
        if answered {
            wanted.insert(("gateway", "request answered"), 1);
        }
        for ((service, message), count) in wanted {
            let found = || told().iter().filter(|(by, what)| by == service && what == message).count();
            eventually(&format!("at {level}, {count} of {message} by {service}"), PATIENCE, || found() == count).await;
        }

        let lines = shop.output.grep(&request_id(1));
        let trace = lines[0]["trace_id"].as_str().unwrap().to_owned();
        for line in lines.iter().chain(&shop.output.grep(&trace)) {
            assert_eq!((&line["request_id"], &line["trace_id"]), (&json!(request_id(1)), &json!(trace)), "{line}");
            assert_eq!(line["span_id"].as_str().unwrap().len(), 16, "{line}");
            for name in ["timestamp", "level", "service", "message"] {
                assert!(line[name].as_str().is_some_and(|text| !text.is_empty()), "{name} of {line}");
            }
            let known = SERVICES.contains(&line["service"].as_str().unwrap()) || line["service"] == "users";
            assert!(known, "{line}");
        }
        // Whatever names the order belongs to the request: no line of a checkout has lost its ids.
        for line in shop.output.grep(order["id"].as_str().unwrap()) {
            assert_eq!(line["request_id"], request_id(1), "{line}");
        }
    }
}

/// What one confirmed checkout moves, exactly, with its customer listening.
const MOVED: &[(&str, f64)] = &[
    (r#"http_request_duration_seconds_count{method="POST",route="/api/orders",status="201"}"#, 1.0),
    (r#"grpc_request_duration_seconds_count{code="OK",method="/souk.orders.v1.OrdersService/PlaceOrder"}"#, 1.0),
    (
        r#"grpc_request_duration_seconds_count{code="OK",method="/souk.inventory.v1.InventoryService/BatchGetProducts"}"#,
        1.0,
    ),
    (r#"grpc_request_duration_seconds_count{code="OK",method="/souk.inventory.v1.InventoryService/Hold"}"#, 1.0),
    (r#"grpc_request_duration_seconds_count{code="OK",method="/souk.inventory.v1.InventoryService/Pin"}"#, 1.0),
    (r#"grpc_request_duration_seconds_count{code="OK",method="/souk.inventory.v1.InventoryService/Commit"}"#, 1.0),
    (r#"grpc_request_duration_seconds_count{code="OK",method="/souk.payment.v1.PaymentService/Charge"}"#, 1.0),
    (r#"grpc_client_request_duration_seconds_count{code="OK",method="/souk.orders.v1.OrdersService/PlaceOrder"}"#, 1.0),
    (
        r#"grpc_client_request_duration_seconds_count{code="OK",method="/souk.inventory.v1.InventoryService/BatchGetProducts"}"#,
        1.0,
    ),
    (r#"grpc_client_request_duration_seconds_count{code="OK",method="/souk.inventory.v1.InventoryService/Hold"}"#, 1.0),
    (r#"grpc_client_request_duration_seconds_count{code="OK",method="/souk.inventory.v1.InventoryService/Pin"}"#, 1.0),
    (
        r#"grpc_client_request_duration_seconds_count{code="OK",method="/souk.inventory.v1.InventoryService/Commit"}"#,
        1.0,
    ),
    (r#"grpc_client_request_duration_seconds_count{code="OK",method="/souk.payment.v1.PaymentService/Charge"}"#, 1.0),
    (r#"orders_total{status="pending"}"#, 1.0),
    (r#"orders_total{status="confirmed"}"#, 1.0),
    (r#"notification_order_events_total{outcome="used"}"#, 2.0),
    (r#"notification_emails_total{outcome="sent"}"#, 1.0),
    (r#"bus_published_total{service="orders",type="order.created"}"#, 1.0),
    (r#"bus_published_total{service="orders",type="order.confirmed"}"#, 1.0),
    (r#"bus_published_total{service="inventory",type="inventory.reserved"}"#, 1.0),
    (r#"bus_published_total{service="inventory",type="inventory.committed"}"#, 1.0),
    (r#"bus_published_total{service="payment",type="payment.captured"}"#, 1.0),
    (r#"bus_published_total{service="notification",type="inbox.appended"}"#, 4.0),
    (r#"bus_consumed_total{group="notification.events",outcome="ack"}"#, 2.0),
    (r#"bus_consumed_total{group="orders.events",outcome="ack"}"#, 1.0),
    (r#"bus_consumed_total{group="gateway.realtime",outcome="ack"}"#, 4.0),
    (r#"bus_consume_duration_seconds_count{group="notification.events"}"#, 2.0),
    (r#"bus_consume_duration_seconds_count{group="orders.events"}"#, 1.0),
    (r#"bus_consume_duration_seconds_count{group="gateway.realtime"}"#, 4.0),
    (r#"bus_consumer_lag_seconds_count{group="notification.events"}"#, 2.0),
    (r#"bus_consumer_lag_seconds_count{group="orders.events"}"#, 1.0),
    (r#"bus_consumer_lag_seconds_count{group="gateway.realtime"}"#, 4.0),
    (r#"bus_consumed_total{group="gateway.live.orders",outcome="ack"}"#, 2.0),
    (r#"bus_consume_duration_seconds_count{group="gateway.live.orders"}"#, 2.0),
    (r#"bus_consumer_lag_seconds_count{group="gateway.live.orders"}"#, 2.0),
    (r#"bus_consumed_total{group="gateway.live.products",outcome="ack"}"#, 2.0),
    (r#"bus_consume_duration_seconds_count{group="gateway.live.products"}"#, 2.0),
    (r#"bus_consumer_lag_seconds_count{group="gateway.live.products"}"#, 2.0),
    (r#"checkout_duration_seconds_count{outcome="confirmed"}"#, 1.0),
    (r#"saga_step_duration_seconds_count{outcome="done",step="reserve"}"#, 1.0),
    (r#"saga_step_duration_seconds_count{outcome="done",step="charge"}"#, 1.0),
    (r#"saga_step_duration_seconds_count{outcome="done",step="confirm"}"#, 1.0),
    (r#"saga_step_duration_seconds_count{outcome="done",step="commit"}"#, 1.0),
    (r"order_value_dollars_count", 1.0),
    (r"order_value_dollars_sum", 6.5),
    (r"realtime_fanout_seconds_count", 4.0),
    (r#"realtime_pushed_total{transport="sse"}"#, 4.0),
];

/// Moves by itself, whoever orders.
const BESIDES: &str = "ListRevocations";

/// How long counters may lag behind the stores.
const SETTLE: Duration = Duration::from_secs(5);

/// The metrics once nothing moves them any more: consumers count after what can be seen of their work.
async fn at_rest(shop: &Shop) -> Scrape {
    let series = || MOVED.iter().map(|(series, _)| *series);
    let started = Instant::now();
    let mut last = Scrape::of(&shop.souk).await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = Scrape::of(&shop.souk).await;
        let mut moved = now.moved_since(&last, series());
        moved.retain(|series, _| !series.contains(BESIDES));
        if moved.is_empty() {
            return now;
        }
        assert!(started.elapsed() < PATIENCE, "it does not come to rest: {moved:#?}");
        last = now;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_move_by_exactly_what_happened() {
    let shop = Shop::open(&[]).await;
    let token = shop.ada().await;
    let mut listener = shop.listen(&token).await;
    // The first order has the services fetch keys, which is kept afterwards.
    let first = shop.order(&token, &[]).await;
    listener.until_notified(&first).await;
    let stores = Stores::of(shop.folder.path());
    eventually("the first order is done", PATIENCE, || stores.settled()).await;
    // Its email, too: it waits for an answer of users, which the second one need not.
    eventually("the first email is sent", PATIENCE, || !shop.output.grep("email sent").is_empty()).await;

    let before = at_rest(&shop).await;
    let second = shop.order(&token, &[]).await;
    listener.until(&format!("\"{}\"", second["id"].as_str().unwrap())).await;
    eventually("the second order is done", PATIENCE, || stores.settled()).await;

    let wanted: BTreeMap<String, f64> = MOVED.iter().map(|(series, by)| ((*series).to_owned(), *by)).collect();
    let started = Instant::now();
    // What is counted last is counted just after it is stored.
    let after = loop {
        let after = Scrape::of(&shop.souk).await;
        let mut moved = after.moved_since(&before, MOVED.iter().map(|(series, _)| *series));
        moved.retain(|series, _| !series.contains(BESIDES));
        if moved == wanted {
            break after;
        }
        assert!(started.elapsed() < SETTLE, "{moved:#?} and not {wanted:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let listening = after.value(r#"active_connections{transport="sse"}"#);
    assert!((listening - 1.0).abs() < f64::EPSILON, "{listening}");
}
