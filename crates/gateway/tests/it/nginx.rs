//! deploy/nginx in front of two gateways, and of two servers that only write down what they are sent.
//!
//! `SOUK_TEST_NGINX` names the program.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::live_events::Listener;
use crate::sio::Client;
use crate::world::{PATIENCE, World, eventually, refusal, settings, user_id};

/// A running nginx; it ends with this.
struct Nginx {
    process: Child,
    url: String,
    log: PathBuf,
    _folder: TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Nginx {
    /// The configuration that is shipped, with other addresses.
    async fn before(upstreams: [SocketAddr; 2]) -> Self {
        let program = std::env::var("SOUK_TEST_NGINX").expect("SOUK_TEST_NGINX names the program");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nginx");
        let folder = TempDir::new().unwrap();
        let here = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let souk = fs::read_to_string(shipped.join("souk.conf")).unwrap();
        let souk = souk
            .replace("listen 8000;", &format!("listen {here};"))
            .replace("server 127.0.0.1:8080 ", &format!("server {} ", upstreams[0]))
            .replace("server 127.0.0.1:8081 ", &format!("server {} ", upstreams[1]));
        fs::write(folder.path().join("souk.conf"), souk).unwrap();
        fs::copy(shipped.join("nginx.conf"), folder.path().join("nginx.conf")).unwrap();
        let log = folder.path().join("log");
        File::create(&log).unwrap();
        let appending = || OpenOptions::new().append(true).open(&log).unwrap();
        let process = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .args(["-g", "daemon off; master_process off;"])
            .stdout(appending())
            .stderr(appending())
            .spawn()
            .unwrap();
        let nginx = Self { process, url: format!("http://{here}"), log, _folder: folder };
        let listens = async || TcpStream::connect(here).await.is_ok();
        eventually("nginx listens", listens).await;
        nginx
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

/// A server that writes down the head of every request, and gives all the same answer, or none at all.
#[derive(Clone)]
struct Witness {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Witness {
    async fn new(answers: bool) -> Self {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        Self::answering(answers.then_some(answer)).await
    }

    /// As a gateway that moves its clients elsewhere.
    async fn stopping() -> Self {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        Self::answering(Some(answer)).await
    }

    async fn answering(answer: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let witness = Self { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let heads = Arc::clone(&witness.heads);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(Self::serve(socket, Arc::clone(&heads), answer));
            }
        });
        witness
    }

    async fn serve(mut socket: TcpStream, heads: Arc<Mutex<Vec<String>>>, answer: Option<&'static [u8]>) {
        let mut head = Vec::new();
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        heads.lock().unwrap().push(String::from_utf8(head).unwrap());
        if let Some(answer) = answer {
            let _ = socket.write_all(answer).await;
        }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_NGINX"]
async fn streams_and_polls_pass_through_as_they_come() {
    let world = World::new().await;
    let second = world.second_gateway().await;
    let nginx = Nginx::before([world.address, second]).await;
    let events = || world.http.get(format!("{}/events", nginx.url)).bearer_auth(world.token());
    let mut listeners = Vec::new();
    for _ in 0..4 {
        let mut listener = Listener::open(events()).await;
        assert_eq!(listener.next().await.unwrap().event, "connected");
        listeners.push(listener);
    }
    let poll = format!("{}/poll/{}?cursor=0&token={}", nginx.url, user_id(), world.token());
    let reads = world.script.calls("ListInbox").len();
    let poll = tokio::spawn(world.http.get(poll).send());
    eventually("the poll waits", async || world.script.calls("ListInbox").len() > reads).await;
    world.append("order_created", "{}").await;
    for listener in &mut listeners {
        assert_eq!(listener.next().await.unwrap().id, Some(1), "passed on, although the response goes on");
    }
    let polled: Value = poll.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(polled["cursor"], 1);
    assert!(!nginx.log().contains(&world.token()[..20]), "{}", nginx.log());
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_NGINX"]
async fn when_a_gateway_goes_its_clients_go_on_at_the_other_where_they_were() {
    let world = World::new().await;
    let second = world.second_gateway().await;
    let nginx = Nginx::before([world.address, second]).await;
    let mut seen = Vec::new();
    let mut listener = Listener::open(world.http.get(format!("{}/events", nginx.url)).bearer_auth(world.token())).await;
    listener.next().await;
    for round in 1..=6 {
        world.append("order_updated", "{}").await;
        let poll = format!("{}/poll/{}?cursor={}", nginx.url, user_id(), round - 1);
        let polled = world.http.get(poll).bearer_auth(world.token()).send().await.unwrap();
        assert_eq!(polled.status(), StatusCode::OK, "{round}");
        let polled: Value = polled.json().await.unwrap();
        seen.extend(polled["messages"].as_array().unwrap().iter().map(|message| message["cursor"].as_u64().unwrap()));
        if round == 3 {
            // As if it were killed: no goodbye.
            world.server.stop(false).await;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_NGINX"]
async fn only_what_may_be_repeated_goes_to_the_other_gateway_when_one_breaks_off() {
    let (broken, well) = (Witness::new(false).await, Witness::new(true).await);
    let nginx = Nginx::before([broken.address, well.address]).await;
    let http = reqwest::Client::new();
    let mut posts = 0;
    for _ in 0..2 {
        let read = http.get(format!("{}/api/orders", nginx.url)).send().await.unwrap();
        assert_eq!(read.status(), StatusCode::OK, "a read is repeated");
    }
    let before = well.heads().len();
    for _ in 0..4 {
        let posted = http.post(format!("{}/api/orders", nginx.url)).json(&json!({})).send().await.unwrap();
        posts += 1;
        if posted.status() != StatusCode::OK {
            assert!(posted.headers().contains_key("retry-after"));
            assert_eq!(posted.headers()["content-type"], "application/problem+json");
            let id = posted.headers()["x-request-id"].to_str().unwrap().to_owned();
            let problem: Value = posted.json().await.unwrap();
            assert_eq!((&problem["type"], &problem["request_id"]), (&"/problems/unavailable".into(), &id.into()));
        }
    }
    let sent = broken.heads().iter().chain(&well.heads()[before..]).filter(|head| head.starts_with("POST")).count();
    assert_eq!(sent, posts, "no POST reaches two gateways");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_NGINX"]
async fn gateways_are_told_who_asks_and_a_socket_session_stays_where_it_is() {
    let upstreams = [Witness::new(true).await, Witness::new(true).await];
    let nginx = Nginx::before([upstreams[0].address, upstreams[1].address]).await;
    let http = reqwest::Client::new();
    for n in 0..12 {
        let request = http.get(format!("{}/socket.io/?EIO=4&transport=polling&sid=s{n}", nginx.url));
        request.header("forwarded", "for=6.6.6.6").header("x-forwarded-for", "6.6.6.6").send().await.unwrap();
    }
    let counts = [upstreams[0].heads().len(), upstreams[1].heads().len()];
    assert!(counts == [12, 0] || counts == [0, 12], "{counts:?}");
    let head = [upstreams[0].heads(), upstreams[1].heads()].concat().remove(0).to_lowercase();
    assert!(head.contains("x-forwarded-for: 6.6.6.6, 127.0.0.1\r\n"), "what was made up stands before: {head}");
    assert!(head.contains("x-forwarded-proto: http\r\n") && !head.contains("forwarded: for"), "{head}");
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert!(nginx.log().contains(id), "one id in the logs of both");

    for n in 0..12 {
        http.get(format!("{}/socket.io/?EIO=4&transport=websocket&n={n}", nginx.url)).send().await.unwrap();
    }
    let both = [upstreams[0].heads().len(), upstreams[1].heads().len()];
    assert!(both.iter().all(|count| *count > 0), "a WebSocket may go anywhere: {both:?}");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_NGINX"]
async fn while_a_gateway_stops_sockets_begin_and_go_on_at_the_other_and_nowhere_else_is_it_passed_by() {
    let world = World::new().await;
    let auth = json!({ "token": world.token() });
    // Which of the two a client's address leads to is a matter of theirs: one of them leads to the one that stops.
    for _ in 0..40 {
        let stopping = Witness::stopping().await;
        let nginx = Nginx::before([stopping.address, world.address]).await;
        let address: SocketAddr = nginx.url.strip_prefix("http://").unwrap().parse().unwrap();
        for _ in 0..4 {
            let mut socket = Client::connect(address, "/", &auth).await.unwrap();
            assert_eq!(socket.hear("inbox:ready").await["head"], 0);
        }
        let url = format!("{}/socket.io/?EIO=4&transport=polling", nginx.url);
        let open = world.http.get(&url).send().await.unwrap().text().await.unwrap();
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        let session = format!("{url}&sid={}", open["sid"].as_str().unwrap());
        let posted = world.http.post(&session).body(format!("40{auth}")).send().await.unwrap();
        assert_eq!(posted.status(), StatusCode::OK);
        let polled = world.http.get(&session).send().await.unwrap().text().await.unwrap();
        assert!(polled.starts_with("40{"), "{polled}");
        let refused = stopping.heads().iter().filter(|head| head.contains("transport=polling")).count();
        if refused == 0 {
            continue;
        }
        assert_eq!(refused, 3, "handshake, POST and poll");
        // What it says elsewhere is its answer: such a gateway serves, and 503 may be the truth.
        let asked = (0..6).map(|_| world.http.get(format!("{}/api/products", nginx.url)).send());
        let told = futures::future::join_all(asked).await;
        assert!(told.iter().any(|answer| answer.as_ref().unwrap().status() == StatusCode::SERVICE_UNAVAILABLE));
        return;
    }
    panic!("no address led to the gateway that stops");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_NGINX"]
async fn no_log_of_nginx_shows_a_token_even_when_no_gateway_answers() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nginx = Nginx::before([nowhere, nowhere]).await;
    let http = reqwest::Client::new();
    for path in ["/events", "/poll/0190a1b2-0000-7000-8000-000000000001", "/socket.io/"] {
        for name in ["token", "%74oken", "t%6Fken"] {
            let url = format!("{}{path}?{name}=canary-token&EIO=4&transport=polling", nginx.url);
            let response = http.get(url).header("referer", "http://x/?token=canary-token").send().await.unwrap();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        }
    }
    eventually("nine lines are written", async || nginx.log().matches("\"status\":503").count() == 9).await;
    assert!(!nginx.log().contains("canary"), "{}", nginx.log());
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_NGINX"]
async fn a_gateway_that_trusts_nginx_sets_secure_cookies_only_for_tls_and_words_refusals_itself() {
    let trusting = gateway::Settings { trusted_proxies: "loopback".parse().unwrap(), ..settings() };
    let world = World::with(trusting).await;
    let nginx = Nginx::before([world.address, world.address]).await;
    let login = json!({"email": "a@b.example", "password": "long enough", "cookie": true});
    let spoofed = world.http.post(format!("{}/api/auth/login", nginx.url)).header("x-forwarded-proto", "https");
    let response = spoofed.json(&login).send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    assert!(!cookie.contains("Secure"), "nginx says itself what came over TLS: {cookie}");
    let body = " ".repeat(100_000);
    let large = world.http.post(format!("{}/api/auth/login", nginx.url)).header("content-type", "application/json");
    let large = tokio::time::timeout(PATIENCE, large.body(body).send()).await.unwrap().unwrap();
    assert_eq!(refusal(large).await, "413 body-too-large");
}
