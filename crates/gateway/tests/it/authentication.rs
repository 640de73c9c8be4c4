//! Who may come in, and as whom the services see them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::Role;
use gateway::routes;
use reqwest::{Method, StatusCode};
use service_kit::auth::{ACCESS_TOKEN_TTL, Caller, UserTokenSigner, generate_signing_key};

use crate::world::{World, refusal, session_id, user_id};

const PATH: &str = "/api/notifications/unread-count";

#[tokio::test]
async fn only_a_good_token_in_the_right_place_opens_the_door() {
    let world = World::new().await;
    let good = world.token();
    let payload = good.split('.').nth(1).unwrap();
    let unsigned = |header: &str| format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header));
    let stranger = UserTokenSigner::new("k1".to_owned(), &generate_signing_key()).unwrap();
    let forged = stranger.sign(user_id(), session_id(), &[Role::Admin], contracts::Clock::now(&world.clock));
    for (what, authorization) in [
        ("another scheme", format!("Basic {good}")),
        ("no token", "Bearer".to_owned()),
        ("an empty token", "Bearer ".to_owned()),
        ("no scheme", good.clone()),
        ("signed by a stranger", format!("Bearer {forged}")),
        ("alg none", format!("Bearer {}", unsigned(r#"{"alg":"none","typ":"at+jwt","kid":"k1"}"#))),
        ("no signature", format!("Bearer {}", unsigned(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#))),
        ("one letter more", format!("Bearer {good}x")),
        ("far too long", format!("Bearer {}", "x".repeat(10_000))),
    ] {
        let response = world.get(PATH).header("authorization", authorization).send().await.unwrap();
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert_eq!(refusal(response).await, "401 invalid-token", "{what}");
        assert!(challenge.starts_with("Bearer"), "{what}: {challenge}");
    }
    let twice = world.get(PATH).bearer_auth(&good).header("authorization", "Bearer x").send().await.unwrap();
    assert_eq!(refusal(twice).await, "401 invalid-token");
    assert_eq!(refusal(world.get(PATH).send().await.unwrap()).await, "401 authentication-required");
    let in_query = world.get(&format!("/api/orders?token={good}")).send().await.unwrap();
    assert_eq!(refusal(in_query).await, "401 authentication-required", "a token in the query counts on /events only");
    assert_eq!(world.get(PATH).bearer_auth(&good).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let world = World::new().await;
    let token = world.token();
    world.clock.advance(ACCESS_TOKEN_TTL + std::time::Duration::from_secs(10));
    assert_eq!(refusal(world.get(PATH).bearer_auth(token).send().await.unwrap()).await, "401 invalid-token");
    assert_eq!(world.get(PATH).bearer_auth(world.token()).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_service_token_is_no_user() {
    let world = World::new().await;
    let secret = secrecy::SecretString::from("test-secret");
    let identity = service_kit::auth::ServiceIdentity::new("orders", &secret, std::sync::Arc::new(world.clock.clone()));
    let response = world.get(PATH).bearer_auth(identity.token_for("gateway").as_ref()).send().await.unwrap();
    assert_eq!(refusal(response).await, "401 invalid-token");
}

/// Routes that anybody may call.
const OPEN: &[&str] = &[
    "/",
    "/docs",
    "/docs/x",
    "/openapi.json",
    "/problems/slug",
    "/health/live",
    "/health/ready",
    "/.well-known/jwks.json",
    "/api/auth/register",
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/auth/logout",
];

#[tokio::test]
async fn every_route_but_the_open_ones_asks_who_is_there_before_it_looks_at_anything_else() {
    let world = World::new().await;
    for endpoint in routes::table() {
        let path = endpoint.path().replace("{file:.*}", "x").replace(['{', '}'], "");
        for method in endpoint.methods() {
            let reads_catalogue = path.starts_with("/api/products") && (method == "GET" || method == "HEAD");
            if OPEN.contains(&path.as_str()) || reads_catalogue || method == "HEAD" {
                continue;
            }
            let method = Method::from_bytes(method.as_str().as_bytes()).unwrap();
            let response = world.request(method.clone(), &path).body("nonsense").send().await.unwrap();
            assert_eq!(refusal(response).await, "401 authentication-required", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn services_see_the_user_where_there_is_one_and_the_gateway_where_there_is_none() {
    let world = World::new().await;
    world.get("/api/users/me").bearer_auth(world.token()).send().await.unwrap();
    let caller = world.script.calls("GetUser").pop().unwrap().caller;
    assert!(matches!(caller, Caller::User(user) if user.user_id == user_id()));
    world.get("/api/products").send().await.unwrap();
    let caller = world.script.calls("ListProducts").pop().unwrap().caller;
    assert!(matches!(caller, Caller::Service(name) if &*name == "gateway"));
}
