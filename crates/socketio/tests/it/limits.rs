//! What one client may ask for, and how it is told that it asked for too much.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    time::Duration,
};

use serde_json::{Value, json};
use socketio::{
    Builder, ConnectError, DisconnectReason, Limits, Namespace, Snapshot, Socket, SocketIo,
    handler::{Ack, Auth, Data},
};

use crate::raw::{Incoming, Polling, Server, Ws, refusal, within};

/// Tells the reasons for which sockets ended.
fn server(builder: Builder) -> (Server, Receiver<DisconnectReason>) {
    let (tell, told) = std::sync::mpsc::channel();
    let namespace = Namespace::new("/")
        .on("join", |socket: Socket, Data(rooms): Data<Vec<String>>, ack: Ack| async move {
            socket.join_all(rooms.iter().map(|room| room.as_str().into()));
            ack.send(&socket.rooms())
        })
        .on_disconnect(move |reason: DisconnectReason| {
            tell.send(reason).unwrap();
            async {}
        });
    let slow = Namespace::new("/slow").middleware(|| async {
        tokio::time::sleep(Duration::from_hours(1)).await;
        Ok::<(), ConnectError>(())
    });
    let rooms = Namespace::dynamic(|name| name.starts_with("/dynamic-"));
    let io = builder.namespace(namespace).namespace(slow).namespace(rooms).build();
    (Server::start(io, 2), told)
}

fn limited(limits: Limits) -> (Server, Receiver<DisconnectReason>) {
    server(SocketIo::builder().limits(limits))
}

fn reason(reasons: &Receiver<DisconnectReason>) -> DisconnectReason {
    reasons.recv_timeout(Duration::from_secs(10)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_ends_the_connection_with_a_reason_a_code_and_a_count() {
    type Count = fn(&Snapshot) -> u64;
    let placeholders = |count: usize| {
        let all: Vec<_> = (0..count).map(|num| json!({ "_placeholder": true, "num": num })).collect();
        format!("45{count}-[\"x\",{}]", all.iter().map(Value::to_string).collect::<Vec<_>>().join(","))
    };
    let limits = Limits {
        events_per_second: Some(10),
        attachments: 2,
        attachment_bytes: 100,
        namespaces_per_connection: 3,
        namespace_bytes: 20,
        ..Limits::default()
    };
    let rate: Count = |stats| stats.rate_limited;
    let attachments: Count = |stats| stats.attachment_limits;
    let namespaces: Count = |stats| stats.namespace_limits;
    let renewed: Vec<_> = (0..25).flat_map(|_| ["41".to_owned(), "40".to_owned()]).collect();
    let cases: [(&str, Vec<String>, bool, DisconnectReason, Count); 7] = [
        ("events", vec![r#"42["x"]"#.to_owned(); 21], false, DisconnectReason::RateLimited, rate),
        ("joining again and again", renewed, false, DisconnectReason::RateLimited, rate),
        ("attachments", vec![placeholders(3)], false, DisconnectReason::LimitExceeded, attachments),
        ("their bytes", vec![placeholders(1)], true, DisconnectReason::LimitExceeded, attachments),
        (
            "a namespace's name",
            vec![format!("40/{},", "x".repeat(20))],
            false,
            DisconnectReason::LimitExceeded,
            namespaces,
        ),
        (
            "namespaces",
            (0..3).map(|n| format!("40/dynamic-{n},")).collect(),
            false,
            DisconnectReason::LimitExceeded,
            namespaces,
        ),
        (
            "namespaces in the making",
            ["40/slow,", "40/dynamic-1,", "40/dynamic-2,"].map(str::to_owned).to_vec(),
            false,
            DisconnectReason::LimitExceeded,
            namespaces,
        ),
    ];
    for (what, packets, with_binary, expected, count) in cases {
        let (server, reasons) = limited(limits.clone());
        let mut ws = Ws::connect(&server).await;
        for packet in packets {
            let _ = ws.try_send(packet).await;
        }
        if with_binary {
            let binary = tokio_tungstenite::tungstenite::Message::binary(vec![0; 101]);
            ws.send_message(binary).await;
        }
        let end = ws.end().await;
        assert_eq!(end, Incoming::Close(1008, expected.as_str().to_owned()), "{what}");
        // There the rate was exceeded while no namespace was joined.
        if what != "joining again and again" {
            assert_eq!(reason(&reasons), expected, "{what}");
        }
        let stats = server.until_empty().await;
        assert_eq!(count(&stats), 1, "{what}");
        let all = stats.rate_limited + stats.attachment_limits + stats.namespace_limits;
        assert_eq!(all, 1, "{what}: nothing else is counted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_just_allowed_is_let_through() {
    let limits = Limits { namespaces_per_connection: 3, events_per_second: Some(10), ..Limits::default() };
    let (server, _reasons) = limited(limits);
    let mut ws = Ws::connect(&server).await;
    for n in 0..2 {
        ws.join(&format!("/dynamic-{n}"), &Value::Null).await;
    }
    for _ in 0..16 {
        ws.emit(&json!(["x"])).await;
    }
    assert_eq!(ws.ask(1, &json!(["join", []])).await, json!([[]]));
    // A place that is free again may be taken, once there is budget for it.
    ws.send("41/dynamic-0,").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    ws.join("/dynamic-7", &Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_beyond_number_or_length_are_not_joined() {
    let (server, _reasons) = limited(Limits { rooms_per_socket: 3, room_bytes: 10, ..Limits::default() });
    let mut ws = Ws::connect(&server).await;
    let long = "x".repeat(11);
    assert_eq!(ws.ask(1, &json!(["join", ["a", long, "b", "a"]])).await, json!([["a", "b"]]));
    assert_eq!(ws.ask(2, &json!(["join", ["c", "d"]])).await, json!([["a", "b", "c"]]));
    server.io.of("/").unwrap().sockets_join("e");
    server.io.of("/").unwrap().sockets_join("x".repeat(11));
    for room in ["d", "e", &long] {
        server.io.of("/").unwrap().to(room).emit("no", &()).unwrap();
    }
    server.io.of("/").unwrap().to("c").emit("yes", &()).unwrap();
    assert_eq!(ws.event().await, json!(["yes"]));
    assert_eq!(server.io.stats().room_limits, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_come_to_be_up_to_their_limit() {
    let (server, _reasons) = limited(Limits { dynamic_namespaces: 2, ..Limits::default() });
    let mut ws = Ws::connect(&server).await;
    for n in 0..2 {
        ws.join(&format!("/dynamic-{n}"), &Value::Null).await;
    }
    ws.send("40/dynamic-2,").await;
    assert_eq!(ws.text().await, r#"44/dynamic-2,{"message":"Too many namespaces"}"#);
    // Those that are there stay open to all.
    let mut other = Ws::connect(&server).await;
    other.join("/dynamic-1", &Value::Null).await;
    assert_eq!(server.io.namespaces().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_makes_no_namespace() {
    let guarded = Namespace::dynamic(|name| name.starts_with("/tenant-"))
        .middleware(async |socket: Socket, Auth(auth): Auth<Value>| {
            // What it does before it knows does no harm.
            socket.join("early");
            socket.everyone().emit("hello", &()).map_err(|error| ConnectError::new(error.to_string()))?;
            if auth["token"] == "good" { Ok(()) } else { Err(ConnectError::new("no")) }
        })
        .on("rooms", async |socket: Socket, ack: Ack| ack.send(&socket.rooms()));
    let limits = Limits { dynamic_namespaces: 2, ..Limits::default() };
    let io = SocketIo::builder().limits(limits).namespace(Namespace::new("/")).namespace(guarded);
    let server = Server::start(io.build(), 2);
    for n in 0..10 {
        let mut ws = Ws::connect(&server).await;
        ws.send(&format!("40/tenant-{n},")).await;
        assert_eq!(ws.text().await, format!(r#"44/tenant-{n},{{"message":"no"}}"#));
    }
    assert_eq!(server.io.namespaces(), ["/"]);
    for _ in 0..2 {
        let mut ws = Ws::connect(&server).await;
        ws.join("/tenant-7", &json!({ "token": "good" })).await;
        ws.send(r#"42/tenant-7,1["rooms"]"#).await;
        assert_eq!(ws.text().await, r#"43/tenant-7,1[["early"]]"#);
        server.io.of("/tenant-7").unwrap().to("early").emit("in", &()).unwrap();
        assert_eq!(ws.text().await, r#"42/tenant-7,["in"]"#);
    }
    assert_eq!(server.io.namespaces().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_a_large_head_is_refused() {
    let (server, _reasons) = limited(Limits { head_bytes: 2000, ..Limits::default() });
    let http = reqwest::Client::new();
    for (query, header) in [("x".repeat(2000), String::new()), (String::new(), "x".repeat(2000))] {
        let url = server.url(&format!("transport=polling&x={query}"));
        let answer = http.get(url).header("x-long", header).send().await.unwrap();
        assert_eq!(answer.status(), 431);
        assert_eq!(answer.text().await.unwrap(), refusal(3, "Request head too large").to_string());
    }
    let url = server.url(&format!("transport=polling&x={}", "x".repeat(1000)));
    assert_eq!(http.get(url).send().await.unwrap().status(), 200);
    assert_eq!(server.io.stats().refused_large_heads, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_no_namespace_in_time_is_disconnected() {
    let (server, _reasons) = server(SocketIo::builder().connect_timeout(Duration::from_millis(150)));
    let mut silent = Ws::open(&server).await;
    let mut waiting = Ws::open(&server).await;
    waiting.send("40/slow,").await;
    let mut refused = Ws::open(&server).await;
    refused.send("40/nowhere,").await;
    let polling = Polling::open(&server).await;
    let mut joined = Ws::connect(&server).await;
    let mut left = Ws::connect(&server).await;
    left.send("41").await;
    for ws in [&mut silent, &mut waiting, &mut refused] {
        assert_eq!(ws.end().await, Incoming::Close(1000, "forced server close".to_owned()));
    }
    assert_eq!(polling.poll().await, ["1"]);
    server.until("four were too late", |stats| stats.connect_timeouts == 4).await;
    // Who has joined one stays, also after leaving it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    joined.ask(1, &json!(["join", []])).await;
    left.join("/", &Value::Null).await;
    assert_eq!(server.io.stats().connect_timeouts, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_no_ping_is_disconnected_and_who_answers_stays() {
    // Time enough to answer on a busy machine.
    let builder = SocketIo::builder().ping_interval(Duration::from_millis(150)).ping_timeout(Duration::from_secs(1));
    let (server, reasons) = server(builder);
    let good = Ws::connect(&server).await;
    let good_polling = Polling::connect(&server).await;
    let good_moved = {
        let client = Polling::connect(&server).await;
        client.upgrade().await.0
    };
    // They live on for several pings, and longer than those that don't answer; `ask` answers on the way.
    let over = Arc::new(AtomicBool::new(false));
    let [good, good_moved] = [good, good_moved].map(|mut ws| {
        let over = Arc::clone(&over);
        tokio::spawn(async move {
            let mut id = 0;
            while id < 20 || !over.load(Ordering::Relaxed) {
                ws.ask(id, &json!(["join", []])).await;
                id += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            ws
        })
    });
    let bad = Ws::connect(&server).await;
    let bad_polling = Polling::connect(&server).await;
    let bad_are_gone = Arc::clone(&over);
    let answering = tokio::spawn(async move {
        let mut pings = 0;
        while pings < 6 || !bad_are_gone.load(Ordering::Relaxed) {
            for packet in good_polling.poll().await {
                if packet == "2" {
                    pings += 1;
                    good_polling.post("3").await;
                }
            }
        }
        good_polling
    });
    for _ in 0..2 {
        let reason = tokio::task::block_in_place(|| reason(&reasons));
        assert_eq!(reason, DisconnectReason::PingTimeout);
    }
    assert_eq!(bad_polling.try_poll().await, (400, refusal(1, "Session ID unknown").to_string()));
    drop(bad);
    over.store(true, Ordering::Relaxed);
    let _good = within("all pings", futures::future::join3(good, good_moved, answering)).await;
    let stats = server.io.stats();
    assert_eq!((stats.ping_timeouts, stats.sockets), (2, 3));
}
