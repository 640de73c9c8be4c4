//! The gRPC API: who may do what, and how refusals are told.

use std::sync::Arc;

use contracts::grpc::orders as wire;
use contracts::grpc::orders::OrderStatus;
use contracts::grpc::orders::orders_service_server::OrdersService as _;
use contracts::ids::SessionId;
use contracts::{Reason, Refusal, Role};
use orders::api::grpc::OrdersApi;
use service_kit::auth::{Caller, UserCaller};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::helpers::{Fault, World, start_of_time, user};

fn as_user<T>(n: u128, roles: &[Role], message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::User(Arc::new(UserCaller {
        user_id: user(n),
        session_id: SessionId::from_uuid(Uuid::from_u128(n)),
        roles: roles.to_vec(),
        issued_at: start_of_time(),
        expires_at: start_of_time(),
    })));
    request
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> Refusal {
    Refusal::from_status(&result.unwrap_err())
}

fn place(lines: &[(&str, u32)], method: &str) -> wire::PlaceOrderRequest {
    wire::PlaceOrderRequest {
        items: lines
            .iter()
            .map(|(sku, quantity)| wire::RequestedItem { sku: (*sku).to_owned(), quantity: *quantity })
            .collect(),
        payment_method: method.to_owned(),
        ..Default::default()
    }
}

async fn an_order(api: &OrdersApi, owner: u128) -> wire::Order {
    let outcome = api.place_order(as_user(owner, &[Role::Customer], place(&[("A", 1)], "card_ok"))).await.unwrap();
    outcome.into_inner().order.unwrap()
}

#[tokio::test]
async fn placing_wants_a_user() {
    let api = OrdersApi(World::new().ordering);
    let anonymous = Request::new(place(&[("A", 1)], "card_ok"));
    assert_eq!(refused(api.place_order(anonymous).await).reason, Reason::AuthenticationRequired);
    let mut service = Request::new(place(&[("A", 1)], "card_ok"));
    service.extensions_mut().insert(Caller::Service("payment".into()));
    assert_eq!(refused(api.place_order(service).await).reason, Reason::NotAllowed);
}

#[tokio::test]
async fn every_field_at_fault_is_named_at_once() {
    let world = World::new();
    let api = OrdersApi(world.ordering.clone());
    let mut bad = place(&[("A", 0), ("no sku!", 10_001)], "bitcoin");
    bad.note = Some("a\0b".to_owned());
    bad.shipping_address = Some("x".repeat(501));
    bad.idempotency_key = Some("with space".to_owned());
    let refusal = refused(api.place_order(as_user(1, &[], bad)).await);
    assert_eq!(refusal.reason, Reason::InvalidRequest);
    let fields: Vec<_> = refusal.fields.iter().map(|field| field.field.as_str()).collect();
    let expected = [
        "/items/0/quantity",
        "/items/1/sku",
        "/items/1/quantity",
        "/payment_method",
        "/shipping_address",
        "/note",
        "Idempotency-Key",
    ];
    assert_eq!(fields, expected);
    assert_eq!(refused(api.place_order(as_user(1, &[], place(&[], "card_ok"))).await).fields[0].field, "/items");
    let many = refused(api.place_order(as_user(1, &[], place(&[("", 0); 100], "card_ok"))).await);
    assert_eq!(many.fields.len(), 16, "a refusal stays small enough to travel");
    let unknown = refused(api.place_order(as_user(1, &[], place(&[("A", 1), ("NOPE", 1)], "card_ok"))).await);
    assert_eq!(unknown.fields[0].field, "/items/1/sku");
    assert!(world.inventory.reservations.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refusals_name_the_order_and_what_is_missing() {
    let api = OrdersApi(World::new().ordering);
    let short = refused(api.place_order(as_user(1, &[], place(&[("A", 11)], "card_ok"))).await);
    assert_eq!(short.reason, Reason::OutOfStock);
    assert_eq!(short.metadata["missing"], r#"[{"sku":"A","requested":11,"available":10}]"#);
    let declined = refused(api.place_order(as_user(1, &[], place(&[("A", 1)], "card_declined"))).await);
    assert_eq!(declined.reason, Reason::PaymentDeclined);
    let order_id = declined.metadata["order_id"].clone();
    let order = api.get_order(as_user(1, &[], wire::GetOrderRequest { order_id })).await.unwrap().into_inner();
    assert_eq!(order.status(), OrderStatus::Cancelled);
}

#[tokio::test]
async fn another_users_order_does_not_exist_for_a_customer_and_staff_see_it() {
    let api = OrdersApi(World::new().ordering);
    let order_id = an_order(&api, 1).await.id;
    let get = || wire::GetOrderRequest { order_id: order_id.clone() };
    assert_eq!(refused(api.get_order(as_user(2, &[Role::Customer], get())).await).reason, Reason::OrderNotFound);
    assert_eq!(refused(api.get_order(Request::new(get())).await).reason, Reason::AuthenticationRequired);
    api.get_order(as_user(2, &[Role::Support], get())).await.unwrap();
    let timeline = || wire::GetTimelineRequest { order_id: order_id.clone() };
    assert_eq!(refused(api.get_timeline(as_user(2, &[], timeline())).await).reason, Reason::OrderNotFound);
    let cancel = || wire::CancelOrderRequest { order_id: order_id.clone(), reason: String::new() };
    assert_eq!(refused(api.cancel_order(as_user(2, &[], cancel())).await).reason, Reason::OrderNotFound);
    let list = wire::ListOrdersRequest { user_id: Some(user(1).to_string()), ..Default::default() };
    assert_eq!(refused(api.list_orders(as_user(2, &[], list.clone())).await).reason, Reason::NotAllowed);
    let seen = api.list_orders(as_user(2, &[Role::Support], list)).await.unwrap().into_inner();
    assert_eq!(seen.items.len(), 1);
    let own = api.list_orders(as_user(2, &[], wire::ListOrdersRequest::default())).await.unwrap().into_inner();
    assert!(own.items.is_empty());
    for malformed in ["", "x", "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b"] {
        let get = wire::GetOrderRequest { order_id: malformed.to_owned() };
        assert_eq!(refused(api.get_order(as_user(1, &[], get)).await).reason, Reason::OrderNotFound);
    }
}

#[tokio::test]
async fn shipping_and_refunding_want_their_roles_and_the_right_state() {
    let world = World::new();
    let api = OrdersApi(world.ordering.clone());
    let order_id = an_order(&api, 1).await.id;
    world.settle().await;
    let ship = || wire::ShipOrderRequest { order_id: order_id.clone() };
    let deliver = || wire::DeliverOrderRequest { order_id: order_id.clone() };
    let refund = || wire::RefundOrderRequest { order_id: order_id.clone(), reason: "broken".to_owned() };
    assert_eq!(refused(api.ship_order(as_user(1, &[Role::Support], ship())).await).reason, Reason::NotAllowed);
    assert_eq!(refused(api.refund_order(as_user(1, &[Role::Customer], refund())).await).reason, Reason::NotAllowed);
    let early = refused(api.deliver_order(as_user(1, &[Role::Admin], deliver())).await);
    assert_eq!(early.reason, Reason::OrderNotDeliverable);
    api.ship_order(as_user(1, &[Role::Admin], ship())).await.unwrap();
    assert_eq!(refused(api.ship_order(as_user(1, &[Role::Admin], ship())).await).reason, Reason::OrderNotShippable);
    let late = wire::CancelOrderRequest { order_id: order_id.clone(), reason: String::new() };
    assert_eq!(refused(api.cancel_order(as_user(1, &[], late)).await).reason, Reason::OrderNotCancellable);
    let outcome = api.refund_order(as_user(1, &[Role::Support], refund())).await.unwrap().into_inner();
    assert_eq!((outcome.order.unwrap().status(), outcome.decided), (OrderStatus::Refunded, true));
}

#[tokio::test]
async fn pages_follow_their_cursor_and_a_bad_one_is_refused() {
    let api = OrdersApi(World::new().ordering);
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(an_order(&api, 1).await.id);
    }
    placed.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let list = wire::ListOrdersRequest { limit: 2, cursor, ..Default::default() };
        let page = api.list_orders(as_user(1, &[], list)).await.unwrap().into_inner();
        seen.extend(page.items.into_iter().map(|order| order.id));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen, placed);
    for (limit, cursor, field) in [(0, "!", "cursor"), (101, "", "limit")] {
        let list = wire::ListOrdersRequest { limit, cursor: cursor.to_owned(), ..Default::default() };
        assert_eq!(refused(api.list_orders(as_user(1, &[], list)).await).fields[0].field, field);
    }
}

#[tokio::test]
async fn what_a_refund_under_way_forbids_is_refused_in_the_words_of_what_was_asked() {
    let world = World::new();
    let api = OrdersApi(world.ordering.clone());
    let order_id = an_order(&api, 1).await.id;
    world.settle().await;
    // The money can't be given back now, so the order stays as it is.
    world.payments.faults.0.lock().unwrap().extend([Fault::Before; 3]);
    let refund = wire::RefundOrderRequest { order_id: order_id.clone(), reason: String::new() };
    let outcome = api.refund_order(as_user(1, &[Role::Support], refund)).await.unwrap().into_inner();
    assert!(!outcome.decided);
    let ship = wire::ShipOrderRequest { order_id: order_id.clone() };
    assert_eq!(refused(api.ship_order(as_user(1, &[Role::Admin], ship)).await).reason, Reason::OrderNotShippable);
    let deliver = wire::DeliverOrderRequest { order_id: order_id.clone() };
    let refusal = refused(api.deliver_order(as_user(1, &[Role::Admin], deliver)).await);
    assert_eq!(refusal.reason, Reason::OrderNotDeliverable);
    let cancel = wire::CancelOrderRequest { order_id, reason: String::new() };
    assert_eq!(refused(api.cancel_order(as_user(1, &[], cancel)).await).reason, Reason::OrderNotCancellable);
}

#[tokio::test]
async fn services_alone_learn_what_orders_want_of_the_stock() {
    let world = World::new();
    let api = OrdersApi(world.ordering.clone());
    let sold = an_order(&api, 1).await;
    let declined = refused(api.place_order(as_user(1, &[], place(&[("A", 2)], "card_declined"))).await);
    world.settle().await;
    let list = |limit| wire::ListStockClaimsRequest { after_position: 0, limit };
    let by_admin = api.list_stock_claims(as_user(1, &[Role::Admin], list(0))).await;
    assert_eq!(refused(by_admin).reason, Reason::NotAllowed);
    let by_service = |message| {
        let mut request = Request::new(message);
        request.extensions_mut().insert(Caller::Service("inventory".into()));
        request
    };
    assert_eq!(refused(api.list_stock_claims(by_service(list(501))).await).fields[0].field, "limit");
    let page = api.list_stock_claims(by_service(list(0))).await.unwrap().into_inner();
    let told: Vec<_> =
        page.items.iter().map(|item| (item.order_id.as_str(), item.claim(), item.items[0].quantity)).collect();
    let expected = [
        (sold.id.as_str(), wire::StockClaim::Sold, 1),
        (declined.metadata["order_id"].as_str(), wire::StockClaim::Free, 2),
    ];
    assert_eq!(told, expected);
    assert_eq!(page.settled_position, page.items[1].position, "both are done");
}
