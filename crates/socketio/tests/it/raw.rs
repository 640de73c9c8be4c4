//! Servers in this process, and clients that say exactly what they are told to.

use std::{
    future::Future,
    net::SocketAddr,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use actix_web::{App, HttpServer, dev::ServerHandle};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use socketio::{Snapshot, SocketIo};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use crate::node::DEADLINE;

/// A server with its workers. It stops when it is dropped.
pub(crate) struct Server {
    pub(crate) io: SocketIo,
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves with so many workers.
    pub(crate) fn start(io: SocketIo, workers: usize) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let mounted = io.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || App::new().configure(|config| mounted.configure(config)))
                    .workers(workers)
                    .h1_allow_half_closed(false)
                    .shutdown_timeout(20)
                    .disable_signals()
                    .bind(("127.0.0.1", 0))
                    .unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                tell.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = told.recv().unwrap();
        Self { io, address, handle, thread: Some(thread) }
    }

    pub(crate) fn url(&self, query: &str) -> String {
        format!("http://{}/socket.io/?EIO=4&{query}", self.address)
    }

    pub(crate) fn websocket_url(&self, query: &str) -> String {
        format!("ws://{}/socket.io/?EIO=4&transport=websocket{query}", self.address)
    }

    /// Waits until the statistics are as they should be.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
        until(what, || Some(self.io.stats()).filter(|stats| holds(stats))).await
    }

    /// Waits until nothing is left of any connection.
    pub(crate) async fn until_empty(&self) -> Snapshot {
        self.until("all gauges at zero", |stats| {
            stats.polling_connections == 0 && stats.websocket_connections == 0 && stats.sockets == 0
        })
        .await
    }

    /// Stops as a process does, and tells how long that took.
    pub(crate) async fn stop(mut self, gracefully: bool) -> Duration {
        let began = Instant::now();
        self.handle.stop(gracefully).await;
        let thread = self.thread.take().unwrap();
        within("the server's thread ends", tokio::task::spawn_blocking(|| thread.join().unwrap())).await.unwrap();
        began.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() {
            drop(self.handle.stop(false));
        }
    }
}

/// Waits for the future, not for ever.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let output = tokio::time::timeout(DEADLINE, future).await;
    output.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Waits until there is something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Incoming {
    /// An Engine.IO packet.
    Text(String),
    Binary(Vec<u8>),
    /// A close frame.
    Close(u16, String),
    /// The connection ended without one.
    End,
}

/// A client over WebSocket. It answers pings.
pub(crate) struct Ws {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The connection's id.
    pub(crate) sid: String,
}

impl Ws {
    /// A connection that has joined no namespace.
    pub(crate) async fn open(server: &Server) -> Self {
        Self::open_with(server, "").await
    }

    /// The same with more in its query.
    pub(crate) async fn open_with(server: &Server, query: &str) -> Self {
        let mut ws = Self::raw(&server.websocket_url(query)).await;
        let Incoming::Text(open) = ws.next().await else { panic!("no open packet") };
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        open["sid"].as_str().unwrap().clone_into(&mut ws.sid);
        ws
    }

    /// A WebSocket on which nothing has been said.
    pub(crate) async fn raw(url: &str) -> Self {
        let (stream, _) = within("websocket handshake", connect_async(url)).await.unwrap();
        Self { stream, sid: String::new() }
    }

    /// A client of the main namespace.
    pub(crate) async fn connect(server: &Server) -> Self {
        let mut ws = Self::open(server).await;
        ws.join("/", &Value::Null).await;
        ws
    }

    pub(crate) async fn send(&mut self, packet: impl Into<String>) {
        self.try_send(packet).await.unwrap();
    }

    pub(crate) async fn try_send(
        &mut self,
        packet: impl Into<String>,
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        within("sending", self.stream.send(Message::text(packet.into()))).await
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        within("sending", self.stream.send(message)).await.unwrap();
    }

    /// The next that comes, pings left out.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            match within("a packet", self.stream.next()).await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                    // A server that just closed need not take it.
                    let _ = self.try_send("3").await;
                }
                Some(Ok(Message::Text(text))) => return Incoming::Text(text.as_str().to_owned()),
                Some(Ok(Message::Binary(data))) => return Incoming::Binary(data.to_vec()),
                Some(Ok(Message::Close(Some(close)))) => {
                    let code = if let CloseCode::Iana(code) = close.code { code } else { close.code.into() };
                    return Incoming::Close(code, close.reason.as_str().to_owned());
                }
                Some(Ok(Message::Close(None))) => return Incoming::Close(1005, String::new()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Incoming::End,
            }
        }
    }

    /// The next packet without looking at it closely.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Incoming::Text(text) => text,
            other => panic!("not a text: {other:?}"),
        }
    }

    /// How the connection ends; what comes before is skipped.
    pub(crate) async fn end(&mut self) -> Incoming {
        loop {
            let next = self.next().await;
            if matches!(next, Incoming::Close(..) | Incoming::End) {
                return next;
            }
        }
    }

    /// What is left until the connection ends.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Incoming::Text(text) = self.next().await {
            texts.push(text);
        }
        texts
    }

    /// Joins a namespace; gives the answer's JSON.
    pub(crate) async fn join(&mut self, namespace: &str, auth: &Value) -> Value {
        self.send(connect_packet(namespace, auth)).await;
        let answer = self.text().await;
        let head = if namespace == "/" { "40".to_owned() } else { format!("40{namespace},") };
        let json = answer.strip_prefix(&head).unwrap_or_else(|| panic!("not let in: {answer}"));
        serde_json::from_str(json).unwrap()
    }

    /// The arguments of the next event of the main namespace, its name first.
    pub(crate) async fn event(&mut self) -> Value {
        let text = self.text().await;
        event_of(&text).unwrap_or_else(|| panic!("not an event: {text}"))
    }

    /// Sends an event of the main namespace.
    pub(crate) async fn emit(&mut self, event: &Value) {
        self.send(format!("42{event}")).await;
    }

    /// Sends an event and gives the acknowledgement; events that come before it are skipped.
    pub(crate) async fn ask(&mut self, id: u32, event: &Value) -> Value {
        self.send(format!("42{id}{event}")).await;
        loop {
            let text = self.text().await;
            if let Some(json) = text.strip_prefix(&format!("43{id}[")) {
                return serde_json::from_str(&format!("[{json}")).unwrap();
            }
        }
    }

    /// Goes away without a word.
    pub(crate) fn cut(self) {
        drop(self.stream);
    }
}

pub(crate) fn connect_packet(namespace: &str, auth: &Value) -> String {
    let auth = if auth.is_null() { String::new() } else { auth.to_string() };
    if namespace == "/" { format!("40{auth}") } else { format!("40{namespace},{auth}") }
}

/// The arguments of an event packet of the main namespace.
pub(crate) fn event_of(packet: &str) -> Option<Value> {
    serde_json::from_str(packet.strip_prefix("42")?).ok()
}

/// A client over HTTP polling. Each request of a pool of its own may go to any worker.
#[derive(Clone)]
pub(crate) struct Polling {
    pub(crate) http: reqwest::Client,
    url: String,
    websocket_url: String,
}

impl Polling {
    pub(crate) async fn open(server: &Server) -> Self {
        Self::open_with(server, "").await
    }

    pub(crate) async fn open_with(server: &Server, query: &str) -> Self {
        let http = reqwest::Client::new();
        let url = server.url(&format!("transport=polling{query}"));
        let body = within("handshake", http.get(&url).send()).await.unwrap().text().await.unwrap();
        let open: Value = serde_json::from_str(body.strip_prefix('0').unwrap()).unwrap();
        let sid = open["sid"].as_str().unwrap();
        Self {
            http,
            url: server.url(&format!("transport=polling&sid={sid}")),
            websocket_url: server.websocket_url(&format!("&sid={sid}")),
        }
    }

    /// A client of the main namespace.
    pub(crate) async fn connect(server: &Server) -> Self {
        let client = Self::open(server).await;
        client.join(&Value::Null).await;
        client
    }

    pub(crate) async fn join(&self, auth: &Value) -> Value {
        self.post(connect_packet("/", auth)).await;
        let packets = self.poll().await;
        serde_json::from_str(packets[0].strip_prefix("40").unwrap()).unwrap()
    }

    pub(crate) async fn post(&self, body: impl Into<String>) {
        let (status, body) = self.try_post(body).await;
        assert_eq!((status, body.as_str()), (200, "ok"));
    }

    /// Status and body of the answer.
    pub(crate) async fn try_post(&self, body: impl Into<String>) -> (u16, String) {
        let answer = within("a post", self.http.post(&self.url).body(body.into()).send()).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The packets of one request.
    pub(crate) async fn poll(&self) -> Vec<String> {
        let (status, body) = self.try_poll().await;
        assert_eq!(status, 200, "{body}");
        body.split('\x1e').map(str::to_owned).collect()
    }

    pub(crate) async fn try_poll(&self) -> (u16, String) {
        let answer = within("a poll", self.http.get(&self.url).send()).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Polls until an event of the main namespace comes; pings are answered.
    pub(crate) async fn event(&self) -> Value {
        loop {
            for packet in self.poll().await {
                if packet == "2" {
                    self.post("3").await;
                } else if let Some(event) = event_of(&packet) {
                    return event;
                }
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A WebSocket for the session, on which nothing has been said.
    pub(crate) async fn raw_websocket(&self) -> Ws {
        Ws::raw(&self.websocket_url).await
    }

    /// Opens a WebSocket for the session and sends the probe; the answer is awaited.
    pub(crate) async fn probe(&self) -> Ws {
        let mut ws = self.raw_websocket().await;
        ws.send("2probe").await;
        assert_eq!(ws.text().await, "3probe");
        ws
    }

    /// Moves to a WebSocket as the original's client does: a last poll is answered before the switch. Gives what it
    /// brought, too.
    pub(crate) async fn upgrade(self) -> (Ws, Vec<String>) {
        let (packets, mut ws) = tokio::join!(self.poll(), self.probe());
        if packets.iter().any(|packet| packet == "2") {
            self.post("3").await;
        }
        ws.send("5").await;
        (ws, packets)
    }
}

/// An Engine.IO message of binary data, as polling carries it.
pub(crate) fn base64(data: &[u8]) -> String {
    format!("b{}", BASE64_STANDARD.encode(data))
}

/// An answer's body of a refusal.
pub(crate) fn refusal(code: u8, message: &str) -> Value {
    json!({ "code": code, "message": message })
}
