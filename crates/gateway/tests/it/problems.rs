//! How refusals of services reach the caller.

use std::time::Duration;

use contracts::{Reason, Refusal};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::Code;

use crate::stubs::orders::ID as ORDER;
use crate::world::{World, problem, refusal, settings};

#[tokio::test]
async fn every_reason_reaches_the_caller_with_its_status_and_type() {
    let world = World::new().await;
    for reason in Reason::ALL {
        world.script.refuse("GetOrder", Refusal::new(*reason, "in detail").with("order_id", ORDER));
        let response = world.get(&format!("/api/orders/{ORDER}")).bearer_auth(world.token()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), reason.http_status(), "{reason:?}");
        let headers = response.headers().clone();
        let problem = problem(response).await;
        assert_eq!(problem["type"], format!("/problems/{}", reason.slug()));
        assert_eq!(problem["title"], reason.title());
        assert_eq!(problem["instance"], format!("/api/orders/{ORDER}"));
        let detail = if reason.http_status() >= 500 { reason.title() } else { "in detail" };
        assert_eq!(problem["detail"], detail);
        let told = if *reason == Reason::Internal { Value::Null } else { json!(ORDER) };
        assert_eq!(problem["order_id"], told);
        let waits = matches!(reason.http_status(), 429 | 503 | 504) || *reason == Reason::OrderInProgress;
        assert_eq!(headers.contains_key("retry-after"), waits, "{reason:?}");
        assert_eq!(headers.contains_key("www-authenticate"), reason.http_status() == 401, "{reason:?}");
        assert_eq!(headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn an_out_of_stock_order_names_what_is_missing_and_the_fields_at_fault_keep_their_pointers() {
    let world = World::new().await;
    let order = json!({"items": [{"sku": "TEA-1", "quantity": 3}], "payment_method": "card_ok"});
    let place = || world.post("/api/orders").bearer_auth(world.token()).json(&order).send();
    let missing = json!([{"sku": "TEA-1", "requested": 3, "available": 1}]);
    world.script.refuse(
        "PlaceOrder",
        Refusal::new(Reason::OutOfStock, "3 of TEA-1 wanted, 1 available")
            .with("order_id", ORDER)
            .with("missing", &missing),
    );
    let response = place().await.unwrap();
    assert_eq!(response.status(), StatusCode::CONFLICT);
    let answer = problem(response).await;
    assert_eq!((&answer["missing"], &answer["order_id"]), (&missing, &json!(ORDER)));

    world.script.refuse("PlaceOrder", Refusal::invalid("/items/0/quantity", "must be at least 1"));
    let answer = problem(place().await.unwrap()).await;
    assert_eq!(answer["errors"], json!([{"pointer": "/items/0/quantity", "detail": "must be at least 1"}]));

    let wait = Refusal::new(Reason::OrderInProgress, "wait").retry_after(Duration::from_millis(2100));
    world.script.refuse("PlaceOrder", wait);
    assert_eq!(place().await.unwrap().headers()["retry-after"], "3");
}

#[tokio::test]
async fn what_a_foreign_server_says_is_not_repeated() {
    let world = World::new().await;
    for (code, expected) in [
        (Code::Internal, "500 internal"),
        (Code::Unknown, "500 internal"),
        (Code::Unimplemented, "500 internal"),
        (Code::DataLoss, "500 internal"),
        (Code::Unavailable, "503 unavailable"),
        (Code::Cancelled, "503 unavailable"),
        (Code::DeadlineExceeded, "504 deadline-exceeded"),
    ] {
        world.script.fail("GetProduct", code, "secret of the engine room");
        let response = world.get("/api/products/TEA-1").send().await.unwrap();
        let text = world.get("/api/products/TEA-1").send().await.unwrap().text().await.unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(refusal(response).await, expected, "{code:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_lost_is_503_with_retry_after_and_one_that_hangs_is_504() {
    let world = World::with(gateway::Settings { request_timeout: Duration::from_millis(500), ..settings() }).await;
    world.script.hang("PlaceOrder");
    let order = json!({"items": [], "payment_method": "card_ok"});
    let place = || world.post("/api/orders").bearer_auth(world.token()).json(&order).send();
    assert_eq!(refusal(place().await.unwrap()).await, "504 deadline-exceeded");

    // All services stop; the gateway's own server goes on until its handle stops it.
    world.stop.cancel();
    crate::world::eventually("orders is gone", async || {
        let response = place().await.unwrap();
        let waits = response.headers().contains_key("retry-after");
        refusal(response).await == "503 unavailable" && waits
    })
    .await;
}

#[tokio::test]
async fn a_panic_is_a_500_problem_and_the_connection_lives_on() {
    let world = World::new().await;
    // A moment beyond every calendar: writing it fails in a way that the JSON writer does not expect.
    *world.orders.twist.lock().unwrap() = |outcome| outcome.order.as_mut().unwrap().created_at_unix_ms = i64::MAX;
    let get = || world.get(&format!("/api/orders/{ORDER}")).bearer_auth(world.token()).send();
    assert_eq!(refusal(get().await.unwrap()).await, "500 internal");
    *world.orders.twist.lock().unwrap() = |_| {};
    assert_eq!(get().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn nonsense_from_a_service_is_our_fault_and_not_the_callers() {
    let world = World::new().await;
    for twist in [
        (|outcome| outcome.order.as_mut().unwrap().status = 99) as fn(&mut contracts::grpc::orders::OrderOutcome),
        |outcome| outcome.order.as_mut().unwrap().total = None,
        |outcome| outcome.order.as_mut().unwrap().items[0].unit_price = None,
    ] {
        *world.orders.twist.lock().unwrap() = twist;
        let response = world.get(&format!("/api/orders/{ORDER}")).bearer_auth(world.token()).send().await.unwrap();
        assert_eq!(refusal(response).await, "500 internal");
    }
}

#[tokio::test]
async fn the_request_id_is_echoed_carried_to_the_service_and_replaced_when_malformed() {
    let world = World::new().await;
    let path = format!("/api/orders/{ORDER}");
    let get = |id: &'static str| world.get(&path).bearer_auth(world.token()).header("x-request-id", id).send();
    let response = get("my-request.1").await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "my-request.1");
    assert_eq!(world.script.calls("GetOrder").last().unwrap().request_id, "my-request.1");
    let response = get("not one").await.unwrap();
    let made = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_ne!(made, "not one");
    assert_eq!(world.script.calls("GetOrder").last().unwrap().request_id, made);
}

#[tokio::test]
async fn the_trace_of_the_caller_is_continued() {
    let world = World::new().await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let response = world.get("/nowhere").header("traceparent", traceparent).send().await.unwrap();
    assert_eq!(problem(response).await["trace_id"], trace_id);
}

#[tokio::test]
async fn each_problem_type_is_described_at_its_address() {
    let world = World::new().await;
    for reason in Reason::ALL {
        let response = world.get(&format!("/problems/{}", reason.slug())).send().await.unwrap();
        let kind: Value = response.json().await.unwrap();
        assert_eq!((&kind["reason"], &kind["status"]), (&json!(reason.as_str()), &json!(reason.http_status())));
        assert_eq!(kind["advice"], reason.advice());
    }
    assert_eq!(refusal(world.get("/problems/no-such").send().await.unwrap()).await, "404 route-not-found");
}
