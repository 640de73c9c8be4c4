//! The endpoint over plain HTTP: what is refused, and how polling connections end.

use std::time::Duration;

use actix_web::http::header;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use socketio::{Builder, Cors, DisconnectReason, Forbidden, Limits, Namespace, SocketIo};

use crate::raw::{Polling, Server, Ws, base64, refusal, until};

fn builder() -> Builder {
    SocketIo::builder().namespace(Namespace::new("/"))
}

/// Tells the reasons for which sockets ended.
fn with_reasons(builder: Builder) -> (Server, std::sync::mpsc::Receiver<DisconnectReason>) {
    let (tell, told) = std::sync::mpsc::channel();
    let namespace = Namespace::new("/").on_disconnect(move |reason: DisconnectReason| {
        tell.send(reason).unwrap();
        async {}
    });
    (Server::start(builder.namespace(namespace).build(), 2), told)
}

async fn answer(method: Method, url: &str) -> (StatusCode, Value) {
    let answer = reqwest::Client::new().request(method, url).send().await.unwrap();
    let status = answer.status();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_get_the_originals_codes() {
    let server = Server::start(builder().build(), 2);
    let client = Polling::connect(&server).await;
    drop(client);
    let at = |query: &str| format!("http://{}/socket.io/?{query}", server.address);
    let cases = [
        (Method::GET, "EIO=4", 0, "Transport unknown"),
        (Method::GET, "EIO=4&transport=abc", 0, "Transport unknown"),
        (Method::GET, "EIO=4&transport", 0, "Transport unknown"),
        (Method::GET, "transport=polling", 5, "Unsupported protocol version"),
        (Method::GET, "EIO=3&transport=polling", 5, "Unsupported protocol version"),
        (Method::GET, "EIO=abc&transport=polling", 5, "Unsupported protocol version"),
        (Method::GET, "EIO=4&transport=polling&sid=unknown", 1, "Session ID unknown"),
        (Method::GET, "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", 1, "Session ID unknown"),
        (Method::POST, "EIO=4&transport=polling&sid=", 1, "Session ID unknown"),
        (Method::POST, "EIO=4&transport=polling", 2, "Bad handshake method"),
        (Method::PUT, "EIO=4&transport=polling", 2, "Bad handshake method"),
        (Method::OPTIONS, "EIO=4&transport=polling", 2, "Bad handshake method"),
        (Method::GET, "EIO=4&transport=websocket", 3, "Bad request"),
    ];
    for (method, query, code, message) in cases.clone() {
        let got = answer(method.clone(), &at(query)).await;
        assert_eq!(got, (StatusCode::BAD_REQUEST, refusal(code, message)), "{method} {query}");
    }
    assert_eq!(server.io.stats().refused_bad_requests, cases.len() as u64);
    // Without the slash it is the same endpoint.
    let url = format!("http://{}/socket.io?EIO=4&transport=polling", server.address);
    assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transports_that_are_not_served_are_unknown() {
    let server = Server::start(builder().websocket_only().build(), 2);
    let got = answer(Method::GET, &server.url("transport=polling")).await;
    assert_eq!(got.1, refusal(0, "Transport unknown"));
    Ws::connect(&server).await;
    let server = Server::start(builder().polling_only().build(), 2);
    let open = reqwest::get(server.url("transport=polling")).await.unwrap().text().await.unwrap();
    assert!(open.contains(r#""upgrades":[]"#), "{open}");
    assert!(tokio_tungstenite::connect_async(server.websocket_url("")).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_refuses_with_its_message() {
    let io = builder().allow_request(|request| async move {
        if request.query_string().contains("key=right") { Ok(()) } else { Err(Forbidden::new("the key is wrong")) }
    });
    let server = Server::start(io.build(), 2);
    let got = answer(Method::GET, &server.url("transport=polling&key=wrong")).await;
    assert_eq!(got, (StatusCode::FORBIDDEN, refusal(4, "the key is wrong")));
    assert!(tokio_tungstenite::connect_async(server.websocket_url("")).await.is_err());
    let client = Polling::open_with(&server, "&key=right").await;
    client.join(&Value::Null).await;
    // An upgrade is not asked about again.
    server.io.of("/").unwrap().emit("x", &()).unwrap();
    client.upgrade().await;
    Ws::open_with(&server, "&key=right").await;
    let stats = server.io.stats();
    assert_eq!((stats.refused_by_hook, stats.opened), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_origins_may_what_they_were_allowed() {
    const MINE: &str = "https://mine.example";
    let allowed = |answer: &reqwest::Response, name: header::HeaderName| {
        answer.headers().get(name.as_str()).map(|value| value.to_str().unwrap().to_owned())
    };
    for (cors, origin, expected, credentials) in [
        (None, MINE, None, false),
        (Some(Cors::any()), MINE, Some("*"), false),
        (Some(Cors::any().credentials()), MINE, Some(MINE), true),
        (Some(Cors::origins([MINE])), MINE, Some(MINE), false),
        (Some(Cors::origins([MINE]).credentials().max_age_secs(60)), MINE, Some(MINE), true),
        (Some(Cors::origins([MINE]).credentials()), "https://other.example", None, false),
    ] {
        let what = format!("{cors:?} {origin}");
        let ages = what.contains("Some(60)");
        let is_set = cors.is_some();
        let io = if let Some(cors) = cors { builder().cors(cors) } else { builder() };
        let server = Server::start(io.build(), 1);
        let http = reqwest::Client::new();
        let url = server.url("transport=polling");
        for request in [http.get(&url), http.get(format!("{url}&sid=unknown"))] {
            let answer = request.header("Origin", origin).send().await.unwrap();
            assert_eq!(allowed(&answer, header::ACCESS_CONTROL_ALLOW_ORIGIN).as_deref(), expected, "{what}");
            let with = allowed(&answer, header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
            assert_eq!(with.as_deref(), credentials.then_some("true"), "{what}");
            let vary = allowed(&answer, header::VARY).is_some_and(|vary| vary.contains("Origin"));
            assert_eq!(vary, is_set && expected != Some("*"), "{what}");
        }
        let preflight = http
            .request(Method::OPTIONS, &url)
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "x-mine");
        let preflight = preflight.send().await.unwrap();
        assert_eq!(preflight.status(), if is_set { 204 } else { 400 }, "{what}");
        assert_eq!(allowed(&preflight, header::ACCESS_CONTROL_ALLOW_ORIGIN).as_deref(), expected, "{what}");
        if is_set {
            let headers = allowed(&preflight, header::ACCESS_CONTROL_ALLOW_HEADERS);
            assert_eq!(headers.as_deref(), Some("x-mine"), "{what}");
            let age = allowed(&preflight, header::ACCESS_CONTROL_MAX_AGE);
            assert_eq!(age.as_deref(), ages.then_some("60"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_polls_or_posts_at_once_end_the_connection() {
    let (server, reasons) = with_reasons(SocketIo::builder());
    let client = Polling::connect(&server).await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.try_poll().await }
    });
    // One of them is the second, and ends both.
    let (second, third) = tokio::join!(client.try_poll(), client.try_poll());
    let mut answers = [first.await.unwrap(), second, third];
    answers.sort();
    assert_eq!(answers[0], (200, "1".to_owned()));
    assert!(answers[1..].iter().all(|answer| answer.0 == 400), "{answers:?}");
    assert_eq!(reasons.recv_timeout(Duration::from_secs(5)).unwrap(), DisconnectReason::TransportError);

    let client = Polling::connect(&server).await;
    let (slow, body) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body = futures::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    let first = tokio::spawn({
        let request = client.http.post(client.url()).body(reqwest::Body::wrap_stream(body));
        async move { request.send().await.unwrap().status() }
    });
    slow.send(Ok(b"3".to_vec())).await.unwrap();
    until("a second post while the first goes on", || (!first.is_finished()).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client.try_post("3").await.0, 400);
    drop(slow);
    first.await.unwrap();
    assert_eq!(reasons.recv_timeout(Duration::from_secs(5)).unwrap(), DisconnectReason::TransportError);
    server.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_its_client_gives_up_ends_the_connection_at_once() {
    let (server, reasons) = with_reasons(SocketIo::builder());
    let client = Polling::connect(&server).await;
    let poll = tokio::time::timeout(Duration::from_millis(100), client.try_poll()).await;
    assert!(poll.is_err());
    drop(client);
    let reason = tokio::task::spawn_blocking(move || reasons.recv_timeout(Duration::from_secs(5))).await.unwrap();
    assert_eq!(reason, Ok(DisconnectReason::TransportClose));
    server.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_clients_are_told_of_an_end_that_was_not_theirs() {
    let (server, reasons) = with_reasons(SocketIo::builder());
    let everyone = server.io.of("/").unwrap();
    let waiting = Polling::connect(&server).await;
    let poll = tokio::spawn({
        let client = waiting.clone();
        async move { client.poll().await }
    });
    let away = Polling::connect(&server).await;
    everyone.disconnect_sockets(true);
    // First what was sent before, then the end: a client would handle that before the packets beside it.
    assert_eq!(poll.await.unwrap(), ["41"]);
    assert_eq!(waiting.poll().await, ["1"]);
    assert_eq!(away.poll().await, ["41"]);
    assert_eq!(away.poll().await, ["1"]);
    for client in [waiting, away] {
        assert_eq!(client.try_poll().await, (400, refusal(1, "Session ID unknown").to_string()));
        assert_eq!(client.try_post("3").await.0, 400);
        let reason = reasons.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(reason, DisconnectReason::ServerNamespaceDisconnect);
    }
    server.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_bounded_and_have_to_be_sound() {
    let limits = Limits { packets_per_payload: 10, ..Limits::default() };
    let (server, reasons) = with_reasons(SocketIo::builder().max_payload(1000).limits(limits));
    let chunked = |bytes: usize| {
        let chunks = (0..bytes / 100).map(|_| Ok::<_, std::io::Error>(vec![b'6'; 100]));
        reqwest::Body::wrap_stream(futures::stream::iter(chunks))
    };
    for (what, body, status, reason) in [
        ("declared too large", reqwest::Body::from("6".repeat(1001)), 413, DisconnectReason::TransportError),
        ("too large without saying so", chunked(1100), 413, DisconnectReason::TransportError),
        ("too many packets", ["6"; 11].join("\x1e").into(), 400, DisconnectReason::LimitExceeded),
        ("no UTF-8", vec![b'4', 0xFF].into(), 400, DisconnectReason::ParseError),
        ("no base64", "b%%".into(), 400, DisconnectReason::ParseError),
        ("an unknown packet", "x".into(), 400, DisconnectReason::ParseError),
        ("nothing", "".into(), 400, DisconnectReason::ParseError),
        ("a malformed packet", "42[".into(), 200, DisconnectReason::ParseError),
    ] {
        let client = Polling::connect(&server).await;
        let answer = client.http.post(client.url()).body(body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{what}");
        assert_eq!(reasons.recv_timeout(Duration::from_secs(5)).unwrap(), reason, "{what}");
        server.until_empty().await;
    }
    assert_eq!(server.io.stats().oversized_payloads, 2);
    // What is just allowed.
    let client = Polling::connect(&server).await;
    client.post(["6"; 10].join("\x1e")).await;
    client.post(format!("451-[\"x\",{{\"_placeholder\":true,\"num\":0}}]\x1e{}", base64(&[1; 600]))).await;
    client.post("1").await;
    assert_eq!(reasons.recv_timeout(Duration::from_secs(5)).unwrap(), DisconnectReason::TransportClose);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_one_address_are_counted_in_and_out() {
    let limits = Limits { connections_per_ip: Some(2), ..Limits::default() };
    let by_header = |request: &actix_web::HttpRequest| request.headers().get("x-ip")?.to_str().ok()?.parse().ok();
    let server = Server::start(builder().limits(limits).client_ip(by_header).build(), 2);
    let http = reqwest::Client::new();
    let open = async |ip: &str| {
        let answer = http.get(server.url("transport=polling")).header("x-ip", ip).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for round in 1..4 {
        let mut sids = Vec::new();
        for _ in 0..2 {
            let (status, body) = open("10.0.0.1").await;
            assert_eq!(status, 200, "round {round}");
            let open: Value = serde_json::from_str(&body[1..]).unwrap();
            sids.push(open["sid"].as_str().unwrap().to_owned());
        }
        let refused = open("10.0.0.1").await;
        assert_eq!(refused, (429, refusal(4, "Too many connections").to_string()));
        assert_eq!(open("10.0.0.2").await.0, if round < 3 { 200 } else { 429 }, "others have their own");
        assert_eq!(server.io.stats().refused_connections_per_ip, if round < 3 { round } else { 4 });
        for sid in sids {
            let url = server.url(&format!("transport=polling&sid={sid}"));
            assert_eq!(http.post(url).body("1").send().await.unwrap().status(), 200);
        }
        server.until("they are gone", |stats| stats.polling_connections == u64::from(round.min(2) as u32)).await;
    }
}
