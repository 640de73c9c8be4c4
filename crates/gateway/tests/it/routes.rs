//! What each route asks of its service, and the JSON that comes of the answer.

use std::sync::atomic::Ordering;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::stubs::orders::ID as ORDER;
use crate::stubs::users::ID as USER;
use crate::world::World;

impl World {
    fn signed(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(self.token())
    }

    /// What the service was asked last, as text.
    fn asked(&self, method: &str) -> String {
        self.script.calls(method).pop().unwrap().message
    }
}

async fn json_of(request: RequestBuilder, status: StatusCode) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status);
    response.json().await.unwrap()
}

fn a_user() -> Value {
    json!({"id": USER, "email": "ada@souk.test", "name": "Ada", "roles": ["customer"],
        "created_at": "1970-01-01T00:00:00.000Z", "version": 1})
}

fn an_order(status: &str) -> Value {
    let usd = |amount| json!({"amount_minor": amount, "currency": "USD"});
    json!({"id": ORDER, "user_id": USER, "status": status, "total": usd(1000), "version": 3,
        "items": [{"sku": "TEA-1", "name": "Tea", "quantity": 2, "unit_price": usd(500), "line_total": usd(1000)}],
        "created_at": "2026-11-22T10:09:08.007Z", "updated_at": "2026-11-22T10:09:09.000Z"})
}

fn a_product(sku: &str) -> Value {
    json!({"sku": sku, "name": "Tea", "description": "Green", "price": {"amount_minor": 500, "currency": "USD"},
        "image_url": "", "tags": ["tea"], "available": 7, "version": 1})
}

#[tokio::test]
async fn signing_up_in_and_out() {
    let world = World::new().await;
    let session = json!({"user": a_user(), "access_token": "access", "refresh_token": "refresh",
        "token_type": "Bearer", "expires_in": 900});
    let register = json!({"email": "ada@souk.test", "password": "12345678", "name": "Ada"});
    let answer = json_of(world.post("/api/auth/register").json(&register), StatusCode::CREATED).await;
    assert_eq!(answer, session);
    let login = json!({"email": "ada@souk.test", "password": "12345678"});
    assert_eq!(json_of(world.post("/api/auth/login").json(&login), StatusCode::OK).await, session);
    let refresh = json!({"refresh_token": "old"});
    let answer = json_of(world.post("/api/auth/refresh").json(&refresh), StatusCode::OK).await;
    assert_eq!(
        answer,
        json!({"access_token": "access", "refresh_token": "refresh", "token_type": "Bearer", "expires_in": 900})
    );
    let logout = world.post("/api/auth/logout").json(&refresh).send().await.unwrap();
    assert_eq!(logout.status(), StatusCode::NO_CONTENT);
    assert!(world.asked("Logout").contains("old"));
}

#[tokio::test]
async fn the_keys_are_a_jwk_set() {
    let world = World::new().await;
    let keys = json_of(world.get("/.well-known/jwks.json"), StatusCode::OK).await;
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["kid"]), (&json!("OKP"), &json!("Ed25519"), &json!("k1")));
    assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!("EdDSA")));
    assert_eq!(key["x"].as_str().unwrap().len(), 43, "32 bytes in base64url without padding");
    assert_eq!(key.as_object().unwrap().len(), 6);
    assert_eq!(world.users.key.kid, "k1");
}

#[tokio::test]
async fn accounts() {
    let world = World::new().await;
    assert_eq!(json_of(world.signed(Method::GET, "/api/users/me"), StatusCode::OK).await, a_user());
    let renamed = world.signed(Method::PATCH, "/api/users/me").json(&json!({"name": "Ada King"}));
    assert_eq!(json_of(renamed, StatusCode::OK).await, a_user());
    assert!(world.asked("UpdateUser").contains("Ada King"));

    let page = json_of(world.signed(Method::GET, "/api/users?search=a%20b&limit=5&cursor=x"), StatusCode::OK).await;
    assert_eq!(page, json!({"items": [a_user()], "next_cursor": "next"}));
    assert_eq!(world.asked("ListUsers"), r#"ListUsersRequest { search: "a b", limit: 5, cursor: "x" }"#);
    let path = format!("/api/users/{USER}");
    assert_eq!(json_of(world.signed(Method::GET, &path), StatusCode::OK).await, a_user());
    let ban = world.signed(Method::POST, &format!("{path}/ban")).json(&json!({"reason": "fraud"}));
    assert_eq!(json_of(ban, StatusCode::OK).await["ban_reason"], "fraud");
    let unbanned = json_of(world.signed(Method::POST, &format!("{path}/unban")), StatusCode::OK).await;
    assert!(unbanned.get("ban_reason").is_none());
    let roles = world.signed(Method::PUT, &format!("{path}/roles")).json(&json!({"roles": ["support"]}));
    assert_eq!(json_of(roles, StatusCode::OK).await["roles"], json!(["support"]));
}

#[tokio::test]
async fn the_catalogue_and_its_keeping() {
    let world = World::new().await;
    let page = json_of(world.get("/api/products?search=green&tags=tea,organic&limit=3&cursor=c"), StatusCode::OK).await;
    assert_eq!(page, json!({"items": [a_product("TEA-1")], "next_cursor": null}));
    assert_eq!(
        world.asked("ListProducts"),
        r#"ListProductsRequest { search: "green", tags: ["tea", "organic"], limit: 3, cursor: "c" }"#
    );
    assert_eq!(json_of(world.get("/api/products/TEA-1"), StatusCode::OK).await, a_product("TEA-1"));

    let price = json!({"amount_minor": 700, "currency": "EUR"});
    let new = json!({"sku": "TEA-2", "name": "Black", "price": price, "tags": ["tea"], "on_hand": 9});
    let created = world.signed(Method::POST, "/api/products").json(&new).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(created.headers()["location"], "/api/products/TEA-2");
    assert!(world.asked("CreateProduct").contains("on_hand: 9"));
    let update = world.signed(Method::PATCH, "/api/products/TEA-2").json(&json!({"tags": ["a"]}));
    json_of(update, StatusCode::OK).await;
    assert!(
        world
            .asked("UpdateProduct")
            .contains(r#"name: None, description: None, image_url: None, tags: Some(Tags { values: ["a"] })"#)
    );
    let set = world.signed(Method::PUT, "/api/products/TEA-2/price").json(&json!({"price": price}));
    json_of(set, StatusCode::OK).await;
    assert!(world.asked("SetPrice").contains(r#"amount_minor: 700, currency: "EUR""#));
    let set = world.signed(Method::PUT, "/api/products/TEA-2/stock").json(&json!({"on_hand": 3}));
    json_of(set, StatusCode::OK).await;
    assert_eq!(world.asked("SetStock"), r#"SetStockRequest { sku: "TEA-2", on_hand: 3, reason: "" }"#);
}

#[tokio::test]
async fn a_catalogue_that_has_not_changed_is_not_sent_again() {
    let world = World::new().await;
    for path in ["/api/products", "/api/products/TEA-1"] {
        let first = world.get(path).send().await.unwrap();
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        assert_eq!(first.headers()["cache-control"], "public, no-cache");
        let again = |known: String| world.get(path).header("if-none-match", known).send();
        for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned(), tag.trim_start_matches("W/").to_owned()]
        {
            let answer = again(known).await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(answer.headers()["etag"], tag.as_str());
            assert!(answer.bytes().await.unwrap().is_empty());
        }
        for unknown in ["\"other\"", "nonsense"] {
            assert_eq!(again(unknown.to_owned()).await.unwrap().status(), StatusCode::OK);
        }
        world.inventory.available.fetch_sub(1, Ordering::SeqCst);
        let changed = again(tag.clone()).await.unwrap();
        assert_eq!(changed.status(), StatusCode::OK);
        assert_ne!(changed.headers()["etag"], tag.as_str());
    }
}

#[tokio::test]
async fn placing_an_order() {
    let world = World::new().await;
    let order = json!({"items": [{"sku": "TEA-1", "quantity": 2}], "payment_method": "card_ok", "note": "ring twice"});
    let place = || world.signed(Method::POST, "/api/orders").header("Idempotency-Key", "key-1").json(&order);
    let placed = place().send().await.unwrap();
    assert_eq!(placed.status(), StatusCode::CREATED);
    assert_eq!(placed.headers()["location"], format!("/api/orders/{ORDER}"));
    assert_eq!(placed.json::<Value>().await.unwrap(), an_order("confirmed"));
    assert_eq!(
        world.asked("PlaceOrder"),
        r#"PlaceOrderRequest { items: [RequestedItem { sku: "TEA-1", quantity: 2 }], payment_method: "card_ok", shipping_address: None, note: Some("ring twice"), idempotency_key: Some("key-1") }"#
    );
    *world.orders.twist.lock().unwrap() = |outcome| outcome.decided = false;
    let undecided = place().send().await.unwrap();
    assert_eq!(undecided.status(), StatusCode::ACCEPTED);
    assert_eq!(undecided.headers()["location"], format!("/api/orders/{ORDER}"));
}

#[tokio::test]
async fn looking_at_orders_and_changing_them() {
    let world = World::new().await;
    let path = |rest: &str| format!("/api/orders/{ORDER}{rest}");
    assert_eq!(json_of(world.signed(Method::GET, &path("")), StatusCode::OK).await, an_order("confirmed"));
    let listed = format!("/api/orders?limit=2&cursor=c&status=confirmed,shipped&user_id={USER}");
    let page = json_of(world.signed(Method::GET, &listed), StatusCode::OK).await;
    assert_eq!(page, json!({"items": [an_order("confirmed")], "next_cursor": null}));
    assert_eq!(
        world.asked("ListOrders"),
        format!(
            r#"ListOrdersRequest {{ user_id: Some("{USER}"), statuses: [Confirmed, Shipped], limit: 2, cursor: "c" }}"#
        )
    );
    let timeline = json_of(world.signed(Method::GET, &path("/timeline")), StatusCode::OK).await;
    let entry =
        json!({"status": "cancelled", "version": 2, "occurred_at": "1970-01-01T00:00:00.000Z", "reason": "asked for"});
    assert_eq!(timeline, json!({"items": [entry], "next_cursor": null}));

    let because = json!({"reason": "too late"});
    for (verb, call, status) in [("cancel", "CancelOrder", "cancelled"), ("refund", "RefundOrder", "refunded")] {
        let change = world.signed(Method::POST, &path(&format!("/{verb}"))).json(&because);
        assert_eq!(json_of(change, StatusCode::OK).await, an_order(status));
        assert!(world.asked(call).contains("too late"));
    }
    for (verb, status) in [("ship", "shipped"), ("deliver", "delivered")] {
        let change = world.signed(Method::POST, &path(&format!("/{verb}")));
        assert_eq!(json_of(change, StatusCode::OK).await, an_order(status));
    }
    *world.orders.twist.lock().unwrap() = |outcome| outcome.decided = false;
    for verb in ["cancel", "refund"] {
        let response = world.signed(Method::POST, &path(&format!("/{verb}"))).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()["location"], path(""));
    }
}

#[tokio::test]
async fn the_payment_of_an_order() {
    let world = World::new().await;
    let payment = json_of(world.signed(Method::GET, &format!("/api/payments/{ORDER}")), StatusCode::OK).await;
    let usd = |amount| json!({"amount_minor": amount, "currency": "USD"});
    assert_eq!(
        payment,
        json!({"id": "0190a1b2-0000-7000-8000-0000000000bb", "order_id": ORDER, "status": "partially_refunded",
            "amount": usd(1000), "refunded": usd(100), "method": "card_ok", "provider_reference": "sandbox-7",
            "version": 2, "created_at": "1970-01-01T00:00:00.000Z", "updated_at": "1970-01-01T00:00:00.001Z"})
    );
}

#[tokio::test]
async fn notifications_and_preferences() {
    let world = World::new().await;
    let notification = |read| {
        json!({"id": "0190a1b2-0000-7000-8000-0000000000cc", "seq": 4, "kind": "order_confirmed", "title": "Confirmed",
            "body": "Your order is confirmed.", "data": {"order_id": "7"}, "read": read,
            "created_at": "1970-01-01T00:00:00.000Z"})
    };
    let page = json_of(world.signed(Method::GET, "/api/notifications?unread=true&limit=9"), StatusCode::OK).await;
    assert_eq!(page, json!({"items": [notification(false)], "next_cursor": null}));
    assert!(world.asked("ListNotifications").contains("unread_only: true, limit: 9"));
    let read = "/api/notifications/0190a1b2-0000-7000-8000-0000000000cc/read";
    assert_eq!(json_of(world.signed(Method::POST, read), StatusCode::OK).await, notification(true));
    let all = json_of(world.signed(Method::POST, "/api/notifications/read-all"), StatusCode::OK).await;
    assert_eq!(all, json!({"marked": 3}));
    let count = json_of(world.signed(Method::GET, "/api/notifications/unread-count"), StatusCode::OK).await;
    assert_eq!(count, json!({"count": 5}));

    let preferences = json!({"items": [{"kind": "order_confirmed", "push": true, "email": true}]});
    let path = "/api/notifications/preferences";
    assert_eq!(json_of(world.signed(Method::GET, path), StatusCode::OK).await, preferences);
    for (change, push, email, told) in [
        (json!({"kind": "order_shipped", "email": false}), true, false, "email: false, push: None, keep_email: false"),
        (json!({"kind": "order_shipped", "push": false}), false, true, "push: Some(false), keep_email: true"),
        (json!({"kind": "order_shipped", "push": false, "email": false}), false, false, "push: Some(false)"),
    ] {
        let body = json!({ "items": [change] });
        let changed = json!({"items": [{"kind": "order_shipped", "push": push, "email": email}]});
        assert_eq!(json_of(world.signed(Method::PUT, path).json(&body), StatusCode::OK).await, changed);
        assert!(world.asked("UpdatePreferences").contains(told), "{}", world.asked("UpdatePreferences"));
    }
}
