//! The chat over Socket.IO: every event of it, who may send it, and who hears of it.

use std::time::{Duration, Instant};

use contracts::ids::UserId;
use contracts::{Reason, Refusal, Role};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sio::Client;
use crate::world::{World, eventually, user_id};

fn linus_id() -> UserId {
    UserId::from_uuid(Uuid::from_u128(7))
}

fn stranger_id() -> UserId {
    UserId::from_uuid(Uuid::from_u128(8))
}

impl World {
    fn token_for(&self, user: UserId) -> String {
        self.token_with(&[Role::Customer], user)
    }

    /// A client of a user that has joined a room, with nothing left to hear.
    pub(crate) async fn in_room(&self, user: UserId, room: &str) -> Client {
        let mut client = self.socket(&self.token_for(user)).await;
        let joined = client.ask("join:room", &json!(room)).await;
        assert!(joined["room"].is_object(), "{joined}");
        client.hear("room:history").await;
        client
    }

    async fn post_message(&self, user: UserId, room: &str, body: &Value) -> Value {
        let path = format!("/api/chat/rooms/{room}/messages");
        let posted = self.post(&path).bearer_auth(self.token_for(user)).json(body).send().await.unwrap();
        assert_eq!(posted.status(), StatusCode::CREATED);
        posted.json().await.unwrap()
    }

    async fn leave_by_rest(&self, user: UserId, room: &str) {
        let path = format!("/api/chat/rooms/{room}/leave");
        let left = self.request(Method::POST, &path).bearer_auth(self.token_for(user)).send().await.unwrap();
        assert_eq!(left.status(), StatusCode::NO_CONTENT);
    }
}

fn say(room: &str, content: &str) -> Value {
    json!({ "room_id": room, "content": content })
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("none")
}

/// The names of events that were sent in the room, after the answer to a message of one's own has come back.
async fn names_until_next_message(client: &mut Client) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let (name, _) = client.next_event().await.expect("the client is connected");
        let is_last = name == "message:new";
        names.push(name);
        if is_last {
            // Who is online is told on its own.
            names.retain(|name| name != "inbox:ready" && !name.starts_with("user:o"));
            return names;
        }
    }
}

#[tokio::test]
async fn who_joins_a_room_is_told_of_it_and_the_others_of_them() {
    let world = World::new().await;
    let room = world.rooms.open(true, &[]);
    let mut ada = world.in_room(user_id(), &room).await;
    let first = ada.ask("message:send", &say(&room, "one")).await;
    let second = ada.ask("message:send", &say(&room, "two")).await;
    ada.ask("message:read", &json!({ "room_id": room, "seq": 1 })).await;

    let mut linus = world.socket(&world.token_for(linus_id())).await;
    let joined = linus.ask("join:room", &json!(room)).await;
    assert_eq!((&joined["room"]["id"], &joined["room"]["visibility"]), (&json!(room), &json!("public")));
    let members: Vec<_> = joined["members"].as_array().unwrap().iter().map(|member| &member["user_id"]).collect();
    assert_eq!(members.len(), 2, "{joined}");
    assert!(members.contains(&&json!(user_id())) && members.contains(&&json!(linus_id())));
    let positions = &joined["read_positions"];
    assert_eq!(positions[user_id().to_string()], json!({ "message_id": first["id"], "seq": 1 }));
    assert_eq!(positions[linus_id().to_string()], json!({ "message_id": second["id"], "seq": 2 }));
    assert_eq!((&joined["unread"], &joined["last_seq"]), (&json!(0), &json!(2)));
    assert_eq!(linus.hear("room:history").await, json!([first, second]));
    assert_eq!(ada.hear("user:joined").await, json!({ "user_id": linus_id(), "room_id": room }));

    // Once more, as an object in the other spelling: it is told again what it wants to know, and the others nothing.
    let again = linus.ask("join:room", &json!({ "roomId": room })).await;
    assert_eq!(again, joined);
    assert_eq!(linus.hear("room:history").await.as_array().unwrap().len(), 2);
    ada.ask("message:send", &say(&room, "three")).await;
    assert_eq!(names_until_next_message(&mut ada).await, ["message:new"]);
    let unread = world.in_room(linus_id(), &room).await.ask("join:room", &json!({ "room_id": room })).await;
    assert_eq!((&unread["unread"], &unread["last_seq"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn rooms_of_others_do_not_exist() {
    let world = World::new().await;
    let room = world.rooms.open(false, &[user_id()]);
    let mut ada = world.in_room(user_id(), &room).await;
    let mut stranger = world.socket(&world.token_for(stranger_id())).await;
    for bad in [json!(room), json!({ "room_id": room }), json!("general"), json!(""), json!({ "room_id": "x" })] {
        assert_eq!(code(&stranger.ask("join:room", &bad).await), "CHAT_ROOM_NOT_FOUND", "{bad}");
    }
    for bad in [json!(7), json!(null), json!({}), json!([room])] {
        assert_eq!(code(&stranger.ask("join:room", &bad).await), "INVALID_REQUEST", "{bad}");
    }
    // A member whose socket has not joined is refused as well.
    let mut elsewhere = world.socket(&world.token()).await;
    let read = json!({ "room_id": room, "seq": 1 });
    // The room of a client's own that is called like it is another.
    stranger.ask("join", &json!(format!("chat:{room}"))).await;
    for client in [&mut stranger, &mut elsewhere] {
        assert_eq!(code(&client.ask("message:send", &say(&room, "hello")).await), "NOT_A_MEMBER");
        assert_eq!(code(&client.ask("message:read", &read).await), "NOT_A_MEMBER");
        assert_eq!(code(&client.ask("typing:start", &json!(room)).await), "NOT_A_MEMBER");
        assert_eq!(code(&client.ask("typing:stop", &json!(room)).await), "NOT_A_MEMBER");
        assert_eq!(client.ask("leave:room", &json!(room)).await, json!({ "room_id": room }));
    }
    ada.ask("message:send", &say(&room, "secret")).await;
    assert_eq!(ada.hear("message:new").await["content"], "secret");
    assert!(stranger.heard_until_now().await.is_empty());
    assert!(world.script.calls("MarkRoomRead").is_empty() && world.script.calls("PostMessage").len() == 1);
}

#[tokio::test]
async fn a_message_is_stored_once_and_told_to_all_in_the_room() {
    let world = World::new().await;
    let room = world.rooms.open(true, &[]);
    let (mut ada, mut linus) = (world.in_room(user_id(), &room).await, world.in_room(linus_id(), &room).await);
    let said = json!({ "roomId": room, "content": " Hi \n", "clientId": "web-1" });
    let stored = ada.ask("message:send", &said).await;
    assert_eq!(
        (&stored["seq"], &stored["content"], &stored["client_id"]),
        (&json!(1), &json!(" Hi \n"), &json!("web-1"))
    );
    assert_eq!((&stored["user_id"], &stored["room_id"]), (&json!(user_id()), &json!(room)));
    assert_eq!(linus.hear("message:new").await, stored);
    assert_eq!(ada.hear("message:new").await, stored, "the sender sees it too");
    assert_eq!(ada.ask("message:send", &said).await, stored, "it was sent again");
    // Who posts by REST is heard the same way.
    let by_rest = world.post_message(user_id(), &room, &json!({ "content": "by REST" })).await;
    assert_eq!(linus.hear("message:new").await, by_rest);
    // The bus may say everything twice.
    for message in world.rooms.messages(&room) {
        world.rooms.tell(&message).await;
    }
    let last = linus.ask("message:send", &say(&room, "last")).await;
    assert_eq!(linus.hear("message:new").await, last);
    for bad in [json!({ "room_id": room, "content": "" }), json!({ "room_id": room, "content": "x".repeat(4001) })] {
        assert_eq!(ada.ask("message:send", &bad).await["error"]["errors"][0]["pointer"], "/content");
    }
    for bad in [json!({ "room_id": room }), json!({ "room_id": room, "content": 7 }), json!("hello"), json!(null)] {
        assert_eq!(code(&ada.ask("message:send", &bad).await), "INVALID_REQUEST", "{bad}");
    }
    assert_eq!(world.rooms.messages(&room).len(), 3);
}

#[tokio::test]
async fn typing_is_told_once_to_the_others_and_ends_with_the_message_the_room_or_the_client() {
    let world = World::new().await;
    let room = world.rooms.open(true, &[]);
    let (mut ada, mut linus) = (world.in_room(user_id(), &room).await, world.in_room(linus_id(), &room).await);
    let mut other_device = world.in_room(user_id(), &room).await;
    let typing = |is_typing: bool| json!({ "room_id": room, "user_id": user_id(), "is_typing": is_typing });
    let id = json!(room);
    for _ in 0..2 {
        assert_eq!(ada.ask("typing:start", &id).await, json!({ "room_id": room }));
    }
    ada.ask("typing:stop", &json!({ "roomId": room })).await;
    ada.ask("typing:stop", &id).await;
    for is_typing in [true, false] {
        assert_eq!(linus.hear("typing:update").await, typing(is_typing));
    }
    ada.ask("typing:start", &id).await;
    assert_eq!(linus.hear("typing:update").await, typing(true), "twice the same would have come before");
    ada.ask("message:send", &say(&room, "done")).await;
    assert_eq!(linus.hear("typing:update").await, typing(false));
    ada.ask("typing:start", &id).await;
    assert_eq!(linus.hear("typing:update").await, typing(true));
    ada.ask("leave:room", &id).await;
    assert_eq!(linus.hear("typing:update").await, typing(false));
    assert_eq!(linus.hear("user:left").await, json!({ "user_id": user_id(), "room_id": room }));
    for device in [&mut ada, &mut other_device] {
        assert!(!device.heard_until_now().await.contains(&"typing:update".to_owned()), "who types knows it");
    }

    world.clock.advance(Duration::from_secs(1));
    let mut ada = world.in_room(user_id(), &room).await;
    ada.ask("typing:start", &id).await;
    assert_eq!(linus.hear("typing:update").await, typing(true));
    drop(ada);
    assert_eq!(linus.hear("typing:update").await, typing(false));
}

#[tokio::test]
async fn typing_ends_by_itself_unless_it_goes_on() {
    let world = World::new().await;
    let room = world.rooms.open(true, &[]);
    let (mut ada, mut linus) = (world.in_room(user_id(), &room).await, world.in_room(linus_id(), &room).await);
    ada.ask("typing:start", &json!(room)).await;
    assert_eq!(linus.hear("typing:update").await["is_typing"], true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    ada.ask("typing:start", &json!(room)).await;
    let last = Instant::now();
    assert_eq!(linus.hear("typing:update").await["is_typing"], false);
    let after = last.elapsed();
    assert!(after > Duration::from_millis(5900) && after < Duration::from_secs(8), "{after:?}");
}

#[tokio::test]
async fn how_far_somebody_has_read_is_told_to_all_when_it_moves() {
    let world = World::new().await;
    let room = world.rooms.open(true, &[]);
    let (mut ada, mut linus) = (world.in_room(user_id(), &room).await, world.in_room(linus_id(), &room).await);
    let mut phone = world.in_room(linus_id(), &room).await;
    let mut ids = Vec::new();
    for content in ["one", "two", "three"] {
        ids.push(ada.ask("message:send", &say(&room, content)).await["id"].clone());
    }
    let update = |seq: usize| json!({ "room_id": room, "user_id": linus_id(), "message_id": ids[seq - 1], "seq": seq });
    let position =
        |seq: usize| json!({ "room_id": room, "read_seq": seq, "message_id": ids[seq - 1], "unread": 3 - seq });
    let read = linus.ask("message:read", &json!({ "roomId": room, "messageId": ids[0] })).await;
    assert_eq!(read, position(1));
    // Reading it again moves nothing, and reading by REST is reading as well.
    assert_eq!(linus.ask("message:read", &json!({ "room_id": room, "seq": 1 })).await, position(1));
    let path = format!("/api/chat/rooms/{room}/read");
    let by_rest = world.post(&path).bearer_auth(world.token_for(linus_id())).json(&json!({ "seq": 2 }));
    assert_eq!(by_rest.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(linus.ask("message:read", &json!({ "room_id": room, "seq": 3 })).await, position(3));
    for client in [&mut ada, &mut linus, &mut phone] {
        for seq in 1..=3 {
            assert_eq!(client.hear("read:update").await, update(seq));
        }
    }
    let both = json!({ "room_id": room, "seq": 1, "message_id": ids[0] });
    assert_eq!(code(&linus.ask("message:read", &both).await), "INVALID_REQUEST");
    assert_eq!(code(&linus.ask("message:read", &json!({ "room_id": room })).await), "INVALID_REQUEST");
    let missing = json!({ "room_id": room, "seq": 9 });
    assert_eq!(code(&linus.ask("message:read", &missing).await), "CHAT_MESSAGE_NOT_FOUND");
}

#[tokio::test]
async fn who_leaves_hears_no_more_and_stays_a_member() {
    let world = World::new().await;
    let room = world.rooms.open(false, &[user_id(), linus_id()]);
    let (mut ada, mut linus) = (world.in_room(user_id(), &room).await, world.in_room(linus_id(), &room).await);
    let left = json!({ "user_id": linus_id(), "room_id": room });
    assert_eq!(linus.ask("leave:room", &json!({ "room_id": room })).await, json!({ "room_id": room }));
    assert_eq!(ada.hear("user:left").await, left);
    ada.ask("message:send", &say(&room, "gone?")).await;
    ada.hear("message:new").await;
    assert!(linus.heard_until_now().await.is_empty());
    let back = linus.ask("join:room", &json!(room)).await;
    assert_eq!(back["unread"], 1);
    assert_eq!(ada.hear("user:joined").await, left);
    linus.say_goodbye().await;
    assert_eq!(ada.hear("user:left").await, left);
    // Who lost the connection may be back soon.
    let linus = world.in_room(linus_id(), &room).await;
    ada.hear("user:joined").await;
    drop(linus);
    let lost = Instant::now();
    assert_eq!(ada.hear("user:left").await, left);
    assert!(lost.elapsed() > Duration::from_secs(4), "{:?}", lost.elapsed());
}

#[tokio::test]
async fn a_membership_that_ends_ends_for_every_socket_on_every_gateway() {
    let world = World::new().await;
    let second = world.second_gateway().await;
    let room = world.rooms.open(false, &[user_id(), linus_id()]);
    let mut ada = world.in_room(user_id(), &room).await;
    let mut here = world.in_room(linus_id(), &room).await;
    let mut there = Client::connect(second, "/", &json!({ "token": world.token_for(linus_id()) })).await.unwrap();
    there.ask("join:room", &json!(room)).await;
    // What is said of a membership that ended before the present one does nothing to it.
    let asked = world.script.calls("ListMembers").len();
    world.rooms.tell_left(&room, linus_id()).await;
    assert_eq!(ada.hear("user:left").await["user_id"], json!(linus_id()));
    eventually("both gateways have asked", async || world.script.calls("ListMembers").len() > asked + 1).await;
    assert!(here.ask("message:send", &say(&room, "still here")).await["id"].is_string());

    world.leave_by_rest(linus_id(), &room).await;
    let left = json!({ "user_id": linus_id(), "room_id": room });
    for client in [&mut here, &mut there] {
        assert_eq!(client.hear("user:left").await, left);
        assert_eq!(code(&client.ask("message:send", &say(&room, "hello?")).await), "NOT_A_MEMBER");
        assert_eq!(code(&client.ask("join:room", &json!(room)).await), "CHAT_ROOM_NOT_FOUND");
    }
    assert_eq!(ada.hear("user:left").await, left);
    ada.ask("message:send", &say(&room, "he is gone")).await;
    ada.hear("message:new").await;
    for client in [&mut here, &mut there] {
        assert!(client.heard_until_now().await.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_of_the_service_ends_what_the_gateway_believed() {
    let world = World::new().await;
    let room = world.rooms.open(true, &[]);
    let mut linus = world.in_room(linus_id(), &room).await;
    world.rooms.forget(&room, linus_id());
    assert_eq!(code(&linus.ask("message:send", &say(&room, "hello")).await), "NOT_A_MEMBER");
    assert_eq!(linus.hear("user:left").await["user_id"], json!(linus_id()));
    // A room that can't be read after joining is not joined.
    world.script.refuse("ListMessages", Refusal::new(Reason::Unavailable, "away"));
    assert_eq!(code(&linus.ask("join:room", &json!(room)).await), "UNAVAILABLE");
    assert_eq!(code(&linus.ask("typing:start", &json!(room)).await), "NOT_A_MEMBER");
    world.script.relent("ListMessages");
    assert!(linus.ask("join:room", &json!(room)).await["room"].is_object());
}

#[tokio::test]
async fn a_user_sends_so_much_and_no_more() {
    let world = World::new().await;
    let room = world.rooms.open(true, &[]);
    let mut ada = world.in_room(user_id(), &room).await;
    let mut phone = world.in_room(user_id(), &room).await;
    for _ in 0..5 {
        assert!(ada.ask("message:send", &say(&room, "x")).await["id"].is_string());
        assert!(phone.ask("message:send", &say(&room, "x")).await["id"].is_string());
    }
    let refused = ada.ask("message:send", &say(&room, "x")).await;
    assert_eq!((code(&refused), &refused["error"]["status"]), ("RATE_LIMITED", &json!(429)));
    let wait = refused["error"]["retry_after_ms"].as_u64().unwrap();
    assert!(wait > 0 && wait <= 1000, "{refused}");
    let path = format!("/api/chat/rooms/{room}/messages");
    let by_rest = world.post(&path).bearer_auth(world.token()).json(&json!({ "content": "x" })).send().await.unwrap();
    assert_eq!(by_rest.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(world.in_room(linus_id(), &room).await.ask("message:send", &say(&room, "x")).await["id"].is_string());
    world.clock.advance(Duration::from_millis(wait));
    assert!(ada.ask("message:send", &say(&room, "x")).await["id"].is_string());
    assert_eq!(code(&phone.ask("message:send", &say(&room, "x")).await), "RATE_LIMITED");

    for _ in 0..5 {
        assert_eq!(code(&ada.ask("typing:start", &json!(room)).await), "none");
    }
    assert_eq!(code(&ada.ask("typing:start", &json!(room)).await), "RATE_LIMITED");
    assert_eq!(code(&ada.ask("typing:stop", &json!(room)).await), "none", "what ends is never refused");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(code(&ada.ask("typing:start", &json!(room)).await), "none");
}

/// A client that lost its connection after it heard a message; what it shows to have its session back.
async fn lost(world: &World, room: &str, user: UserId) -> Value {
    let mut client = world.in_room(user, room).await;
    client.ask("message:send", &say(room, "before")).await;
    let offset = client.hear_all("message:new").await.pop().unwrap();
    assert!(offset.is_string(), "{offset}");
    json!({ "token": world.token_for(user), "pid": client.hello["pid"], "offset": offset, "sid": client.hello["sid"] })
}

#[tokio::test]
async fn a_session_goes_on_in_the_rooms_whose_member_its_user_still_is() {
    let world = World::new().await;
    let room = world.rooms.open(true, &[]);
    let mut ada = world.in_room(user_id(), &room).await;

    let auth = lost(&world, &room, linus_id()).await;
    let missed = ada.ask("message:send", &say(&room, "meanwhile")).await;
    while ada.hear("message:new").await != missed {}
    let mut linus = Client::connect(world.address, "/", &auth).await.unwrap();
    assert_eq!(linus.hello["sid"], auth["sid"], "recovered");
    assert_eq!(linus.hear("message:new").await, missed);
    assert!(linus.ask("message:send", &say(&room, "back")).await["id"].is_string());
    linus.say_goodbye().await;

    let auth = lost(&world, &room, linus_id()).await;
    world.rooms.forget(&room, linus_id());
    let secret = ada.ask("message:send", &say(&room, "he is gone")).await;
    while ada.hear("message:new").await != secret {}
    let mut linus = Client::connect(world.address, "/", &auth).await.unwrap();
    assert_eq!(linus.hello["sid"], auth["sid"], "recovered");
    let left = json!({ "user_id": linus_id(), "room_id": room });
    loop {
        let (name, arguments) = linus.next_event().await.unwrap();
        assert_ne!(name, "message:new", "it was said when he was no member any more");
        if name == "user:left" {
            assert_eq!(arguments[0], left);
            break;
        }
    }
    assert_eq!(code(&linus.ask("typing:start", &json!(room)).await), "NOT_A_MEMBER");
    assert!(linus.heard_until_now().await.is_empty());
    linus.say_goodbye().await;

    let auth = lost(&world, &room, linus_id()).await;
    world.script.refuse("ListMembers", Refusal::new(Reason::Unavailable, "away"));
    let mut linus = Client::connect(world.address, "/", &auth).await.unwrap();
    assert_ne!(linus.hello["sid"], auth["sid"], "it starts over");
    assert_eq!(code(&linus.ask("typing:start", &json!(room)).await), "NOT_A_MEMBER");
}
