//! What callers get wrong, on every route: the right 4xx, and no service is asked.

use contracts::Role;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use crate::stubs::orders::ID as ORDER;
use crate::world::{World, problem, refusal, user_id};

/// Every route that takes a body, with a body that it takes.
fn routes_with_body() -> Vec<(Method, String, Value)> {
    let user = crate::stubs::users::ID;
    let post = |path: &str, body| (Method::POST, path.to_owned(), body);
    let put = |path: &str, body| (Method::PUT, path.to_owned(), body);
    let patch = |path: &str, body| (Method::PATCH, path.to_owned(), body);
    let money = json!({"amount_minor": 1, "currency": "USD"});
    vec![
        post("/api/auth/register", json!({"email": "a@b.c", "password": "12345678", "name": "A"})),
        post("/api/auth/login", json!({"email": "a@b.c", "password": "12345678"})),
        post("/api/auth/refresh", json!({"refresh_token": "x"})),
        post("/api/auth/logout", json!({"refresh_token": "x"})),
        patch("/api/users/me", json!({"name": "A"})),
        post(&format!("/api/users/{user}/ban"), json!({"reason": "x"})),
        post(&format!("/api/users/{user}/unban"), json!({})),
        put(&format!("/api/users/{user}/roles"), json!({"roles": ["customer"]})),
        post("/api/products", json!({"sku": "A", "name": "A", "price": money})),
        patch("/api/products/A", json!({"name": "A", "tags": []})),
        put("/api/products/A/price", json!({"price": money})),
        put("/api/products/A/stock", json!({"on_hand": 1, "reason": "x"})),
        post("/api/orders", json!({"items": [{"sku": "A", "quantity": 1}], "payment_method": "card_ok"})),
        post(&format!("/api/orders/{ORDER}/cancel"), json!({"reason": "x"})),
        post(&format!("/api/orders/{ORDER}/ship"), json!({})),
        post(&format!("/api/orders/{ORDER}/deliver"), json!({})),
        post(&format!("/api/orders/{ORDER}/refund"), json!({"reason": "x"})),
        post(&format!("/api/notifications/{ORDER}/read"), json!({})),
        post("/api/notifications/read-all", json!({})),
        post("/api/chat/rooms", json!({"name": "A", "visibility": "public"})),
        post("/api/chat/support-rooms", json!({"order_id": ORDER})),
        post(&format!("/api/chat/rooms/{ORDER}/members"), json!({"user_id": user})),
        post(&format!("/api/chat/rooms/{ORDER}/leave"), json!({})),
        post(&format!("/api/chat/rooms/{ORDER}/messages"), json!({"content": "A", "client_id": "x"})),
        post(&format!("/api/chat/rooms/{ORDER}/read"), json!({"seq": 1})),
        put("/api/notifications/preferences", json!({"items": [{"kind": "order_confirmed", "email": true}]})),
        post("/api/admin/announcements", json!({"text": "A"})),
    ]
}

#[tokio::test]
async fn the_list_of_routes_with_a_body_is_complete() {
    let listed = routes_with_body().len();
    let writing = [Method::POST, Method::PUT, Method::PATCH];
    let table = gateway::routes::table();
    let registered = table.iter().flat_map(gateway::routes::endpoint::Endpoint::methods);
    assert_eq!(registered.filter(|method| writing.iter().any(|m| m.as_str() == method.as_str())).count(), listed);
}

#[tokio::test]
async fn every_route_takes_the_body_it_should() {
    let world = World::new().await;
    // Who may is for the services to say, but for what the gateway does itself.
    let token = world.token_with(&[Role::Admin], user_id());
    for (method, path, body) in routes_with_body() {
        let sent = world.request(method.clone(), &path).bearer_auth(&token).json(&body).send().await.unwrap();
        assert!(sent.status().is_success(), "{method} {path}: {}", sent.text().await.unwrap());
    }
}

#[tokio::test]
async fn a_body_that_is_malformed_foreign_or_too_large_is_refused_by_every_route_before_any_service_is_asked() {
    let world = World::new().await;
    let json = "application/json";
    let deep = format!("{{\"reason\":{}", "[".repeat(30_000));
    let huge = format!("{{\"reason\":\"{}\"}}", "x".repeat(70_000));
    let cases: Vec<(&str, Option<&str>, Vec<u8>, &str)> = vec![
        ("no JSON", Some(json), b"nonsense".to_vec(), "400 malformed-body"),
        ("half of it", Some(json), b"{".to_vec(), "400 malformed-body"),
        ("something after it", Some(json), b"{} {}".to_vec(), "400"),
        ("invalid UTF-8", Some(json), b"{\"reason\":\"\xff\"}".to_vec(), "400"),
        ("a raw NUL", Some(json), b"{\"reason\":\"\0\"}".to_vec(), "400"),
        ("only NULs", Some(json), vec![0; 16], "400 malformed-body"),
        ("too deep", Some(json), deep.into_bytes(), "400 malformed-body"),
        ("an array", Some(json), b"[]".to_vec(), "400 invalid-request"),
        ("a text", Some(json), b"\"text\"".to_vec(), "400 invalid-request"),
        ("null", Some(json), b"null".to_vec(), "400 invalid-request"),
        ("a number past every type", Some(json), b"1e999".to_vec(), "400"),
        ("an unknown field", Some(json), b"{\"admin\":true}".to_vec(), "400 invalid-request"),
        ("too large", Some(json), huge.into_bytes(), "413 body-too-large"),
        ("no type", None, b"{}".to_vec(), "415 unsupported-media-type"),
        ("a form", Some("application/x-www-form-urlencoded"), b"a=b".to_vec(), "415 unsupported-media-type"),
        ("plain text", Some("text/plain"), b"{}".to_vec(), "415 unsupported-media-type"),
    ];
    let asked = world.script.calls_for_requests().len();
    for (method, path, _) in routes_with_body() {
        for (what, content_type, body, expected) in &cases {
            let mut request = world.request(method.clone(), &path).bearer_auth(world.token()).body(body.clone());
            if let Some(content_type) = content_type {
                request = request.header(CONTENT_TYPE, *content_type);
            }
            let refused = refusal(request.send().await.unwrap()).await;
            assert!(refused.starts_with(expected), "{method} {path} with {what}: {refused}");
        }
    }
    assert_eq!(world.script.calls_for_requests().len(), asked, "{:?}", world.script.calls_for_requests());
}

#[tokio::test]
async fn a_body_without_an_announced_length_is_bounded_and_understood_all_the_same() {
    let world = World::new().await;
    let chunked = |text: String| {
        let pieces = text.into_bytes().chunks(1000).map(<[u8]>::to_vec).collect::<Vec<_>>();
        Body::wrap_stream(futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)))
    };
    let send = async |text: String, content_type: &str| {
        let request = world.post("/api/auth/login").header(CONTENT_TYPE, content_type).body(chunked(text));
        request.send().await.unwrap()
    };
    let good = r#"{"email":"a@b.c","password":"12345678"}"#;
    assert_eq!(send(good.to_owned(), "application/json; charset=utf-8").await.status(), StatusCode::OK);
    let large = format!(r#"{{"email":"{}"}}"#, "x".repeat(300_000));
    assert_eq!(refusal(send(large, "application/json").await).await, "413 body-too-large");
    assert_eq!(refusal(send(good.to_owned(), "text/plain").await).await, "415 unsupported-media-type");
    let encoded = world.post("/api/auth/login").header(CONTENT_TYPE, "application/json");
    let encoded = encoded.header(CONTENT_ENCODING, "gzip").body("x").send().await.unwrap();
    assert_eq!(refusal(encoded).await, "415 unsupported-media-type");
}

#[tokio::test]
async fn a_missing_body_is_refused_where_one_is_needed_and_fine_where_it_is_not() {
    let world = World::new().await;
    for (method, path, body) in routes_with_body() {
        let response = world.request(method.clone(), &path).bearer_auth(world.token()).send().await.unwrap();
        let may_be_left_out = ["/cancel", "/refund", "/members"];
        let optional = body == json!({}) || may_be_left_out.iter().any(|end| path.ends_with(end));
        if optional {
            assert!(response.status().is_success(), "{method} {path}");
        } else {
            assert_eq!(refusal(response).await, "400 malformed-body", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn fields_of_the_wrong_type_are_named() {
    let world = World::new().await;
    let order = |items: Value| json!({"items": items, "payment_method": "card_ok"});
    for (body, pointer) in [
        (json!({"payment_method": "card_ok"}), "/items"),
        (order(json!("all")), "/items"),
        (order(json!([{"sku": "A"}])), "/items/0/quantity"),
        (order(json!([{"sku": "A", "quantity": -1}])), "/items/0/quantity"),
        (order(json!([{"sku": "A", "quantity": 1.5}])), "/items/0/quantity"),
        (order(json!([{"sku": "A", "quantity": "1"}])), "/items/0/quantity"),
        (order(json!([{"sku": "A", "quantity": 9_223_372_036_854_775_808_u64}])), "/items/0/quantity"),
        (order(json!([{"sku": "A", "quantity": 1, "price": 1}])), "/items/0/price"),
        (order(json!([["A", 1]])), "/items/0"),
        (json!({"items": [], "payment_method": "card_ok", "user_id": "x"}), "/user_id"),
        (json!({"items": [], "payment_method": null}), "/payment_method"),
    ] {
        let response = world.post("/api/orders").bearer_auth(world.token()).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(problem(response).await["errors"][0]["pointer"], pointer, "{body}");
    }
    let past = r#"{"on_hand":99999999999999999999999}"#;
    let response = world.put("/api/products/A/stock").bearer_auth(world.token());
    let response = response.header(CONTENT_TYPE, "application/json").body(past).send().await.unwrap();
    assert_eq!(problem(response).await["errors"][0]["pointer"], "/on_hand");
    assert!(world.script.calls("PlaceOrder").is_empty() && world.script.calls("SetStock").is_empty());
}

#[tokio::test]
async fn numbers_are_refused_in_the_words_of_the_rule_and_not_of_the_machine() {
    let world = World::new().await;
    let order =
        |quantity: &str| format!(r#"{{"items":[{{"sku":"A","quantity":{quantity}}}],"payment_method":"card_ok"}}"#);
    let stock = |on_hand: &str| format!(r#"{{"on_hand":{on_hand}}}"#);
    let product = |on_hand: &str| {
        format!(r#"{{"sku":"A","name":"A","price":{{"amount_minor":1,"currency":"USD"}},"on_hand":{on_hand}}}"#)
    };
    let price = |amount: &str| format!(r#"{{"price":{{"amount_minor":{amount},"currency":"USD"}}}}"#);
    let past = "99999999999999999999999";
    let (quantity, units, amount) = (
        "must be a whole number from 1 to 10000",
        "must be a whole number from 0 to 1000000000",
        "must be a whole number of minor units, at most 9007199254740991",
    );
    for (method, path, body, pointer, message) in [
        (Method::POST, "/api/orders", order("-1"), "/items/0/quantity", quantity),
        (Method::POST, "/api/orders", order("1.5"), "/items/0/quantity", quantity),
        (Method::POST, "/api/orders", order("\"1\""), "/items/0/quantity", quantity),
        (Method::POST, "/api/orders", order("null"), "/items/0/quantity", quantity),
        (Method::POST, "/api/orders", order("4294967296"), "/items/0/quantity", quantity),
        (Method::POST, "/api/orders", order(past), "/items/0/quantity", quantity),
        (Method::PUT, "/api/products/A/stock", stock("-1"), "/on_hand", units),
        (Method::PUT, "/api/products/A/stock", stock("1.5"), "/on_hand", units),
        (Method::PUT, "/api/products/A/stock", stock(past), "/on_hand", units),
        (Method::POST, "/api/products", product("\"1\""), "/on_hand", units),
        (Method::PUT, "/api/products/A/price", price("1.5"), "/price/amount_minor", amount),
        (Method::PUT, "/api/products/A/price", price("9223372036854775808"), "/price/amount_minor", amount),
    ] {
        let request = world.request(method, path).bearer_auth(world.token()).header(CONTENT_TYPE, "application/json");
        let refused = problem(request.body(body.clone()).send().await.unwrap()).await;
        let error = &refused["errors"][0];
        assert_eq!((&error["pointer"], &error["detail"]), (&pointer.into(), &message.into()), "{path} {body}");
    }
}

#[tokio::test]
async fn null_is_no_way_to_leave_a_field_out() {
    let world = World::new().await;
    let asked = world.script.calls_for_requests().len();
    let order = json!({"items": [{"sku": "A", "quantity": 1}], "payment_method": "card_ok", "note": null});
    for (method, path, body, pointer) in [
        (Method::POST, "/api/orders".to_owned(), order, "/note"),
        (Method::POST, format!("/api/orders/{ORDER}/cancel"), json!({"reason": null}), "/reason"),
        (Method::PATCH, "/api/products/A".to_owned(), json!({"name": "A", "tags": null}), "/tags"),
        (Method::PUT, "/api/products/A/stock".to_owned(), json!({"on_hand": 1, "reason": null}), "/reason"),
        (Method::PATCH, "/api/users/me".to_owned(), json!({"name": null}), "/name"),
        (Method::POST, format!("/api/chat/rooms/{ORDER}/members"), json!({"user_id": null}), "/user_id"),
        (Method::POST, format!("/api/chat/rooms/{ORDER}/read"), json!({"seq": 1, "message_id": null}), "/message_id"),
    ] {
        let response = world.request(method, &path).bearer_auth(world.token()).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path} {body}");
        assert_eq!(problem(response).await["errors"][0]["pointer"], pointer, "{path}");
    }
    assert_eq!(world.script.calls_for_requests().len(), asked);
}

#[tokio::test]
async fn ids_that_are_none_name_nothing() {
    let world = World::new().await;
    for (path, expected) in [
        ("/api/orders/7", "404 order-not-found"),
        ("/api/orders/0190a1b2c3d47e5f8a9b0c1d2e3f4a5b", "404 order-not-found"),
        ("/api/orders/%00", "404 order-not-found"),
        ("/api/orders/..%2fusers", "404 order-not-found"),
        ("/api/orders/x/timeline", "404 order-not-found"),
        ("/api/payments/x", "404 payment-not-found"),
        ("/api/users/x", "404 user-not-found"),
        ("/api/products/a%20b", "404 product-not-found"),
        ("/api/products/%00", "404 product-not-found"),
        ("/api/products/%ff", "404 product-not-found"),
    ] {
        let response = world.get(path).bearer_auth(world.token()).send().await.unwrap();
        assert_eq!(refusal(response).await, expected, "{path}");
    }
    let response = world.post("/api/notifications/x/read").bearer_auth(world.token()).send().await.unwrap();
    assert_eq!(refusal(response).await, "404 notification-not-found");
    let long = format!("/api/products/{}", "x".repeat(5000));
    assert_eq!(refusal(world.get(&long).send().await.unwrap()).await, "404 product-not-found");
}

#[tokio::test]
async fn query_parameters_that_are_unknown_or_unreadable_are_named() {
    let world = World::new().await;
    let asked = world.script.calls_for_requests().len();
    for (path, name) in [
        ("/api/products?limt=1", "limt"),
        ("/api/products?limit=many", "limit"),
        ("/api/products?limit=-1", "limit"),
        ("/api/products?limit=0", "limit"),
        ("/api/orders?limit=0", "limit"),
        ("/api/users?limit=0", "limit"),
        ("/api/notifications?limit=101", "limit"),
        ("/api/products?limit=99999999999999999999", "limit"),
        ("/api/products?search=%00", "search"),
        ("/api/products?search=%ff", "search"),
        ("/api/products?limit=1&limit=2", "limit"),
        ("/api/orders?status=confirmed,lost", "status"),
        ("/api/orders?page=2", "page"),
        ("/api/users?roles=admin", "roles"),
        ("/api/notifications?unread=perhaps", "unread"),
    ] {
        let response = world.get(path).bearer_auth(world.token()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        let pointer = problem(response).await["errors"][0]["pointer"].as_str().unwrap().to_owned();
        assert!(pointer.starts_with(name), "{path}: {pointer}");
    }
    assert_eq!(world.script.calls_for_requests().len(), asked);
}

#[tokio::test]
async fn an_idempotency_key_is_1_to_255_visible_ascii_characters() {
    let world = World::new().await;
    let order = json!({"items": [{"sku": "A", "quantity": 1}], "payment_method": "card_ok"});
    let place = |key: Vec<u8>| {
        let key = reqwest::header::HeaderValue::from_bytes(&key).unwrap();
        world.post("/api/orders").bearer_auth(world.token()).header("Idempotency-Key", key).json(&order).send()
    };
    for bad in [b"".to_vec(), b"a b".to_vec(), "ä".as_bytes().to_vec(), vec![b'x'; 256], b"\xff".to_vec()] {
        let response = place(bad.clone()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad:?}");
        assert_eq!(problem(response).await["errors"][0]["pointer"], "Idempotency-Key");
    }
    let twice = world.post("/api/orders").bearer_auth(world.token()).json(&order);
    let twice = twice.header("Idempotency-Key", "a").header("Idempotency-Key", "b").send().await.unwrap();
    assert_eq!(twice.status(), StatusCode::BAD_REQUEST);
    assert!(world.script.calls("PlaceOrder").is_empty());

    let longest = vec![b'x'; 255];
    assert_eq!(place(longest).await.unwrap().status(), StatusCode::CREATED);
    assert!(world.script.calls("PlaceOrder")[0].message.contains(&"x".repeat(255)));
}

#[tokio::test]
async fn a_nul_inside_of_a_text_reaches_the_service_that_judges_it() {
    let world = World::new().await;
    let body = json!({"email": "a\u{0}@b.c", "password": "12345678"});
    world.script.refuse("Login", contracts::Refusal::invalid("/email", "must not contain control characters"));
    let response = world.post("/api/auth/login").json(&body).send().await.unwrap();
    assert_eq!(problem(response).await["errors"][0]["pointer"], "/email");
    assert!(world.script.calls("Login")[0].message.contains(r"a\0@b.c"));
}
