//! What the routes of the chat ask, and the JSON that comes of the answers.

use contracts::{Reason, Refusal};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::stubs::chat::{MESSAGE, ROOM};
use crate::stubs::orders::ID as ORDER;
use crate::stubs::users::ID as USER;
use crate::world::{World, problem, refusal};

const EPOCH: &str = "1970-01-01T00:00:00.000Z";
const OTHER: &str = "0190a1b2-0000-7000-8000-0000000000ff";

impl World {
    fn chat(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/api/chat{path}")).bearer_auth(self.token())
    }

    /// What the chat was asked last, as text.
    fn chat_asked(&self, method: &str) -> String {
        self.script.calls(method).pop().unwrap().message
    }
}

async fn json_of(request: RequestBuilder, status: StatusCode) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status);
    response.json().await.unwrap()
}

fn a_room() -> Value {
    json!({"id": ROOM, "name": "Tea talk", "visibility": "public", "created_at": EPOCH})
}

fn a_member(user_id: &str) -> Value {
    json!({"user_id": user_id, "joined_at": EPOCH, "read_seq": 3, "read_message_id": MESSAGE})
}

#[tokio::test]
async fn rooms() {
    let world = World::new().await;
    let page = json_of(world.chat(Method::GET, "/rooms?joined=true&limit=9&cursor=c"), StatusCode::OK).await;
    assert_eq!(page, json!({"items": [a_room()], "next_cursor": "next"}));
    assert_eq!(world.chat_asked("ListRooms"), r#"ListRoomsRequest { joined_only: true, limit: 9, cursor: "c" }"#);
    json_of(world.chat(Method::GET, "/rooms"), StatusCode::OK).await;
    assert_eq!(world.chat_asked("ListRooms"), r#"ListRoomsRequest { joined_only: false, limit: 0, cursor: "" }"#);

    let new = world.chat(Method::POST, "/rooms").json(&json!({"name": "Tea talk", "visibility": "public"}));
    let created = new.send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(created.headers()["location"], format!("/api/chat/rooms/{ROOM}"));
    assert_eq!(created.json::<Value>().await.unwrap(), a_room());
    assert_eq!(json_of(world.chat(Method::GET, &format!("/rooms/{ROOM}")), StatusCode::OK).await, a_room());

    let support = world.chat(Method::POST, "/support-rooms").json(&json!({"order_id": ORDER}));
    assert_eq!(
        json_of(support, StatusCode::OK).await,
        json!({"id": ROOM, "name": format!("support:{ORDER}"), "visibility": "private", "order_id": ORDER,
            "created_at": EPOCH})
    );
    assert!(world.chat_asked("OpenSupportRoom").contains(ORDER));
}

#[tokio::test]
async fn members() {
    let world = World::new().await;
    let path = format!("/rooms/{ROOM}/members");
    let page = json_of(world.chat(Method::GET, &format!("{path}?limit=3")), StatusCode::OK).await;
    assert_eq!(page, json!({"items": [a_member(USER)], "next_cursor": null}));
    // The caller joins, whichever way they say so.
    for body in [json!({}), json!({"user_id": USER}), json!({"user_id": USER.to_uppercase()})] {
        let joined = world.chat(Method::POST, &path).json(&body);
        assert_eq!(json_of(joined, StatusCode::OK).await, a_member(USER));
    }
    json_of(world.chat(Method::POST, &path), StatusCode::OK).await;
    assert_eq!((world.script.calls("JoinRoom").len(), world.script.calls("AddMember").len()), (4, 0));
    let added = world.chat(Method::POST, &path).json(&json!({"user_id": OTHER}));
    assert_eq!(json_of(added, StatusCode::OK).await, a_member(OTHER));
    assert!(world.chat_asked("AddMember").contains(ROOM));
    let left = world.chat(Method::POST, &format!("/rooms/{ROOM}/leave")).send().await.unwrap();
    assert_eq!(left.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn messages_and_how_far_they_were_read() {
    let world = World::new().await;
    let path = format!("/rooms/{ROOM}/messages");
    let said = |seq: u64, content: &str| json!({"id": MESSAGE, "room_id": ROOM, "seq": seq, "user_id": USER, "content": content, "created_at": EPOCH});
    let mut second = said(5, "Hello?");
    second["client_id"] = json!("m-5");
    for (query, asked, next) in [
        ("", "before: None, after: None, limit: 0", json!("4")),
        ("?before=6&limit=2", "before: Some(6), after: None, limit: 2", json!("4")),
        ("?after=3", "before: None, after: Some(3), limit: 0", json!("5")),
        ("?after=0&limit=100", "before: None, after: Some(0), limit: 100", Value::Null),
    ] {
        let page = json_of(world.chat(Method::GET, &format!("{path}{query}")), StatusCode::OK).await;
        let expected = json!({"items": [said(4, "Hello."), second], "next_cursor": next, "last_seq": 9});
        assert_eq!(page, expected, "{query}");
        assert!(world.chat_asked("ListMessages").contains(asked), "{query}");
    }
    let post = |body: Value| world.chat(Method::POST, &path).json(&body);
    assert_eq!(json_of(post(json!({"content": " Hi \n"})), StatusCode::CREATED).await, said(4, " Hi \n"));
    let again = json_of(post(json!({"content": "Hi", "client_id": "again"})), StatusCode::OK).await;
    assert_eq!(again["client_id"], "again");
    assert_eq!(world.script.calls("PostMessage").len(), 2);

    let position = json!({"room_id": ROOM, "read_seq": 4, "read_message_id": MESSAGE, "unread": 5});
    for (body, asked) in [
        (json!({"seq": 4}), "Some(Seq(4))".to_owned()),
        (json!({"message_id": MESSAGE}), format!("Some(MessageId({MESSAGE:?}))")),
    ] {
        let read = world.chat(Method::POST, &format!("/rooms/{ROOM}/read")).json(&body);
        assert_eq!(json_of(read, StatusCode::OK).await, position);
        assert!(world.chat_asked("MarkRoomRead").contains(&asked), "{}", world.chat_asked("MarkRoomRead"));
    }
    let counts = json_of(world.chat(Method::GET, "/unread-counts"), StatusCode::OK).await;
    let room = json!({"room_id": ROOM, "count": 5, "read_seq": 4, "last_seq": 9});
    assert_eq!(counts, json!({"items": [room], "next_cursor": null}));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_named_before_the_chat_is_asked() {
    let world = World::new().await;
    let asked = world.script.calls_for_requests().len();
    let room = format!("/rooms/{ROOM}");
    for (request, field) in [
        (world.chat(Method::POST, "/rooms").json(&json!({"name": "x"})), "/visibility"),
        (world.chat(Method::POST, &format!("{room}/messages")).json(&json!({"content": 7})), "/content"),
        (world.chat(Method::POST, &format!("{room}/read")).json(&json!({})), "/seq"),
        (world.chat(Method::POST, &format!("{room}/read")).json(&json!({"seq": -1})), "/seq"),
        (
            world.chat(Method::POST, &format!("{room}/read")).json(&json!({"seq": 1, "message_id": MESSAGE})),
            "/message_id",
        ),
        (world.chat(Method::GET, &format!("{room}/messages?before=x")), "before"),
        (world.chat(Method::GET, &format!("{room}/messages?after=-1")), "after"),
        (world.chat(Method::GET, &format!("{room}/messages?limit=101")), "limit"),
        (world.chat(Method::GET, "/rooms?mine=true"), "mine"),
    ] {
        let refused = problem(request.send().await.unwrap()).await;
        assert_eq!((&refused["status"], &refused["errors"][0]["pointer"]), (&json!(400), &json!(field)));
    }
    for path in ["/rooms/1", "/rooms/1/members", "/rooms/1/messages"] {
        let refused = world.chat(Method::GET, path).send().await.unwrap();
        assert_eq!(refusal(refused).await, "404 chat-room-not-found", "{path}");
    }
    assert_eq!(world.script.calls_for_requests().len(), asked);
}

#[tokio::test]
async fn what_the_chat_refuses_is_passed_on() {
    let world = World::new().await;
    for (reason, expected) in [
        (Reason::NotAMember, "403 not-a-member"),
        (Reason::ChatRoomNotFound, "404 chat-room-not-found"),
        (Reason::ChatMessageNotFound, "404 chat-message-not-found"),
    ] {
        world.script.refuse("MarkRoomRead", Refusal::new(reason, reason.title()));
        let read = world.chat(Method::POST, &format!("/rooms/{ROOM}/read")).json(&json!({"seq": 1}));
        assert_eq!(refusal(read.send().await.unwrap()).await, expected);
    }
    let anonymous = world.get("/api/chat/rooms").send().await.unwrap();
    assert_eq!(refusal(anonymous).await, "401 authentication-required");
}
