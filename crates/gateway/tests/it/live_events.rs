//! `GET /events`.

use std::time::Duration;

use contracts::event_data::event_type;
use contracts::{Reason, Refusal};
use observability::metrics::ACTIVE_CONNECTIONS;
use reqwest::{RequestBuilder, Response, StatusCode};
use service_kit::auth::ACCESS_TOKEN_TTL;

use crate::world::{PATIENCE, World, eventually, refusal, user_id};

/// One event as a browser would see it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) event: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: String,
}

/// A client that reads a stream event by event.
pub(crate) struct Listener {
    response: Response,
    text: String,
}

impl Listener {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
        Self { response, text: String::new() }
    }

    /// The next event, comments left out; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if block.starts_with(':') {
                    continue;
                }
                return Some(parse(&block));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("nothing came");
            match chunk {
                Ok(Some(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next events' positions, up to this one.
    pub(crate) async fn ids_until(&mut self, last: u64) -> Vec<u64> {
        let mut ids = Vec::new();
        while ids.last() != Some(&last) {
            ids.push(self.next().await.unwrap().id.unwrap());
        }
        ids
    }
}

fn parse(block: &str) -> Seen {
    let mut seen = Seen::default();
    for line in block.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some(("event", event)) => event.clone_into(&mut seen.event),
            Some(("id", id)) => seen.id = Some(id.parse().unwrap()),
            Some(("data", data)) => data.clone_into(&mut seen.data),
            Some(("retry", wait)) => assert_eq!(wait, "1000"),
            other => panic!("{other:?} in {block}"),
        }
    }
    seen
}

fn seen(event: &str, id: u64, data: &str) -> Seen {
    Seen { event: event.to_owned(), id: Some(id), data: data.to_owned() }
}

impl World {
    pub(crate) fn listen(&self) -> RequestBuilder {
        self.get("/events").bearer_auth(self.token())
    }

    fn listen_after(&self, cursor: &str) -> RequestBuilder {
        self.listen().header("Last-Event-ID", cursor)
    }
}

#[tokio::test]
async fn a_listener_hears_what_happens_from_now_on_with_cursors() {
    let world = World::new().await;
    world.append("order_created", r#"{"n":1}"#).await;
    let mut listener = Listener::open(world.listen()).await;
    assert_eq!(listener.next().await.unwrap(), seen("connected", 1, r#"{"cursor":1}"#));
    world.append("order_updated", r#"{"n":2}"#).await;
    world.append("notification", r#"{"n":3}"#).await;
    assert_eq!(listener.next().await.unwrap(), seen("order_updated", 2, r#"{"n":2}"#));
    assert_eq!(listener.next().await.unwrap(), seen("notification", 3, r#"{"n":3}"#));
    let headers = listener.response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-accel-buffering"], "no");
}

#[tokio::test]
async fn a_listener_who_comes_back_gets_what_it_missed_and_then_goes_on_live() {
    let world = World::new().await;
    // More than two pages.
    for n in 1..=250 {
        world.inbox.append(&user_id().to_string(), "order_updated", &format!(r#"{{"n":{n}}}"#));
    }
    let mut listener = Listener::open(world.listen_after("7")).await;
    assert_eq!(listener.next().await.unwrap(), seen("connected", 7, r#"{"cursor":250}"#));
    assert_eq!(listener.ids_until(250).await, (8..=250).collect::<Vec<_>>());
    world.append("notification", "{}").await;
    assert_eq!(listener.next().await.unwrap(), seen("notification", 251, "{}"));

    let mut from_the_start = Listener::open(world.get(&format!("/events?cursor=0&token={}", world.token()))).await;
    assert_eq!(from_the_start.next().await.unwrap(), seen("connected", 0, r#"{"cursor":251}"#));
    assert_eq!(from_the_start.ids_until(251).await, (1..=251).collect::<Vec<_>>());

    let mut up_to_date = Listener::open(world.listen_after("251")).await;
    assert_eq!(up_to_date.next().await.unwrap(), seen("connected", 251, r#"{"cursor":251}"#));
    world.append("notification", "{}").await;
    assert_eq!(up_to_date.next().await.unwrap(), seen("notification", 252, "{}"));
}

#[tokio::test]
async fn a_cursor_that_cant_be_resumed_from_is_answered_with_resync_and_the_stream_goes_on_live() {
    let world = World::new().await;
    world.append("order_created", "{}").await;
    for cursor in ["2", "9223372036854775807", "18446744073709551616", "-1", "nonsense"] {
        let mut listener = Listener::open(world.listen_after(cursor)).await;
        assert_eq!(listener.next().await.unwrap(), seen("connected", 1, r#"{"cursor":1}"#), "{cursor}");
        assert_eq!(listener.next().await.unwrap(), seen("resync", 1, r#"{"cursor":1}"#), "{cursor}");
    }
    let mut listener = Listener::open(world.listen_after("2")).await;
    listener.next().await;
    listener.next().await;
    world.append("notification", "{}").await;
    assert_eq!(listener.next().await.unwrap(), seen("notification", 2, "{}"));
}

#[tokio::test]
async fn a_cursor_too_old_is_answered_with_resync() {
    let world = World::new().await;
    for _ in 0..5 {
        world.append("order_updated", "{}").await;
    }
    world.inbox.forget(&user_id().to_string(), 3);
    for cursor in ["0", "2"] {
        let mut listener = Listener::open(world.listen_after(cursor)).await;
        assert_eq!(listener.next().await.unwrap(), seen("connected", 5, r#"{"cursor":5}"#), "{cursor}");
        assert_eq!(listener.next().await.unwrap(), seen("resync", 5, r#"{"cursor":5}"#), "{cursor}");
    }
    let mut listener = Listener::open(world.listen_after("3")).await;
    assert_eq!(listener.next().await.unwrap(), seen("connected", 3, r#"{"cursor":5}"#));
    assert_eq!(listener.ids_until(5).await, [4, 5]);
}

#[tokio::test]
async fn what_the_bus_tells_twice_late_or_not_at_all_makes_neither_a_duplicate_nor_a_gap() {
    let world = World::new().await;
    let mut listener = Listener::open(world.listen()).await;
    listener.next().await;
    world.append("a", "{}").await;
    // Told twice.
    world.tell(1, "a", "{}").await;
    // 2 and 3 are in the store, but the bus tells only of 4.
    world.inbox.append(&user_id().to_string(), "b", "{}");
    world.inbox.append(&user_id().to_string(), "c", "{}");
    world.append("d", "{}").await;
    // Told late, after they were shown.
    world.tell(3, "c", "{}").await;
    world.tell(2, "b", "{}").await;
    world.append("e", "{}").await;
    assert_eq!(listener.ids_until(5).await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn listeners_who_come_while_entries_pour_in_miss_none_and_see_none_twice() {
    const LAST: u64 = 100;
    let world = World::new().await;
    let pour = async {
        for _ in 0..LAST {
            world.append("order_updated", "{}").await;
            // The others get on by about as much as one request.
            world.get("/health/live").send().await.unwrap();
        }
    };
    let listen = async |late: usize| {
        // Each comes at another moment of the pouring.
        eventually("enough entries", async || world.inbox.len() >= late).await;
        let mut listener = Listener::open(world.listen()).await;
        let start = listener.next().await.unwrap().id.unwrap();
        let seen = if start < LAST { listener.ids_until(LAST).await } else { Vec::new() };
        assert_eq!(seen, (start + 1..=LAST).collect::<Vec<_>>());
        start
    };
    let ((), starts) = tokio::join!(pour, futures::future::join_all((0..10).map(|n| listen(n * 9))));
    assert!(starts.iter().any(|start| (1..LAST).contains(start)), "all came too early or too late: {starts:?}");
}

#[tokio::test]
async fn json_with_line_breaks_stays_one_event() {
    let world = World::new().await;
    world.inbox.append(&user_id().to_string(), "a", "{\n\"n\": 1\r\n}");
    let mut listener = Listener::open(world.listen_after("0")).await;
    listener.next().await;
    let data = listener.next().await.unwrap().data;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap()["n"], 1);
}

#[tokio::test]
async fn another_users_entries_are_not_heard() {
    let world = World::new().await;
    let stranger = uuid::Uuid::from_u128(5).to_string().parse().unwrap();
    let mut listener =
        Listener::open(world.get("/events").bearer_auth(world.token_of(stranger, crate::world::session_id()))).await;
    assert_eq!(listener.next().await.unwrap(), seen("connected", 0, r#"{"cursor":0}"#));
    world.append("order_created", "{}").await;
    let appended = contracts::event_data::InboxAppended {
        user_id: stranger,
        seq: 1,
        event: "mine".to_owned(),
        data: serde_json::value::to_raw_value(&1).unwrap(),
    };
    world.publish(event_type::INBOX_APPENDED, stranger, &appended).await;
    assert_eq!(listener.next().await.unwrap(), seen("mine", 1, "1"));
}

#[tokio::test]
async fn a_stream_ends_at_once_when_its_token_is_revoked() {
    let world = World::new().await;
    let mut listener = Listener::open(world.listen()).await;
    listener.next().await;
    world.revoke(event_type::USER_BANNED, user_id(), None).await;
    assert_eq!(tokio::time::timeout(Duration::from_secs(1), listener.next()).await.unwrap(), None);
    assert_eq!(refusal(world.listen().send().await.unwrap()).await, "401 invalid-token");
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let world = World::new().await;
    let token = world.token();
    world.clock.advance(ACCESS_TOKEN_TTL.saturating_sub(Duration::from_millis(1500)));
    let mut listener = Listener::open(world.get("/events").bearer_auth(token)).await;
    listener.next().await;
    assert_eq!(listener.next().await, None);
}

#[tokio::test]
async fn streams_end_when_the_process_stops() {
    let world = World::new().await;
    let mut listener = Listener::open(world.listen()).await;
    listener.next().await;
    world.stop.cancel();
    assert_eq!(listener.next().await, None);
}

#[tokio::test]
async fn a_stream_whose_inbox_cant_be_read_ends_so_that_the_client_comes_back_where_it_was() {
    let world = World::new().await;
    let mut listener = Listener::open(world.listen()).await;
    listener.next().await;
    world.script.refuse("ListInbox", Refusal::new(Reason::Unavailable, "away"));
    world.inbox.append(&user_id().to_string(), "a", "{}");
    world.append("b", "{}").await;
    assert_eq!(listener.next().await, None);
    assert_eq!(refusal(world.listen().send().await.unwrap()).await, "503 unavailable");
    world.script.relent("ListInbox");
    let mut again = Listener::open(world.listen_after("0")).await;
    again.next().await;
    assert_eq!(again.ids_until(2).await, [1, 2]);
}

#[tokio::test]
async fn open_streams_are_counted() {
    let world = World::new().await;
    let gauge = ACTIVE_CONNECTIONS.with_label_values(&["sse"]);
    let mut listener = Listener::open(world.listen()).await;
    listener.next().await;
    assert!(gauge.get() >= 1);
    drop(world);
    assert_eq!(listener.next().await, None);
}

#[tokio::test]
async fn a_stream_wants_a_token_and_is_never_compressed() {
    let world = World::new().await;
    assert_eq!(refusal(world.get("/events").send().await.unwrap()).await, "401 authentication-required");
    assert_eq!(refusal(world.get("/events?token=x").send().await.unwrap()).await, "401 invalid-token");
    assert_eq!(refusal(world.get("/events?tokn=x").send().await.unwrap()).await, "400 invalid-request");
    let listener = Listener::open(world.listen().header("accept-encoding", "gzip")).await;
    assert!(!listener.response.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn many_listeners_of_one_user_all_hear_it() {
    let world = World::new().await;
    let mut listeners = Vec::new();
    for _ in 0..5 {
        let mut listener = Listener::open(world.listen()).await;
        listener.next().await;
        listeners.push(listener);
    }
    world.append("order_created", "{}").await;
    for listener in &mut listeners {
        assert_eq!(listener.next().await.unwrap(), seen("order_created", 1, "{}"));
    }
    eventually("each listener read the inbox once", async || world.script.calls("ListInbox").len() == 5).await;
}
