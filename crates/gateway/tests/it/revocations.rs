//! Tokens that were good and are no more.

use std::time::{Duration, Instant};

use contracts::event_data::event_type;
use contracts::grpc::users::Revocation;
use contracts::ids::SessionId;
use contracts::{Reason, Refusal};
use reqwest::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use crate::world::{World, eventually, refusal, session_id, settings, user_id};

const PATH: &str = "/api/notifications/unread-count";

impl World {
    async fn accepts(&self, token: &str) -> bool {
        let response = self.get(PATH).bearer_auth(token).send().await.unwrap();
        if response.status() == StatusCode::OK {
            return true;
        }
        assert_eq!(refusal(response).await, "401 invalid-token");
        false
    }
}

#[tokio::test]
async fn bans_role_changes_and_ended_sessions_hold_within_a_second() {
    for event in [event_type::USER_BANNED, event_type::USER_ROLES_CHANGED, event_type::USER_SESSIONS_REVOKED] {
        let world = World::new().await;
        let (token, other) =
            (world.token(), world.token_of(Uuid::from_u128(7).to_string().parse().unwrap(), session_id()));
        assert!(world.accepts(&token).await);
        let published = Instant::now();
        world.revoke(event, user_id(), None).await;
        eventually("the token is refused", async || !world.accepts(&token).await).await;
        assert!(published.elapsed() < Duration::from_secs(1), "{event}: {:?}", published.elapsed());
        assert!(world.accepts(&other).await, "{event}: another user's token must go on counting");
        world.clock.advance(Duration::from_millis(1));
        assert!(world.accepts(&world.token()).await, "{event}: a token issued after must count");
    }
}

#[tokio::test]
async fn one_ended_session_leaves_the_others_open() {
    let world = World::new().await;
    let elsewhere = SessionId::from_uuid(Uuid::from_u128(9));
    let (here, there) = (world.token(), world.token_of(user_id(), elsewhere));
    world.revoke(event_type::USER_SESSIONS_REVOKED, user_id(), Some(session_id())).await;
    eventually("the session's token is refused", async || !world.accepts(&here).await).await;
    assert!(world.accepts(&there).await);
}

#[tokio::test]
async fn what_was_revoked_before_the_start_is_known_after_it() {
    let world = World::unready(settings(), |users| {
        users.revocations.lock().unwrap().push(Revocation {
            user_id: user_id().to_string(),
            session_id: Some(session_id().to_string()),
            not_before_unix_ms: i64::MAX / 2,
        });
    })
    .await;
    let open = world.token_of(user_id(), SessionId::from_uuid(Uuid::from_u128(9)));
    eventually("the list is loaded", async || {
        world.get(PATH).bearer_auth(&open).send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    assert!(!world.accepts(&world.token()).await);
}

#[tokio::test]
async fn no_token_counts_and_the_gateway_is_not_ready_until_the_list_is_loaded() {
    let world = World::unready(settings(), |users| {
        users.script.refuse("ListRevocations", Refusal::new(Reason::Unavailable, "not yet"));
    })
    .await;
    let response = world.get(PATH).bearer_auth(world.token()).send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(refusal(response).await, "503 unavailable");
    let ready = world.get("/health/ready").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let report: Value = ready.json().await.unwrap();
    assert_eq!(report["checks"]["revocations"]["status"], "down");
    assert_eq!(
        world.get("/api/products").send().await.unwrap().status(),
        StatusCode::OK,
        "the catalogue needs no token"
    );

    world.script.relent("ListRevocations");
    eventually("tokens count", async || {
        world.get(PATH).bearer_auth(world.token()).send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    eventually("the gateway is ready", async || {
        world.get("/health/ready").send().await.unwrap().status() == StatusCode::OK
    })
    .await;
}
