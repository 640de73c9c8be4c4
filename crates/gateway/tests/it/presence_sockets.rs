//! Who is online, as clients of Socket.IO see it: who is told, who may ask.

use std::time::Duration;

use contracts::event_data::{ChatMemberEvent, event_type};
use contracts::ids::{ChatRoomId, UserId};
use contracts::{Reason, Refusal, Role};
use gateway::Settings;
use gateway::realtime::presence::Timing;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sio::Client;
use crate::world::{World, eventually, settings};

/// In earnest as between each other, and short.
const TIMING: Timing = Timing {
    beat: Duration::from_millis(500),
    expiry: Duration::from_millis(1_500),
    grace: Duration::from_millis(300),
    sweep: Duration::from_millis(50),
};

fn short() -> Settings {
    Settings { presence: TIMING, ..settings() }
}

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(n))
}

fn chat(n: u128) -> ChatRoomId {
    ChatRoomId::from_uuid(Uuid::from_u128(n))
}

/// A world whose clock goes on as time does: the store in memory has its time from there.
async fn world(settings: Settings) -> World {
    const TICK: Duration = Duration::from_millis(10);
    let world = World::with(settings).await;
    let clock = world.clock.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(TICK).await;
            clock.advance(TICK);
        }
    });
    world
}

impl World {
    /// The user is a member of these chat rooms.
    fn in_chats(&self, who: u128, chats: &[u128]) {
        let chats = chats.iter().map(|n| chat(*n)).collect();
        self.script.chats.lock().unwrap().insert(user(who), chats);
    }

    async fn client_at(&self, gateway: std::net::SocketAddr, who: u128) -> Client {
        let token = self.token_with(&[Role::Customer], user(who));
        let mut client = Client::connect(gateway, "/", &json!({ "token": token })).await.unwrap();
        // Once it has an answer, it is here.
        client.sees(who, who).await;
        client
    }

    async fn client(&self, who: u128) -> Client {
        self.client_at(self.address, who).await
    }

    async fn membership(&self, event: &str, who: u128, room: u128) {
        self.publish(event, user(who), &ChatMemberEvent { room_id: chat(room), user_id: user(who) }).await;
    }
}

impl Client {
    /// What `presence:query` says of a user.
    async fn sees(&mut self, _asker: u128, who: u128) -> bool {
        let id = user(who).to_string();
        let answer = self.ask("presence:query", &json!([id])).await;
        answer[&id].as_bool().unwrap_or_else(|| panic!("{answer}"))
    }

    /// The next event about somebody's presence.
    async fn told(&mut self) -> (String, Value) {
        let waiting = async {
            loop {
                let (name, arguments) = self.next_event().await.expect("connected");
                if name.starts_with("user:") {
                    return (name, arguments[0]["user_id"].clone());
                }
            }
        };
        tokio::time::timeout(crate::world::PATIENCE, waiting).await.expect("somebody comes or goes")
    }
}

fn online(who: u128) -> (String, Value) {
    ("user:online".to_owned(), json!(user(who)))
}

fn offline(who: u128) -> (String, Value) {
    ("user:offline".to_owned(), json!(user(who)))
}

#[tokio::test]
async fn those_who_share_a_room_are_told_of_the_first_device_and_of_the_last() {
    let world = world(short()).await;
    for (who, chats) in [(1, &[1_u128, 2][..]), (2, &[1, 2, 3]), (3, &[3]), (4, &[])] {
        world.in_chats(who, chats);
    }
    let mut ada = world.client(1).await;
    let mut stranger = world.client(4).await;
    let phone = world.client(2).await;
    assert_eq!(ada.told().await, online(2), "though they share two rooms, once");
    let laptop = world.client(2).await;
    laptop.leave().await;
    let mut cy = world.client(3).await;
    assert!(cy.sees(3, 2).await && !cy.sees(3, 1).await && cy.sees(3, 3).await);
    assert!(ada.sees(1, 2).await && !ada.sees(1, 3).await);
    phone.leave().await;
    assert_eq!(cy.told().await, offline(2));
    assert_eq!(ada.told().await, offline(2), "nothing in between");
    assert!(!stranger.heard_until_now().await.iter().any(|event| event.starts_with("user:")));
    assert!(!ada.sees(1, 2).await);
}

#[tokio::test]
async fn a_room_that_is_joined_by_its_name_is_shared_until_it_is_left() {
    let world = world(short()).await;
    world.in_chats(1, &[]);
    world.in_chats(2, &[]);
    let (mut ada, mut bob) = (world.client(1).await, world.client(2).await);
    assert!(!ada.sees(1, 2).await);
    ada.ask("join", &json!("tea")).await;
    bob.ask("join", &json!("tea")).await;
    assert!(ada.sees(1, 2).await && bob.sees(2, 1).await);
    drop(bob);
    assert_eq!(ada.told().await, offline(2), "after the grace");
    let mut bob = world.client(2).await;
    bob.ask("join", &json!("tea")).await;
    ada.ask("leave", &json!("tea")).await;
    assert!(!ada.sees(1, 2).await);
}

#[tokio::test]
async fn a_connection_that_is_lost_for_a_moment_is_nobodys_business() {
    let world = world(Settings { presence: Timing { grace: Duration::from_secs(30), ..TIMING }, ..settings() }).await;
    world.in_chats(1, &[1]);
    world.in_chats(2, &[1]);
    world.in_chats(3, &[1]);
    let mut ada = world.client(1).await;
    drop(world.client(2).await);
    assert_eq!(ada.told().await, online(2));
    let bob = world.client(2).await;
    let cy = world.client(3).await;
    assert_eq!(ada.told().await, online(3), "nothing was told of the other in between");
    bob.leave().await;
    cy.leave().await;
    assert_eq!(ada.told().await, offline(3), "who said nothing when its first connection was lost may still come back");
}

#[tokio::test]
async fn who_becomes_a_member_is_shown_and_told_and_who_leaves_is_not_any_more() {
    let world = world(short()).await;
    world.in_chats(1, &[1]);
    world.in_chats(2, &[]);
    world.in_chats(3, &[1]);
    let (mut ada, mut bob) = (world.client(1).await, world.client(2).await);
    world.membership(event_type::CHAT_MEMBER_JOINED, 2, 1).await;
    eventually("they share the room", async || ada.sees(1, 2).await).await;
    let cy = world.client(3).await;
    assert_eq!(bob.told().await, online(3));
    world.membership(event_type::CHAT_MEMBER_LEFT, 2, 1).await;
    eventually("they share nothing", async || !ada.sees(1, 2).await).await;
    cy.leave().await;
    ada.told().await;
    assert_eq!(ada.told().await, offline(3));
    assert!(!bob.heard_until_now().await.iter().any(|event| event == "user:offline"));
}

#[tokio::test]
async fn questions_are_bounded_and_staff_may_ask_for_anybody() {
    let world = world(short()).await;
    world.in_chats(1, &[]);
    world.in_chats(2, &[]);
    let (mut ada, _bob) = (world.client(1).await, world.client(2).await);
    let many: Vec<_> = (0..101).map(|n| user(n).to_string()).collect();
    for bad in [json!([]), json!(many), json!("x"), json!([1]), json!({}), Value::Null, json!(["nobody"])] {
        let answer = ada.ask("presence:query", &bad).await;
        assert_eq!(answer["error"]["code"], "INVALID_REQUEST", "{bad}: {answer}");
    }
    let asked = json!([user(1), user(2), user(9)]);
    let answer = ada.ask("presence:query", &asked).await;
    let expected =
        |bob: bool| json!({ user(1).to_string(): true, user(2).to_string(): bob, user(9).to_string(): false });
    assert_eq!(answer, expected(false));
    let token = world.token_with(&[Role::Customer, Role::Support], user(5));
    let mut staff = Client::connect(world.address, "/", &json!({ "token": token })).await.unwrap();
    assert_eq!(staff.ask("presence:query", &asked).await, expected(true));
}

#[tokio::test]
async fn while_the_chat_can_not_be_asked_other_rooms_count_and_then_its_own_do() {
    let world = world(short()).await;
    world.script.refuse("ListRooms", Refusal::new(Reason::Unavailable, "away"));
    let (mut ada, mut bob) = (world.client(1).await, world.client(2).await);
    assert!(!ada.sees(1, 2).await);
    ada.ask("join", &json!("tea")).await;
    bob.ask("join", &json!("tea")).await;
    assert!(ada.sees(1, 2).await);
    ada.ask("leave", &json!("tea")).await;
    world.script.relent("ListRooms");
    eventually("the chat room that both are in is known", async || ada.sees(1, 2).await).await;
}

#[cfg(feature = "redis")]
mod redis {
    use super::*;
    use crate::redis::Prefix;

    fn clustered(prefix: &Prefix) -> Settings {
        Settings { realtime_url: prefix.url(), ..short() }
    }

    #[tokio::test]
    #[ignore = "needs a server: SOUK_TEST_REDIS_URL"]
    async fn two_gateways_tell_of_each_others_users_also_when_one_crashes() {
        let prefix = Prefix::new();
        let world = world(clustered(&prefix)).await;
        for who in 1..=3 {
            world.in_chats(who, &[1]);
        }
        world.in_chats(4, &[2]);
        let mut ada = world.client(1).await;
        let mut stranger = world.client(4).await;
        let doomed = world.doomed_gateway(clustered(&prefix)).await;
        let _bob = world.client_at(doomed.address, 2).await;
        assert_eq!(ada.told().await, online(2));
        let mut cy = world.client_at(doomed.address, 3).await;
        assert_eq!(ada.told().await, online(3));
        assert!(cy.sees(3, 1).await && ada.sees(1, 2).await && ada.sees(1, 3).await);
        let elsewhere = world.client(3).await;
        doomed.crash().await;
        assert_eq!(ada.told().await, offline(2));
        assert!(ada.sees(1, 3).await && !ada.sees(1, 2).await, "who has a device here is not gone");
        let third = world.another_gateway(&clustered(&prefix)).await;
        let bob = world.client_at(third, 2).await;
        assert_eq!(ada.told().await, online(2));
        bob.leave().await;
        assert_eq!(ada.told().await, offline(2));
        elsewhere.leave().await;
        assert_eq!(ada.told().await, offline(3));
        assert!(!stranger.heard_until_now().await.iter().any(|event| event.starts_with("user:")));
    }

    #[tokio::test]
    #[ignore = "needs a server: SOUK_TEST_REDIS_URL"]
    async fn what_is_said_in_a_room_reaches_it_at_the_other_gateway() {
        let prefix = Prefix::new();
        let world = world(clustered(&prefix)).await;
        let second = world.another_gateway(&clustered(&prefix)).await;
        let (mut ada, mut bob) = (world.client(1).await, world.client_at(second, 2).await);
        ada.ask("join", &json!("tea")).await;
        bob.ask("join", &json!("tea")).await;
        assert_eq!(ada.hear("user_joined").await["user_id"], json!(user(2)));
        bob.ask("message", &json!({ "room_id": "tea", "content": "milk?" })).await;
        assert_eq!(ada.hear("message").await["content"], "milk?");
    }

    #[tokio::test]
    async fn a_redis_that_is_away_at_the_start_is_waited_for_and_degrades_nothing_else() {
        // Nothing listens there.
        let world = World::with(Settings { realtime_url: "redis://:secret@127.0.0.1:9/1".to_owned(), ..short() }).await;
        let ready = world.get("/health/ready").send().await.unwrap();
        assert_eq!(ready.status(), 200);
        let report: Value = serde_json::from_str(&ready.text().await.unwrap()).unwrap();
        assert_eq!((&report["status"], &report["checks"]["realtime"]["status"]), (&json!("degraded"), &json!("down")));
        assert!(!report.to_string().contains("secret"), "{report}");
        let mut ada = world.socket(&world.token_with(&[Role::Customer], user(1))).await;
        let answer = ada.ask("presence:query", &json!([user(1)])).await;
        assert_eq!(answer["error"]["code"], "UNAVAILABLE", "{answer}");
    }
}
