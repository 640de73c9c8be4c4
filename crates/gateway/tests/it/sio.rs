//! A small Socket.IO client over WebSocket, for tests: sends events, waits for acknowledgements and events.
//!
//! Source: Engine.IO protocol v4, Socket.IO protocol v5.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::world::PATIENCE;

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    namespace: String,
    next_ack: u64,
    /// What the server said when it let the client in: `sid`, and `pid` where sessions are recovered.
    pub(crate) hello: Value,
    events: VecDeque<(String, Vec<Value>)>,
}

/// What came of waiting for a packet.
enum Packet {
    Event(String, Vec<Value>),
    Ack(u64, Vec<Value>),
    Connected(Value),
    Refused(Value),
    Disconnected,
}

impl Client {
    /// Connects to a namespace.
    ///
    /// # Errors
    /// The payload of `connect_error`.
    pub(crate) async fn connect(gateway: SocketAddr, namespace: &str, auth: &Value) -> Result<Self, Value> {
        Self::connect_by(gateway, "", namespace, auth).await
    }

    /// As [`Self::connect`], with more in the query of the handshake, such as `&token=…`.
    pub(crate) async fn connect_by(
        gateway: SocketAddr,
        query: &str,
        namespace: &str,
        auth: &Value,
    ) -> Result<Self, Value> {
        let url = format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket{query}");
        let (socket, _) = connect_async(url).await.unwrap();
        let namespace = if namespace == "/" { String::new() } else { format!("{namespace},") };
        let mut client = Self { socket, namespace, next_ack: 0, hello: Value::Null, events: VecDeque::new() };
        let connect = format!("40{}{auth}", client.namespace);
        client.send(connect).await;
        loop {
            match client.packet().await {
                Some(Packet::Connected(hello)) => {
                    client.hello = hello;
                    return Ok(client);
                }
                Some(Packet::Refused(error)) => return Err(error),
                Some(Packet::Event(name, arguments)) => client.events.push_back((name, arguments)),
                other => panic!("the client was neither let in nor refused: {}", other.is_some()),
            }
        }
    }

    async fn send(&mut self, packet: String) {
        self.socket.send(Message::text(packet)).await.unwrap();
    }

    /// Says that it leaves.
    pub(crate) async fn leave(mut self) {
        let packet = format!("41{}", self.namespace);
        self.send(packet).await;
    }

    /// Sends an event that asks for no acknowledgement.
    pub(crate) async fn emit(&mut self, event: &str, argument: &Value) {
        let packet = format!("42{}{}", self.namespace, json!([event, argument]));
        self.send(packet).await;
    }

    /// Says goodbye to the namespace.
    pub(crate) async fn say_goodbye(mut self) {
        let packet = format!("41{}", self.namespace);
        self.send(packet).await;
    }

    /// Sends an event, and gives the first argument of its acknowledgement.
    pub(crate) async fn ask(&mut self, event: &str, argument: &Value) -> Value {
        let id = self.next_ack;
        self.next_ack += 1;
        let packet = format!("42{}{id}{}", self.namespace, json!([event, argument]));
        self.send(packet).await;
        loop {
            match self.packet().await {
                Some(Packet::Ack(acked, arguments)) if acked == id => {
                    return arguments.into_iter().next().unwrap_or_default();
                }
                Some(Packet::Event(name, arguments)) => self.events.push_back((name, arguments)),
                Some(_) => {}
                None => panic!("the connection ended before {event} was acknowledged"),
            }
        }
    }

    /// The first argument of the next event of this name; those of other names before it are dropped.
    pub(crate) async fn hear(&mut self, event: &str) -> Value {
        self.hear_all(event).await.into_iter().next().unwrap_or_default()
    }

    /// All arguments of the next event of this name.
    pub(crate) async fn hear_all(&mut self, event: &str) -> Vec<Value> {
        let waiting = async {
            loop {
                let (name, arguments) = self.next_event().await.unwrap_or_else(|| panic!("ended before {event} came"));
                if name == event {
                    return arguments;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {event}"))
    }

    /// The next event; `None` when the client was disconnected.
    pub(crate) async fn next_event(&mut self) -> Option<(String, Vec<Value>)> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        loop {
            match self.packet().await? {
                Packet::Event(name, arguments) => return Some((name, arguments)),
                Packet::Disconnected => return None,
                _ => {}
            }
        }
    }

    /// The names of the events that came, up to those that the server had sent before it acknowledged something.
    pub(crate) async fn heard_until_now(&mut self) -> Vec<String> {
        let _ = self.ask("leave", &json!("no such room")).await;
        // Where the inbox goes on, every client is told.
        self.events.drain(..).map(|(name, _)| name).filter(|name| name != "inbox:ready").collect()
    }

    /// Waits until the server has disconnected the client.
    pub(crate) async fn ended(&mut self) {
        let waiting = async { while self.next_event().await.is_some() {} };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the client is disconnected");
    }

    /// The next packet; answers pings. `None` when the connection has ended.
    async fn packet(&mut self) -> Option<Packet> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a packet comes");
            let text = match message? {
                Ok(Message::Text(text)) => text.to_string(),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => continue,
            };
            if text == "2" {
                self.send("3".to_owned()).await;
            }
            let Some(packet) = text.strip_prefix('4') else { continue };
            let kind = packet.chars().next()?;
            let body = packet[1..].strip_prefix(&self.namespace).unwrap_or(&packet[1..]);
            let digits = body.bytes().take_while(u8::is_ascii_digit).count();
            let (id, json) = body.split_at(digits);
            let json: Value = serde_json::from_str(json).unwrap_or_default();
            let list = || json.as_array().cloned().unwrap_or_default();
            return Some(match kind {
                '0' => Packet::Connected(json),
                '1' => Packet::Disconnected,
                '2' => {
                    let mut arguments = list();
                    let name = arguments.remove(0);
                    Packet::Event(name.as_str().unwrap().to_owned(), arguments)
                }
                '3' => Packet::Ack(id.parse().unwrap(), list()),
                '4' => Packet::Refused(json),
                other => panic!("a packet of kind {other}"),
            });
        }
    }
}
