//! Connection state recovery as clients see it, with the adapter of one node.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use socketio::{
    ConnectError, DisconnectReason, Limits, Namespace, Recovery, Socket, SocketIo,
    adapter::LocalAdapter,
    handler::{Ack, Auth, Data, State},
    recovery::RecoveryOptions,
};
use tokio::sync::Semaphore;

use crate::raw::{Incoming, Server, Ws, within};

fn options() -> RecoveryOptions {
    RecoveryOptions { max_disconnection: Duration::from_secs(30), ..RecoveryOptions::default() }
}

/// Lets a recovering client wait, and says how its session fared.
#[derive(Clone)]
struct Hook(Arc<Inside>);

struct Inside {
    gate: Semaphore,
    waiting: AtomicU32,
    closed: AtomicBool,
}

async fn identify(socket: Socket, auth: Option<Auth<Value>>) -> Result<(), ConnectError> {
    if let Some(user) = auth.as_ref().and_then(|Auth(auth)| auth["user"].as_str()) {
        socket.set_user(user);
    }
    Ok(())
}

async fn hook(socket: Socket, State(hook): State<Hook>) -> Result<(), ConnectError> {
    let hook = &hook.0;
    if hook.closed.load(Ordering::Relaxed) {
        hook.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = hook.gate.acquire().await.unwrap();
    }
    socket.leave("left-at-recovery");
    if socket.rooms().iter().any(|room| &**room == "no-way-back") { Err("no way back".into()) } else { Ok(()) }
}

fn server_with(limits: Limits) -> Server {
    server_and_hook(limits).0
}

fn server_and_hook(limits: Limits) -> (Server, Hook) {
    let namespace = Namespace::new("/")
        .middleware(identify)
        .on_recover(hook)
        .on_connect(|socket: Socket| async move {
            let word = match socket.recovery() {
                Recovery::New => "new".to_owned(),
                Recovery::Recovered => "recovered".to_owned(),
                Recovery::Failed(why) => why.code().to_owned(),
            };
            socket.emit_volatile("how", &(word, socket.rooms(), 0))
        })
        .on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| async move {
            socket.join(room);
            ack.send(&())
        })
        .on("local", |socket: Socket, Data(count): Data<u32>, ack: Ack| async move {
            for n in 0..count {
                socket.emit_local("local", &(n, "a string at its end"))?;
            }
            ack.send(&())
        })
        .on("out", |socket: Socket| async move { socket.disconnect(false) });
    let inside = Inside { gate: Semaphore::new(0), waiting: AtomicU32::new(0), closed: AtomicBool::new(false) };
    let hook = Hook(Arc::new(inside));
    let io = SocketIo::builder()
        .adapter(LocalAdapter::with_recovery(options()))
        .state(hook.clone())
        .limits(limits)
        .namespace(namespace);
    (Server::start(io.build(), 2), hook)
}

fn server() -> Server {
    server_with(Limits::default())
}

/// A client that keeps what the original's client would.
struct Client {
    ws: Ws,
    sid: String,
    pid: String,
    offset: Option<String>,
    /// The answer to its CONNECT packet.
    connected: Value,
    /// The server's `how`.
    how: Value,
}

impl Client {
    async fn start(server: &Server, user: &str) -> Self {
        Self::with(server, json!({ "user": user }), None).await
    }

    async fn with(server: &Server, auth: Value, offset: Option<String>) -> Self {
        let mut ws = Ws::open(server).await;
        let connected = ws.join("/", &auth).await;
        let text = |key: &str| connected[key].as_str().unwrap().to_owned();
        let (sid, pid) = (text("sid"), text("pid"));
        Self { ws, sid, pid, offset, connected, how: Value::Null }
    }

    /// Takes the next event; strings at its end are offsets to a client.
    ///
    /// Source: `emitEvent` in socket.ts of socket.io-client 4.8
    async fn event(&mut self) -> Value {
        let event = self.ws.event().await;
        if let Some(Value::String(last)) = event.as_array().unwrap().last() {
            self.offset = Some(last.clone());
        }
        event
    }

    async fn greeted(mut self) -> Self {
        loop {
            let event = self.event().await;
            if event[0] == "how" {
                self.how = event[1].clone();
                return self;
            }
        }
    }

    fn auth(&self, user: &str) -> Value {
        let mut auth = json!({ "user": user, "pid": self.pid });
        if let Some(offset) = &self.offset {
            auth["offset"] = offset.as_str().into();
        }
        auth
    }

    async fn back(self, server: &Server, user: &str) -> Self {
        let auth = self.auth(user);
        let offset = self.offset.clone();
        self.ws.cut();
        Self::with(server, auth, offset).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_saw_no_event_yet_gets_all_since_it_connected_also_after_its_rooms_changed() {
    let server = server();
    server.io.of("/").unwrap().emit("before", &0).unwrap();
    let mut client = Client::start(&server, "ada").await.greeted().await;
    assert_eq!((&client.how, &client.offset), (&json!("new"), &None));
    client.ws.ask(0, &json!(["join", "room"])).await;
    let (sid, auth) = (client.sid.clone(), client.auth("ada"));
    client.ws.cut();
    server.until("the loss is seen", |stats| stats.sockets == 0).await;
    server.io.of("/").unwrap().to("room").emit("missed", &1).unwrap();
    server.io.of("/").unwrap().to("other").emit("not mine", &1).unwrap();
    let mut client = Client::with(&server, auth, None).await;
    assert_eq!(client.connected, json!({ "sid": sid, "pid": client.pid }));
    assert_eq!(client.event().await.as_array().unwrap()[..2], [json!("missed"), json!(1)]);
    assert_eq!(client.event().await, json!(["how", "recovered", ["room"], 0]));
    server.io.of("/").unwrap().to("room").emit("live", &2).unwrap();
    assert_eq!(client.event().await[0], "live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_gets_nothing_and_the_owner_still_can() {
    let server = server();
    let mut client = Client::start(&server, "ada").await.greeted().await;
    server.io.of("/").unwrap().emit("one", &1).unwrap();
    client.event().await;
    let stolen = Client::with(&server, client.auth("eve"), None).await;
    assert_ne!(stolen.sid, client.sid);
    assert_ne!(stolen.pid, client.pid);
    let word = json!({ "recovered": false, "code": "other_user", "message": "the session belongs to another user" });
    assert_eq!(stolen.connected["recovery"], word);
    assert_eq!(stolen.greeted().await.how, "other_user");
    // The owner's socket noticed nothing.
    server.io.of("/").unwrap().emit("two", &2).unwrap();
    assert_eq!(client.event().await[0], "two");
    let sid = client.sid.clone();
    let back = client.back(&server, "ada").await.greeted().await;
    assert_eq!((back.how, back.sid), (json!("recovered"), sid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_may_refuse_or_leave_rooms() {
    let server = server();
    let mut client = Client::start(&server, "ada").await.greeted().await;
    for room in ["stays", "left-at-recovery"] {
        client.ws.ask(0, &json!(["join", room])).await;
    }
    let mut client = client.back(&server, "ada").await;
    assert_eq!(client.event().await, json!(["how", "recovered", ["stays"], 0]));
    server.io.of("/").unwrap().to("left-at-recovery").emit("no", &0).unwrap();
    server.io.of("/").unwrap().to("stays").emit("yes", &0).unwrap();
    assert_eq!(client.event().await[0], "yes");
    client.ws.ask(0, &json!(["join", "no-way-back"])).await;
    let (old, auth) = (client.sid.clone(), client.auth("ada"));
    let client = client.back(&server, "ada").await;
    assert_eq!(client.connected["recovery"]["code"], "refused");
    assert_eq!(client.connected["recovery"]["message"], "refused: no way back");
    assert_ne!(client.sid, old);
    let client = client.greeted().await;
    assert_eq!(client.how, "refused");
    // The session is over for good.
    assert_eq!(Client::with(&server, auth, None).await.connected["recovery"]["code"], "unknown_session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_with_a_deliberate_disconnect_of_either_side() {
    let server = server();
    for packet in ["41", r#"42["out"]"#] {
        let mut client = Client::start(&server, "ada").await.greeted().await;
        client.ws.send(packet).await;
        if packet != "41" {
            assert_eq!(client.ws.text().await, "41");
        }
        server.until("it left", |stats| stats.sockets == 0).await;
        let back = client.back(&server, "ada").await;
        assert_eq!(back.connected["recovery"]["code"], "unknown_session");
        back.ws.cut();
        server.until_empty().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_stored_does_not_spoil_the_clients_offset() {
    let server = server();
    let mut client = Client::start(&server, "ada").await.greeted().await;
    let everyone = server.io.of("/").unwrap();
    let me = server.io.of("/").unwrap().to(client.sid.clone());
    let local = everyone.clone().local();
    for round in 0..3 {
        // Before any stored event of this server, too.
        everyone.clone().volatile().emit("volatile", &"text").unwrap();
        everyone.clone().volatile().emit("no arguments", &()).unwrap();
        local.emit("local", &(1, "text")).unwrap();
        for expected in ["volatile", "no arguments", "local"] {
            assert_eq!(client.event().await[0], expected);
        }
        let sid = client.sid.clone();
        client = client.back(&server, "ada").await.greeted().await;
        assert_eq!((&client.how, &client.sid), (&json!("recovered"), &sid), "round {round}");
        me.emit("stored", &round).unwrap();
        assert_eq!(client.event().await[0], "stored");
    }
    // A client's function takes the last place where an answer is wanted: no offset may stand before it.
    let asked = tokio::spawn(async move { everyone.emit_with_acks("question", &"text").await });
    let question = within("a question", client.ws.text()).await;
    let (id, event) = question.strip_prefix("42").unwrap().split_once('[').unwrap();
    assert_eq!(event, r#""question","text"]"#);
    client.ws.send(format!("43{id}[]")).await;
    assert_eq!(within("the answer", asked).await.unwrap().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volatile_event_for_one_socket_does_not_spoil_its_offset() {
    let namespace = Namespace::new("/")
        .middleware(identify)
        .on("tell me", |socket: Socket| async move { socket.emit_volatile("told", &"text") })
        .on_connect(|socket: Socket| async move { socket.emit_volatile("how", &(socket.recovered(), 0)) });
    let io = SocketIo::builder().adapter(LocalAdapter::with_recovery(options())).namespace(namespace);
    let server = Server::start(io.build(), 2);
    let mut client = Client::start(&server, "ada").await.greeted().await;
    client.ws.emit(&json!(["tell me"])).await;
    assert_eq!(client.event().await.as_array().unwrap()[..2], [json!("told"), json!("text")]);
    assert_eq!(client.back(&server, "ada").await.greeted().await.how, true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_over_one_connection_alone_is_neither_left_out_nor_sent_again() {
    const MANY: u32 = 2000;
    let server = server();
    let mut client = Client::start(&server, "ada").await.greeted().await;
    server.io.of("/").unwrap().emit("stored", &(1, 2)).unwrap();
    assert_eq!(client.event().await[0], "stored");
    let offset = client.offset.clone();
    client.ws.send(format!(r#"420["local",{MANY}]"#)).await;
    for n in 0..MANY {
        assert_eq!(client.event().await.as_array().unwrap()[..2], [json!("local"), json!(n)]);
        assert_eq!(client.offset, offset, "the client stays where it was");
    }
    assert_eq!(client.ws.text().await, "430[]");
    let mut back = client.back(&server, "ada").await;
    assert_eq!(back.event().await.as_array().unwrap()[..2], [json!("how"), json!("recovered")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_connection_is_superseded_without_a_word_to_its_session() {
    let server = server();
    let mut client = Client::start(&server, "ada").await.greeted().await;
    client.ws.ask(0, &json!(["join", "room"])).await;
    let mut new = Client::with(&server, client.auth("ada"), None).await.greeted().await;
    assert_eq!((&new.how, &new.sid), (&json!("recovered"), &client.sid));
    assert_eq!(client.ws.end().await, Incoming::Close(1000, "session superseded".to_owned()));
    let stats = server.until("one is left", |stats| stats.sockets == 1).await;
    assert_eq!(stats.sessions_superseded, 1);
    server.io.of("/").unwrap().to(new.sid.clone()).to("room").emit("once", &()).unwrap();
    assert_eq!(new.event().await[0], "once");
    // The end of the old one did not end or detach the session.
    let sid = new.sid.clone();
    assert_eq!(new.back(&server, "ada").await.greeted().await.sid, sid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_connections_that_claim_a_session_at_once_one_keeps_it() {
    let (server, Hook(hook)) = server_and_hook(Limits::default());
    let client = Client::start(&server, "ada").await.greeted().await;
    let auth = client.auth("ada");
    client.ws.cut();
    hook.closed.store(true, Ordering::Relaxed);
    let slow = {
        let mut ws = Ws::open(&server).await;
        ws.send(crate::raw::connect_packet("/", &auth)).await;
        ws
    };
    crate::raw::until("the first claim waits in the hook", || {
        (hook.waiting.load(Ordering::Relaxed) == 1).then_some(())
    })
    .await;
    hook.closed.store(false, Ordering::Relaxed);
    let mut quick = Client::with(&server, auth, None).await.greeted().await;
    assert_eq!(quick.how, "recovered");
    hook.gate.add_permits(10);
    // Two sockets with one id would both hear what is meant for the session.
    let mut slow = slow;
    assert!(matches!(slow.end().await, Incoming::Close(1000, _)));
    server.until("one is left", |stats| stats.sockets == 1).await;
    server.io.of("/").unwrap().emit("live", &()).unwrap();
    assert_eq!(quick.event().await[0], "live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_cut_at_random_moments_of_a_stream_miss_and_double_nothing() {
    const CLIENTS: usize = 40;
    const CUTS: usize = 6;
    let server = Arc::new(server());
    let running = Arc::new(AtomicBool::new(true));
    let flow = {
        let (io, running) = (server.io.clone(), running.clone());
        std::thread::spawn(move || {
            let mut n = 0_u64;
            while running.load(Ordering::Relaxed) {
                let everyone = io.of("/").unwrap();
                everyone.emit("n", &n).unwrap();
                // Also such as could take an offset back.
                everyone.clone().volatile().emit("v", &"text").unwrap();
                everyone.local().emit("l", &"text").unwrap();
                n += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            n
        })
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (server, running) = (server.clone(), running.clone());
            tokio::spawn(async move {
                let mut client = Client::start(&server, "ada").await;
                let sid = client.sid.clone();
                let mut next = None;
                for cut in 0..=CUTS {
                    let mut left = 3 + (number * 7 + cut * 13) % 40;
                    while left > 0 || (cut == CUTS && running.load(Ordering::Relaxed)) {
                        let event = client.event().await;
                        if event[0] == "n" {
                            let n = event[1].as_u64().unwrap();
                            assert_eq!(n, next.unwrap_or(n), "client {number} after {cut} cuts");
                            next = Some(n + 1);
                        }
                        left = left.saturating_sub(1);
                    }
                    if cut < CUTS {
                        client = client.back(&server, "ada").await;
                        assert_eq!(client.sid, sid, "{}", client.connected);
                    }
                }
                (client, next.unwrap())
            })
        })
        .collect();
    server.until("all cuts done", |stats| stats.sessions_recovered == (CLIENTS * CUTS) as u64).await;
    running.store(false, Ordering::Relaxed);
    let sent = tokio::task::spawn_blocking(|| flow.join().unwrap()).await.unwrap();
    server.io.of("/").unwrap().emit("n", &sent).unwrap();
    for _ in 0..60 {
        server.io.of("/").unwrap().emit("filling", &()).unwrap();
    }
    for client in clients {
        let (mut client, mut next) = client.await.unwrap();
        while next <= sent {
            let event = client.event().await;
            if event[0] == "n" {
                assert_eq!(event[1], next);
                next += 1;
            }
        }
    }
    assert_eq!(server.io.stats().sessions_not_recovered, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_missed_more_than_may_wait_starts_over_instead_of_failing_for_ever() {
    let server = server_with(Limits { queued_messages: 50, ..Limits::default() });
    let client = Client::start(&server, "ada").await.greeted().await;
    let auth = client.auth("ada");
    client.ws.cut();
    server.until("the loss is seen", |stats| stats.sockets == 0).await;
    for n in 0..60 {
        server.io.of("/").unwrap().emit("n", &n).unwrap();
    }
    let client = Client::with(&server, auth, None).await;
    assert_eq!(client.connected["recovery"]["code"], "trimmed");
    assert_eq!(client.greeted().await.how, "trimmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_offsets_and_pids_are_told_from_each_other() {
    let server = server();
    let client = Client::start(&server, "ada").await.greeted().await;
    for (auth, code) in [
        (json!({ "user": "ada", "pid": "nobodys", "offset": "1-0" }), "unknown_session"),
        (json!({ "user": "ada", "pid": client.pid, "offset": "garbage" }), "invalid_offset"),
        (json!({ "user": "ada", "pid": client.pid, "offset": {} }), "invalid_offset"),
        (json!({ "user": "ada", "pid": client.pid, "offset": "99999999999999-0" }), "invalid_offset"),
        (json!({ "pid": client.pid }), "other_user"),
    ] {
        let refused = Client::with(&server, auth.clone(), None).await;
        assert_eq!(refused.connected["recovery"]["code"], code, "{auth}");
        refused.ws.cut();
    }
    // Malformed wishes are none.
    let new = Client::with(&server, json!({ "user": "ada", "pid": 7 }), None).await;
    assert_eq!(new.connected.get("recovery"), None);
    assert_eq!(client.back(&server, "ada").await.greeted().await.how, "recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_that_is_no_loss_ends_the_session() {
    assert!(!DisconnectReason::RateLimited.is_recoverable());
    let server = server_with(Limits { events_per_second: Some(5), ..Limits::default() });
    let mut client = Client::start(&server, "ada").await.greeted().await;
    for _ in 0..20 {
        let _ = client.ws.try_send(r#"42["x"]"#).await;
    }
    assert!(matches!(client.ws.end().await, Incoming::Close(1008, _)));
    let back = client.back(&server, "ada").await;
    assert_eq!(back.connected["recovery"]["code"], "unknown_session");
}
