//! The cookie `souk_access`: who gets it, and for whom it counts (docs/adr/0027-cookies-of-browsers.md).

use gateway::Settings;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::json;

use crate::live_events::Listener;
use crate::world::{World, refusal, settings, user_id};

const SHOP: &str = "https://shop.example";
const PATH: &str = "/api/notifications/unread-count";

async fn world() -> World {
    World::with(Settings { cors_origins: vec![SHOP.to_owned()], ..settings() }).await
}

impl World {
    fn with_cookie(&self, path: &str) -> RequestBuilder {
        self.get(path).header("cookie", format!("theme=dark; souk_access={}", self.token()))
    }
}

fn set_cookie(response: &Response) -> Option<String> {
    response.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn only_who_asks_for_it_gets_a_cookie() {
    let world = world().await;
    for (path, body, status) in [
        ("/api/auth/register", json!({"email": "a@b.example", "password": "long enough", "name": "A"}), 201),
        ("/api/auth/login", json!({"email": "a@b.example", "password": "long enough"}), 200),
        ("/api/auth/refresh", json!({"refresh_token": "r"}), 200),
    ] {
        let plain = world.post(path).json(&body).send().await.unwrap();
        assert_eq!((plain.status().as_u16(), set_cookie(&plain)), (status, None), "{path}");
        let mut asking = body;
        asking["cookie"] = true.into();
        let response = world.post(path).json(&asking).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        let cookie = set_cookie(&response).unwrap_or_else(|| panic!("{path} sets no cookie"));
        let session: serde_json::Value = response.json().await.unwrap();
        let (token, age) = (session["access_token"].as_str().unwrap(), &session["expires_in"]);
        assert_eq!(cookie, format!("souk_access={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax"), "{path}");
    }
    let login = json!({"email": "a@b.example", "password": "long enough", "cookie": "yes"});
    assert_eq!(refusal(world.post("/api/auth/login").json(&login).send().await.unwrap()).await, "400 invalid-request");
}

#[tokio::test]
async fn the_cookie_keeps_off_plain_http_where_the_gateway_is_reached_from_elsewhere() {
    let login = json!({"email": "a@b.example", "password": "long enough", "cookie": true});
    let elsewhere = Settings { address: "0.0.0.0:0".parse().unwrap(), ..settings() };
    let world = World::with(elsewhere).await;
    let cookie = set_cookie(&world.post("/api/auth/login").json(&login).send().await.unwrap()).unwrap();
    assert!(cookie.ends_with("; Secure"), "{cookie}");

    let behind_a_proxy = Settings { trusted_proxies: "loopback".parse().unwrap(), ..settings() };
    let world = World::with(behind_a_proxy).await;
    for (proto, secure) in [("https", true), ("http", false)] {
        let request = world.post("/api/auth/login").header("x-forwarded-proto", proto).json(&login);
        let cookie = set_cookie(&request.send().await.unwrap()).unwrap();
        assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
    }
}

#[tokio::test]
async fn signing_out_takes_the_cookie_back_from_who_has_it() {
    let world = world().await;
    let body = json!({"refresh_token": "r"});
    let without = world.post("/api/auth/logout").json(&body).send().await.unwrap();
    assert_eq!((without.status(), set_cookie(&without)), (StatusCode::NO_CONTENT, None));
    let with = world.post("/api/auth/logout").header("cookie", "souk_access=a.b.c").json(&body).send().await.unwrap();
    assert_eq!(with.status(), StatusCode::NO_CONTENT);
    assert_eq!(set_cookie(&with).unwrap(), "souk_access=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
}

#[tokio::test]
async fn a_cookie_counts_for_listed_origins_and_same_origin_reads_on_every_transport() {
    let world = world().await;
    let poll = format!("/poll/{}", user_id());
    for path in [PATH, &poll] {
        for header in [("origin", SHOP), ("sec-fetch-site", "same-origin")] {
            let response = world.with_cookie(path).header(header.0, header.1).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path} {header:?}");
        }
        for header in [("accept", "*/*"), ("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site")] {
            let response = world.with_cookie(path).header(header.0, header.1).send().await.unwrap();
            assert_eq!(refusal(response).await, "401 authentication-required", "{path} {header:?}");
        }
        let evil = world.with_cookie(path).header("origin", "https://evil.example").send().await.unwrap();
        assert!(evil.status().is_client_error(), "{path}");
    }
    let mut listener = Listener::open(world.with_cookie("/events").header("origin", SHOP)).await;
    assert_eq!(listener.next().await.unwrap().event, "connected");
    assert_eq!(refusal(world.with_cookie("/events").send().await.unwrap()).await, "401 authentication-required");
}

#[tokio::test]
async fn a_header_goes_before_the_cookie_and_a_bad_cookie_is_a_bad_token() {
    let world = world().await;
    let bad_header = world.with_cookie(PATH).header("origin", SHOP).bearer_auth("x").send().await.unwrap();
    assert_eq!(refusal(bad_header).await, "401 invalid-token");
    let bad_cookie = world.get(PATH).header("origin", SHOP).header("cookie", "souk_access=x").send().await.unwrap();
    assert_eq!(refusal(bad_cookie).await, "401 invalid-token");
    let good_header =
        world.get(PATH).header("cookie", "souk_access=x").bearer_auth(world.token()).send().await.unwrap();
    assert_eq!(good_header.status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_of_listed_origins_may_send_credentials_and_no_others() {
    let world = world().await;
    let preflight = |origin: &'static str| {
        world
            .request(Method::OPTIONS, "/api/orders")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .send()
    };
    let allowed = preflight(SHOP).await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-credentials"], "true");
    assert_eq!(allowed.headers()["access-control-allow-origin"], SHOP);
    let refused = preflight("https://evil.example").await.unwrap();
    assert!(!refused.headers().contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn a_token_in_the_query_counts_where_no_header_can_be_set_and_nowhere_else() {
    let world = World::new().await;
    let token = world.token();
    for endpoint in gateway::routes::table() {
        let path = endpoint.path().replace("{user_id}", &user_id().to_string()).replace(['{', '}'], "");
        if !endpoint.methods().contains(&actix_web::http::Method::GET) {
            continue;
        }
        let open = world.get(&path).send().await.unwrap().status() != StatusCode::UNAUTHORIZED;
        if open {
            continue;
        }
        for name in ["token", "%74oken", "access_token"] {
            let response = world.get(&format!("{path}?{name}={token}")).send().await.unwrap();
            let counts = (path == "/events" || path.starts_with("/poll/")) && name != "access_token";
            let wanted = if counts { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            // `/events` and `/poll` read their parameters before they know who asks.
            let unknown = response.status() == StatusCode::BAD_REQUEST && name == "access_token";
            assert!(response.status() == wanted || unknown, "{path}?{name}=…: {}", response.status());
        }
    }
}
