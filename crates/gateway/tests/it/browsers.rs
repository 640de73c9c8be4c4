//! What browsers are told.

use reqwest::{Method, StatusCode};

use crate::world::{World, refusal, settings};

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let world = World::new().await;
    for path in ["/api/products", "/nowhere", "/health/live", "/docs/", "/openapi.json"] {
        let response = world.get(path).send().await.unwrap();
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"), "{path}");
    }
    let mine = world.get("/api/orders").bearer_auth(world.token()).send().await.unwrap();
    assert_eq!(mine.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_call() {
    let world =
        World::with(gateway::Settings { cors_origins: vec!["https://shop.example".to_owned()], ..settings() }).await;
    let preflight = |origin: &'static str, method: &'static str| {
        world
            .request(Method::OPTIONS, "/api/orders")
            .header("origin", origin)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "authorization,content-type,idempotency-key")
            .send()
    };
    let allowed = preflight("https://shop.example", "POST").await.unwrap();
    assert_eq!(allowed.status(), StatusCode::OK);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://shop.example");
    let refused = preflight("https://evil.example", "POST").await.unwrap();
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
    assert!(refusal(refused).await.starts_with('4'));
    let get = world.get("/api/products").header("origin", "https://shop.example").send().await.unwrap();
    assert_eq!(get.headers()["access-control-allow-origin"], "https://shop.example");
    assert!(get.headers()["access-control-expose-headers"].to_str().unwrap().contains("x-request-id"));
}

#[tokio::test]
async fn without_origins_in_the_settings_no_page_of_another_origin_may_call() {
    let world = World::new().await;
    let response = world.get("/api/products").header("origin", "https://shop.example").send().await.unwrap();
    assert!(!response.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask_and_never_refused_for_lack_of_an_encoding() {
    let world = World::new().await;
    let get = |accepted: &'static str| world.get("/openapi.json").header("accept-encoding", accepted).send();
    assert_eq!(get("gzip, br").await.unwrap().headers()["content-encoding"], "gzip");
    for other in ["br", "identity", "identity;q=0, *;q=0", "gzip;q=0", ""] {
        let response = get(other).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{other}");
        assert!(!response.headers().contains_key("content-encoding"), "{other}");
    }
}
