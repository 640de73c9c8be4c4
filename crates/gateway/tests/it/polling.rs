//! `GET /poll/{user_id}`.

use std::time::{Duration, Instant};

use contracts::event_data::event_type;
use contracts::{Reason, Refusal, Role};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use service_kit::auth::ACCESS_TOKEN_TTL;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::live_events::Listener;
use crate::world::{PATIENCE, World, eventually, problem, refusal, session_id, settings, user_id};

impl World {
    fn poll(&self, query: &str) -> RequestBuilder {
        self.get(&format!("/poll/{}?{query}", user_id())).bearer_auth(self.token())
    }

    async fn polled(&self, query: &str) -> Value {
        answer(self.poll(query).send().await.unwrap()).await
    }

    /// A poll that waits; returns once it does.
    async fn waiting(&self, request: RequestBuilder) -> JoinHandle<Response> {
        let reads = self.script.calls("ListInbox").len();
        let poll = tokio::spawn(async move { request.send().await.unwrap() });
        eventually("the poll has read the inbox", async || self.script.calls("ListInbox").len() > reads).await;
        poll
    }
}

async fn answer(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

async fn soon(poll: JoinHandle<Response>) -> Response {
    tokio::time::timeout(PATIENCE, poll).await.expect("the poll waits on").unwrap()
}

#[tokio::test]
async fn without_a_cursor_the_newest_is_told_at_once_and_nothing_after_it_is_missed() {
    let world = World::new().await;
    assert_eq!(world.polled("timeout=60000").await, json!({"messages": [], "cursor": 0}));
    world.append("order_created", r#"{"n":1}"#).await;
    assert_eq!(world.polled("cursor=").await, json!({"messages": [], "cursor": 1}));
    world.append("order_updated", r#"{ "n": 2 }"#).await;
    let next = world.polled("cursor=1").await;
    let event = json!({"cursor": 2, "event": "order_updated", "data": {"n": 2}});
    assert_eq!(next, json!({"messages": [event], "cursor": 2}));
}

#[tokio::test]
async fn a_poll_waits_for_the_next_event_and_no_longer() {
    let world = World::new().await;
    let poll = world.waiting(world.poll("cursor=0")).await;
    world.append("order_created", r#"{"n":1}"#).await;
    let event = json!({"cursor": 1, "event": "order_created", "data": {"n": 1}});
    assert_eq!(answer(soon(poll).await).await, json!({"messages": [event], "cursor": 1}));
    let nothing = json!({"messages": [], "cursor": 1, "timeout": true});
    let asked = Instant::now();
    assert_eq!(world.polled("cursor=1&timeout=100").await, nothing);
    assert!(asked.elapsed() >= Duration::from_millis(100));
    assert_eq!(world.polled("cursor=1&timeout=0").await, nothing);
}

#[tokio::test]
async fn a_poll_may_last_longer_than_other_requests() {
    let short = gateway::Settings { request_timeout: Duration::from_millis(300), ..settings() };
    let world = World::with(short).await;
    let nothing = json!({"messages": [], "cursor": 0, "timeout": true});
    assert_eq!(world.polled("cursor=0&timeout=700").await, nothing);
    let poll = world.waiting(world.poll("cursor=0")).await;
    // What it was told is 2 while it has 1 yet to read: the reading has time of its own.
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.inbox.append(&user_id().to_string(), "a", "{}");
    world.append("b", "{}").await;
    assert_eq!(answer(soon(poll).await).await["cursor"], 2);
}

#[tokio::test]
async fn what_was_missed_comes_page_by_page_without_waiting() {
    let world = World::new().await;
    for n in 1..=250 {
        world.inbox.append(&user_id().to_string(), "order_updated", &format!(r#"{{"n":{n}}}"#));
    }
    let (mut cursor, mut seen, mut pages) = (7, Vec::new(), Vec::new());
    while cursor < 250 {
        let page = world.polled(&format!("cursor={cursor}")).await;
        let messages = page["messages"].as_array().unwrap();
        seen.extend(messages.iter().map(|message| message["cursor"].as_u64().unwrap()));
        pages.push(messages.len());
        cursor = page["cursor"].as_u64().unwrap();
    }
    assert_eq!(seen, (8..=250).collect::<Vec<_>>());
    assert_eq!(pages, [100, 100, 43]);
}

#[tokio::test]
async fn a_cursor_that_cant_be_resumed_from_is_answered_with_resync_as_on_the_stream() {
    let world = World::new().await;
    world.append("order_created", "{}").await;
    for cursor in ["2", "9223372036854775807", "18446744073709551616", "-1", "nonsense", "1.5"] {
        let polled = world.polled(&format!("cursor={cursor}")).await;
        assert_eq!(polled, json!({"messages": [], "cursor": 1, "resync": true}), "{cursor}");
    }
    for _ in 2..=5 {
        world.append("order_updated", "{}").await;
    }
    world.inbox.forget(&user_id().to_string(), 3);
    let too_old = world.polled("cursor=2").await;
    assert_eq!(too_old, json!({"messages": [], "cursor": 5, "resync": true}));
    assert_eq!(world.polled("cursor=3").await["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_client_may_move_between_poll_and_stream_and_goes_on_where_it_was() {
    let world = World::new().await;
    let mut seen = Vec::new();
    let mut cursor = world.polled("").await["cursor"].as_u64().unwrap();
    for round in 0..20 {
        world.append("order_updated", "{}").await;
        world.append("notification", "{}").await;
        if round % 2 == 0 {
            let polled = world.polled(&format!("cursor={cursor}")).await;
            seen.extend(
                polled["messages"].as_array().unwrap().iter().map(|message| message["cursor"].as_u64().unwrap()),
            );
            cursor = polled["cursor"].as_u64().unwrap();
        } else {
            let mut listener = Listener::open(world.listen().header("Last-Event-ID", cursor.to_string())).await;
            assert_eq!(listener.next().await.unwrap().id, Some(cursor));
            cursor = listener.next().await.unwrap().id.unwrap();
            seen.push(cursor);
        }
    }
    assert_eq!(seen, (1..=cursor).collect::<Vec<_>>());
    assert!(cursor >= 30, "{cursor}");
}

#[tokio::test]
async fn nobody_polls_someone_elses_inbox() {
    let world = World::new().await;
    let stranger = Uuid::from_u128(5);
    for (what, other) in
        [("another id", stranger.to_string()), ("no id", "me".to_owned()), ("encoded", "%00".to_owned())]
    {
        let theirs = world.get(&format!("/poll/{other}")).bearer_auth(world.token()).send().await.unwrap();
        assert_eq!(refusal(theirs).await, "403 not-allowed", "{what}");
    }
    let staff = world.token_with(&[Role::Admin, Role::Support], stranger.to_string().parse().unwrap());
    let response = world.get(&format!("/poll/{}", user_id())).bearer_auth(staff).send().await.unwrap();
    assert_eq!(refusal(response).await, "403 not-allowed");
    let capitals = user_id().to_string().to_uppercase();
    let own = world.get(&format!("/poll/{capitals}")).bearer_auth(world.token()).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_poll_wants_a_token_and_parameters_that_make_sense() {
    let world = World::new().await;
    let path = format!("/poll/{}", user_id());
    assert_eq!(refusal(world.get(&path).send().await.unwrap()).await, "401 authentication-required");
    assert_eq!(refusal(world.get(&format!("{path}?token=x")).send().await.unwrap()).await, "401 invalid-token");
    let by_query = world.get(&format!("{path}?token={}", world.token())).send().await.unwrap();
    assert_eq!(by_query.status(), StatusCode::OK);
    for bad in ["60001", "-1", "abc", "", "1.5", "99999999999999999999999999"] {
        let response = world.poll(&format!("cursor=0&timeout={bad}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad}");
        let problem = problem(response).await;
        assert_eq!(problem["errors"][0]["pointer"], "timeout", "{bad}");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert_eq!(detail, "must be a whole number of milliseconds from 0 to 60000");
    }
    assert_eq!(refusal(world.poll("curser=7").send().await.unwrap()).await, "400 invalid-request");
}

#[tokio::test]
async fn a_poll_ends_at_once_when_its_token_is_revoked_and_the_next_is_refused() {
    let world = World::new().await;
    let poll = world.waiting(world.poll("cursor=0&timeout=60000")).await;
    let told = Instant::now();
    world.revoke(event_type::USER_BANNED, user_id(), None).await;
    let ended = answer(soon(poll).await).await;
    assert_eq!(ended, json!({"messages": [], "cursor": 0, "timeout": true}));
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    assert_eq!(refusal(world.poll("cursor=0").send().await.unwrap()).await, "401 invalid-token");
}

#[tokio::test]
async fn a_poll_ends_when_its_token_expires() {
    let world = World::new().await;
    let poll = world.poll("cursor=0&timeout=60000");
    world.clock.advance(ACCESS_TOKEN_TTL.saturating_sub(Duration::from_millis(1500)));
    assert_eq!(answer(soon(world.waiting(poll).await).await).await["timeout"], true);
}

#[tokio::test]
async fn a_poll_ends_when_the_process_stops_so_that_the_client_goes_elsewhere() {
    let world = World::new().await;
    let poll = world.waiting(world.poll("cursor=0&timeout=60000")).await;
    world.stop.cancel();
    let response = soon(poll).await;
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(answer(response).await, json!({"messages": [], "cursor": 0, "timeout": true}));
}

#[tokio::test]
async fn a_poll_whose_inbox_cant_be_read_is_refused_for_now() {
    let world = World::new().await;
    let poll = world.waiting(world.poll("cursor=0&timeout=60000")).await;
    world.script.refuse("ListInbox", Refusal::new(Reason::Unavailable, "away"));
    world.inbox.append(&user_id().to_string(), "a", "{}");
    world.append("b", "{}").await;
    let refused = soon(poll).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refusal(refused).await, "503 unavailable");
    assert_eq!(refusal(world.poll("cursor=0").send().await.unwrap()).await, "503 unavailable");
    world.script.relent("ListInbox");
    assert_eq!(world.polled("cursor=0").await["cursor"], 2);
}

#[tokio::test]
async fn another_users_events_end_no_wait() {
    let world = World::new().await;
    let stranger = Uuid::from_u128(5).to_string().parse().unwrap();
    let token = world.token_of(stranger, session_id());
    let poll = world.get(&format!("/poll/{stranger}?cursor=0&timeout=300")).bearer_auth(token);
    let poll = world.waiting(poll).await;
    world.append("order_created", "{}").await;
    assert_eq!(answer(soon(poll).await).await, json!({"messages": [], "cursor": 0, "timeout": true}));
}
