//! Who may connect over Socket.IO, how long, and the rooms that clients make.

use std::time::{Duration, Instant};

use contracts::Role;
use contracts::event_data::event_type;
use contracts::ids::UserId;
use gateway::Settings;
use gateway::realtime::drain::Pace;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sio::Client;
use crate::world::{World, settings, user_id};

fn other_user() -> UserId {
    UserId::from_uuid(Uuid::from_u128(7))
}

impl World {
    pub(crate) async fn socket(&self, token: &str) -> Client {
        Client::connect(self.address, "/", &json!({ "token": token })).await.unwrap()
    }

    async fn refused(&self, namespace: &str, auth: &Value) -> String {
        let error = Client::connect(self.address, namespace, auth).await.err().expect("the client is refused");
        error["message"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_client_is_let_in_by_its_token_alone_and_told_why_not() {
    let world = World::new().await;
    assert_eq!(world.refused("/", &json!({})).await, "Authentication required");
    assert_eq!(world.refused("/", &json!({ "token": null })).await, "Authentication required");
    assert_eq!(world.refused("/", &json!({ "token": "nonsense" })).await, "Invalid token");
    assert_eq!(world.refused("/", &json!({ "token": 7 })).await, "Invalid token");
    assert_eq!(world.refused("/admin", &json!({ "token": world.token() })).await, "Admin access required");
    assert_eq!(world.refused("/nowhere", &json!({ "token": world.token() })).await, "Invalid namespace");
    let admin = world.token_with(&[Role::Customer, Role::Admin], user_id());
    assert!(Client::connect(world.address, "/admin", &json!({ "token": admin })).await.is_ok());
    let client = world.socket(&world.token()).await;
    assert!(client.hello["sid"].is_string() && client.hello["pid"].is_string(), "{}", client.hello);
    let in_query = format!("&token={}", world.token());
    assert!(Client::connect_by(world.address, &in_query, "/", &json!({})).await.is_ok());
    let bearer = format!("Bearer {}", world.token());
    assert!(Client::connect(world.address, "/", &json!({ "token": bearer })).await.is_ok());
}

#[tokio::test]
async fn who_is_banned_is_gone_within_a_second_and_does_not_come_back() {
    let world = World::new().await;
    let token = world.token();
    let mut clients = vec![world.socket(&token).await, world.socket(&token).await];
    let second = world.second_gateway().await;
    clients.push(Client::connect(second, "/", &json!({ "token": token })).await.unwrap());
    let mut unharmed = world.socket(&world.token_with(&[Role::Customer], other_user())).await;
    let banned = Instant::now();
    world.revoke(event_type::USER_BANNED, user_id(), None).await;
    for client in &mut clients {
        assert_eq!(client.hear("auth:revoked").await["message"], "Invalid token");
        client.ended().await;
    }
    assert!(banned.elapsed() < Duration::from_secs(1), "{:?}", banned.elapsed());
    for gateway in [world.address, second] {
        let error = Client::connect(gateway, "/", &json!({ "token": token })).await.err().unwrap();
        assert_eq!(error["message"], "User not authorized");
    }
    assert_eq!(unharmed.ask("join", &json!("tea")).await, json!({ "room_id": "tea" }));
}

#[tokio::test]
async fn a_socket_ends_with_its_token_unless_it_shows_a_newer_one() {
    let world = World::new().await;
    let (mut careless, mut careful) = (world.socket(&world.token()).await, world.socket(&world.token()).await);
    world.clock.advance(Duration::from_mins(10));
    let renewed = careful.ask("auth:refresh", &json!({ "token": world.token() })).await;
    assert!(renewed["expires_at"].is_string(), "{renewed}");
    let others = world.token_with(&[Role::Customer], other_user());
    assert_eq!(careful.ask("auth:refresh", &json!(others)).await["error"]["code"], "NOT_ALLOWED");
    assert_eq!(careful.ask("auth:refresh", &json!("nonsense")).await["error"]["code"], "INVALID_TOKEN");
    world.clock.advance(Duration::from_mins(5));
    // The look at all of them comes by the clock on the wall; an event of the user brings it forward.
    world.publish(event_type::USER_SESSIONS_REVOKED, user_id(), &revocation_of_another_session()).await;
    careless.ended().await;
    assert_eq!(careful.ask("join", &json!("tea")).await, json!({ "room_id": "tea" }));
}

fn revocation_of_another_session() -> Value {
    json!({ "user_id": user_id(), "roles": [], "session_id": Uuid::from_u128(99), "revoked_before": "2020-01-01T00:00:00.000Z" })
}

#[tokio::test]
async fn rooms_hear_who_comes_who_speaks_and_who_leaves() {
    let world = World::new().await;
    let mut ada = world.socket(&world.token()).await;
    let mut linus = world.socket(&world.token_with(&[Role::Customer], other_user())).await;
    let mut stranger = world.socket(&world.token_with(&[Role::Customer], UserId::from_uuid(Uuid::from_u128(8)))).await;
    assert_eq!(ada.ask("message", &json!({ "room_id": "tea", "content": "?" })).await["error"]["code"], "NOT_A_MEMBER");
    ada.ask("join", &json!("tea")).await;
    linus.ask("join", &json!("tea")).await;
    assert_eq!(ada.hear("user_joined").await, json!({ "user_id": other_user(), "room_id": "tea" }));
    // A second time changes nothing, and nobody hears of it.
    linus.ask("join", &json!("tea")).await;
    let said = linus.ask("message", &json!({ "roomId": "tea", "content": "hello" })).await;
    let heard = ada.hear("message").await;
    assert_eq!(heard, said);
    assert_eq!((&heard["room_id"], &heard["content"]), (&json!("tea"), &json!("hello")));
    assert_eq!(heard["user_id"], json!(other_user()));
    assert!(heard["timestamp"].is_string());
    assert_eq!(linus.hear("message").await, said, "the sender sees it too");
    linus.ask("leave", &json!("tea")).await;
    assert_eq!(ada.hear("user_left").await, json!({ "user_id": other_user(), "room_id": "tea" }));
    assert!(stranger.heard_until_now().await.is_empty());
    for bad in [json!(""), json!("x".repeat(65)), json!(7), json!(null)] {
        assert_eq!(ada.ask("join", &bad).await["error"]["code"], "INVALID_REQUEST", "{bad}");
    }
    // Without an acknowledgement to put it in, a refusal is an event.
    ada.emit("join", &json!(7)).await;
    assert_eq!(ada.hear("error").await["event"], "join");
}

#[tokio::test]
async fn no_name_of_a_room_reaches_what_is_meant_for_others() {
    let world = World::new().await;
    let (ada, other) = (world.token(), world.token_with(&[Role::Customer], other_user()));
    let (mut ada, mut spy) = (world.socket(&ada).await, world.socket(&other).await);
    let sid = ada.hello["sid"].as_str().unwrap().to_owned();
    for name in [sid, format!("user:{}", user_id()), "live:dashboard".to_owned(), "chat:1".to_owned()] {
        spy.ask("join", &json!(name)).await;
    }
    world.append("order_created", r#"{"id":"o1"}"#).await;
    ada.ask("join", &json!("tea")).await;
    ada.ask("message", &json!({ "room_id": "tea", "content": "secret" })).await;
    assert!(spy.heard_until_now().await.is_empty());
}

#[tokio::test]
async fn admins_tell_everyone_who_is_connected() {
    let world = World::new().await;
    let mut here = world.socket(&world.token()).await;
    let text = json!({ "text": "closed at noon" });
    let refused = world.post("/api/admin/announcements").bearer_auth(world.token()).json(&text).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let admin = world.token_with(&[Role::Admin], user_id());
    let told = world.post("/api/admin/announcements").bearer_auth(&admin).json(&text).send().await.unwrap();
    assert_eq!(told.status(), StatusCode::CREATED);
    let told: Value = told.json().await.unwrap();
    assert_eq!(told["text"], "closed at noon");
    assert_eq!(here.hear("announcement").await, told);
    let blank = world.post("/api/admin/announcements").bearer_auth(&admin).json(&json!({ "text": " " })).send().await;
    assert_eq!(blank.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_inbox_goes_on_from_the_clients_cursor_with_the_cursor_among_the_data() {
    let world = World::new().await;
    for n in 1..=3 {
        world.append("order_created", &format!(r#"{{"id":"o{n}"}}"#)).await;
    }
    let auth = json!({ "token": world.token(), "cursor": 1 });
    let mut client = Client::connect(world.address, "/", &auth).await.unwrap();
    assert_eq!(client.hear("inbox:ready").await, json!({ "cursor": 1, "head": 3, "acked": 0 }));
    assert_eq!(client.hear("order_created").await, json!({ "cursor": 2, "id": "o2" }));
    assert_eq!(client.hear("order_created").await, json!({ "cursor": 3, "id": "o3" }));
    world.append("notification:unread", r#"{"count":1}"#).await;
    assert_eq!(client.hear("notification:unread").await, json!({ "cursor": 4, "count": 1 }));
    for bad in [json!(9), json!("x"), json!(-1), json!(1.5), json!({})] {
        let auth = json!({ "token": world.token(), "cursor": bad });
        let mut client = Client::connect(world.address, "/", &auth).await.unwrap();
        assert_eq!(client.hear("resync").await, json!({ "cursor": 4 }), "{bad}");
    }
    let mut newcomer = world.socket(&world.token()).await;
    assert_eq!(newcomer.hear("inbox:ready").await, json!({ "cursor": 4, "head": 4, "acked": 0 }));
    assert!(newcomer.heard_until_now().await.is_empty());
}

#[tokio::test]
async fn a_gateway_that_stops_tells_its_clients_one_after_the_other_and_the_last_still_hears_what_happens() {
    let drain = Pace { per_second: 2.try_into().unwrap(), ..Pace::default() };
    let world = World::with(Settings { drain, ..settings() }).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(world.socket(&world.token()).await);
    }
    let begun = Instant::now();
    world.stop.cancel();
    world.append("order_created", r#"{"id":"o1"}"#).await;
    let told = futures::future::join_all(clients.iter_mut().map(async |client| {
        let mut heard = false;
        while let Some((name, _)) = client.next_event().await {
            heard |= name == "order_created";
        }
        (heard, begun.elapsed())
    }));
    let told = told.await;
    assert!(told.iter().any(|(heard, _)| *heard), "{told:?}");
    let last = told.iter().map(|(_, at)| *at).max().unwrap();
    assert!(last >= Duration::from_millis(1200), "not faster than two in a second: {told:?}");
    // Nobody is let in meanwhile, and is told so at once.
    let url = format!("http://{}/socket.io/?EIO=4&transport=polling", world.address);
    assert_eq!(world.http.get(url).send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}
