//! A server with everything that the suites of the JavaScript clients ask for (`tests/js`). `tests/js/reference/testbed.js`
//! is the same on the original, and says what each event does.
//!
//! Settings, all from the environment:
//!
//! - `PORT`: where to listen on 127.0.0.1 (3000 unless set; 0 takes a free one)
//! - `NODE_NAME`: what this node calls itself
//! - `RECOVERY`: 1 for connection state recovery, for 2 minutes
//! - `PING_INTERVAL`, `PING_TIMEOUT`: milliseconds
//! - `REDIS_URL`: makes it one of a cluster
//! - `STREAM`: the cluster's stream; also the prefix of its channels
//!
//! Namespaces: `/`, `/chat`, `/admin` (for the token "admin" only) and every `/tenant-<word>`. All have the same events.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use actix_web::{App, HttpServer};
use bytes::Bytes;
use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};
use socketio::{
    BroadcastAckError, ConnectError, Cors, DisconnectReason, Emitter, Namespace, Payload, Socket, SocketIo,
    adapter::{LocalAdapter, RedisStreams},
    handler::{Ack, Args, Auth, Data, State},
    recovery::RecoveryOptions,
};

/// Whatever fails in a handler is logged with the event's name.
type Handled = Result<(), Box<dyn Error>>;

/// JSON with binary data anywhere in it.
#[derive(Clone, Debug)]
enum Any {
    Json(Value),
    Binary(Bytes),
    List(Vec<Any>),
    Object(Vec<(String, Any)>),
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(value) => value.serialize(serializer),
            Self::Binary(data) => serializer.serialize_bytes(data),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = Any;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Any, E> {
                Ok(Any::Json(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Any, E> {
                Ok(Any::Json(value.into()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Any, E> {
                Ok(Any::Binary(Bytes::copy_from_slice(value)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Any, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(Any::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Any::Object(entries))
            }
        }
        deserializer.deserialize_any(Anything)
    }
}

/// What the node keeps.
#[derive(Default)]
struct Bed {
    node: String,
    /// Why sockets ended, by their id.
    reasons: Mutex<HashMap<String, DisconnectReason>>,
    /// What other nodes told this one.
    news: Mutex<Vec<Any>>,
    /// How often each flaky event was tried.
    attempts: Mutex<HashMap<String, u32>>,
}

/// Numbers in the order in which they came, with the size of what came beside them.
#[derive(Default)]
struct Numbers(Mutex<Vec<(i64, usize)>>);

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which sockets are meant; `from` is "server", or "socket" for all but the sender.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Audience {
    to: Vec<String>,
    except: Vec<String>,
    from: Option<String>,
    local: bool,
    volatile: bool,
}

impl Audience {
    fn of(self, socket: &Socket) -> Emitter {
        let mut emitter = if self.from.as_deref() == Some("socket") { socket.broadcast() } else { socket.everyone() };
        for room in self.to {
            emitter = emitter.to(room);
        }
        for room in self.except {
            emitter = emitter.except(room);
        }
        if self.local {
            emitter = emitter.local();
        }
        if self.volatile { emitter.volatile() } else { emitter }
    }
}

async fn admit(socket: Socket, Auth(auth): Auth<Value>) -> Result<(), ConnectError> {
    if let Some(delay) = auth["delay"].as_u64() {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let token = auth["token"].as_str();
    if token == Some("refused") {
        let data = json!({ "code": "refused", "numbers": [1, 2.5, null] });
        return Err(ConnectError::new("not allowed").with_data(data));
    }
    if socket.namespace() == "/admin" && token != Some("admin") {
        return Err(ConnectError::new("Admin access required").with_data(json!({ "code": "forbidden" })));
    }
    if let Some(token) = token {
        socket.set_user(token);
    }
    Ok(())
}

async fn connected(socket: Socket, Auth(auth): Auth<Value>) -> Handled {
    socket.insert_extension(Numbers::default());
    socket.insert_extension(auth.clone());
    if socket.data().is_null() {
        socket.set_data(&json!({ "user": auth["token"] }))?;
    }
    if let Some(room) = auth["room"].as_str() {
        socket.join(room);
    }
    if auth["greet"] == true {
        let welcome = json!({ "id": socket.id().as_str(), "auth": auth, "recovered": socket.recovered() });
        socket.emit("welcome", &welcome)?;
    }
    Ok(())
}

async fn gone(socket: Socket, reason: DisconnectReason, bed: State<Bed>) {
    locked(&bed.reasons).insert(socket.id().to_string(), reason);
}

// --- events and acknowledgements ---------------------------------------------------------------

async fn echo(Args(event): Args, ack: Ack) {
    ack.send_payload(event.without_name());
}

async fn back(socket: Socket, Args(event): Args) {
    socket.emit_payload(event);
}

async fn ask_me(socket: Socket, Data((argument, timeout)): Data<(Any, u64)>, ack: Ack) -> Handled {
    let answer: Result<Any, _> = socket.emit_with_ack("question", &(argument,), Duration::from_millis(timeout)).await;
    let told = match answer {
        Ok(answer) => ("answer".to_owned(), answer),
        Err(_) => ("error".to_owned(), Any::Json("timeout".into())),
    };
    Ok(ack.send(&(Any::Object(vec![told]),))?)
}

#[derive(Deserialize)]
struct Burst {
    n: usize,
    room: Option<String>,
    binary: Option<usize>,
}

async fn burst(socket: Socket, Data(Burst { n, room, binary }): Data<Burst>) -> Handled {
    let room = room.map(|room| socket.everyone().to(room));
    for i in 0..n {
        let event = match binary {
            Some(size) => Payload::event("tick", &(i, Bytes::from(vec![u8::try_from(i % 256)?; size])))?,
            None => Payload::event("tick", &i)?,
        };
        match &room {
            Some(room) => room.emit_payload(event),
            None => socket.emit_payload(event),
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Drip {
    n: usize,
    every: u64,
    room: Option<String>,
}

async fn drip(socket: Socket, Data(Drip { n, every, room }): Data<Drip>, ack: Ack) -> Handled {
    let mut interval = tokio::time::interval(Duration::from_millis(every));
    for i in 0..n {
        interval.tick().await;
        match &room {
            Some(room) => socket.everyone().to(room.as_str()).emit("tick", &i)?,
            None => socket.emit("tick", &i)?,
        }
    }
    Ok(ack.send(&())?)
}

async fn number(socket: Socket, Data((n, beside)): Data<(i64, Option<Bytes>)>) {
    if let Some(numbers) = socket.extension::<Numbers>() {
        locked(&numbers.0).push((n, beside.map_or(0, |data| data.len())));
    }
}

async fn numbers(socket: Socket, ack: Ack) -> Handled {
    let numbers = socket.extension::<Numbers>().ok_or("not connected")?;
    let numbers = locked(&numbers.0).clone();
    Ok(ack.send(&(numbers,))?)
}

async fn interleave(socket: Socket, Data(n): Data<i64>, ack: Ack) -> Handled {
    socket.emit("mark", &n)?;
    Ok(ack.send(&n)?)
}

async fn flaky(Data(id): Data<String>, ack: Ack, bed: State<Bed>) -> Handled {
    let tries = {
        let mut attempts = locked(&bed.attempts);
        let tries = attempts.entry(id).or_default();
        *tries += 1;
        *tries
    };
    if tries >= 3 {
        ack.send(&tries)?;
    }
    Ok(())
}

async fn handshake(socket: Socket, ack: Ack) -> Handled {
    let auth = socket.extension::<Value>().ok_or("not connected")?;
    let request = socket.handshake();
    let query: HashMap<_, _> = ["EIO", "transport", "colour", "of"]
        .into_iter()
        .filter_map(|name| Some((name, request.query(name)?)))
        .collect();
    Ok(ack.send(&json!({ "auth": *auth, "query": query, "header": request.header("x-from-test") }))?)
}

async fn whereabouts(socket: Socket, ack: Ack, bed: State<Bed>) -> Handled {
    let place = json!({ "namespace": socket.namespace(), "node": bed.node, "recovered": socket.recovered() });
    Ok(ack.send(&place)?)
}

// --- rooms and broadcasts ------------------------------------------------------------------------

async fn join(socket: Socket, Data(room): Data<String>, ack: Ack) -> Handled {
    socket.join(room);
    Ok(ack.send(&())?)
}

async fn leave(socket: Socket, Data(room): Data<String>, ack: Ack) -> Handled {
    socket.leave(room);
    Ok(ack.send(&())?)
}

async fn rooms(socket: Socket, ack: Ack) -> Handled {
    let mut rooms: Vec<_> = socket.rooms().iter().map(ToString::to_string).collect();
    rooms.push(socket.id().to_string());
    rooms.sort();
    Ok(ack.send(&(rooms,))?)
}

async fn set_data(socket: Socket, Data(data): Data<serde_json::Map<String, Value>>, ack: Ack) -> Handled {
    let mut kept = socket.data();
    for (key, value) in data {
        kept[key] = value;
    }
    socket.set_data(&kept)?;
    Ok(ack.send(&())?)
}

async fn get_data(socket: Socket, ack: Ack) -> Handled {
    Ok(ack.send(&(socket.data(),))?)
}

/// An event of the arguments after the first, with all their attachments.
fn inner_event(event: &Payload) -> Result<Payload, Box<dyn Error>> {
    let arguments: Vec<&RawValue> = serde_json::from_str(event.json())?;
    let inner = serde_json::to_string(arguments.get(2..).ok_or("no event to emit")?)?;
    Ok(Payload::from_parts(ByteString::from(inner), event.attachments().to_vec())?)
}

async fn emit(socket: Socket, Args(event): Args, Data((audience,)): Data<(Audience,)>, ack: Ack) -> Handled {
    audience.of(&socket).emit_payload(inner_event(&event)?);
    Ok(ack.send(&())?)
}

async fn emit_with_ack(
    socket: Socket,
    Data((audience, timeout, event, argument)): Data<(Audience, u64, String, Any)>,
    ack: Ack,
) -> Handled {
    let emitter = audience.of(&socket).timeout(Duration::from_millis(timeout));
    let (error, answers) = match emitter.emit_with_acks(&event, &(argument,)).await {
        Ok(answers) => (Value::Null, answers),
        Err(BroadcastAckError::Incomplete(some)) => ("timeout".into(), some.answers),
        Err(error) => return Err(error.into()),
    };
    let responses = answers.iter().map(Payload::decode).collect::<Result<_, _>>()?;
    let told = vec![("error".to_owned(), Any::Json(error)), ("responses".to_owned(), Any::List(responses))];
    Ok(ack.send(&(Any::Object(told),))?)
}

// --- the whole cluster ---------------------------------------------------------------------------

async fn fetch(socket: Socket, Data((audience,)): Data<(Audience,)>, ack: Ack) -> Handled {
    let sockets = audience.of(&socket).fetch_sockets().await?;
    let told: Vec<_> = sockets
        .into_iter()
        .map(|mut socket| {
            socket.rooms.sort();
            let colour = &socket.handshake["query"]["colour"];
            json!({ "id": socket.id, "rooms": socket.rooms, "data": socket.data, "colour": colour })
        })
        .collect();
    Ok(ack.send(&(told,))?)
}

async fn sockets_join(socket: Socket, Data((audience, rooms)): Data<(Audience, Vec<String>)>, ack: Ack) -> Handled {
    let emitter = audience.of(&socket);
    for room in rooms {
        emitter.sockets_join(room);
    }
    Ok(ack.send(&())?)
}

async fn sockets_leave(socket: Socket, Data((audience, rooms)): Data<(Audience, Vec<String>)>, ack: Ack) -> Handled {
    let emitter = audience.of(&socket);
    for room in rooms {
        emitter.sockets_leave(room);
    }
    Ok(ack.send(&())?)
}

async fn sockets_disconnect(socket: Socket, Data((audience, close)): Data<(Audience, bool)>, ack: Ack) -> Handled {
    audience.of(&socket).disconnect_sockets(close);
    Ok(ack.send(&())?)
}

async fn tell_nodes(socket: Socket, Data((argument,)): Data<(Any,)>, ack: Ack) -> Handled {
    socket.everyone().server_side_emit("news", &(argument,))?;
    Ok(ack.send(&())?)
}

async fn told(Data((argument,)): Data<(Any,)>, bed: State<Bed>) {
    locked(&bed.news).push(argument);
}

async fn news(ack: Ack, bed: State<Bed>) -> Handled {
    let news = locked(&bed.news).clone();
    Ok(ack.send(&(Any::List(news),))?)
}

async fn ask_nodes(socket: Socket, Data(question): Data<String>, ack: Ack) -> Handled {
    let told = match socket.everyone().server_side_emit_with_acks("who", &question).await {
        Ok(answers) => {
            let answers = answers.iter().map(Payload::decode).collect::<Result<Vec<String>, _>>()?;
            json!({ "answers": answers })
        }
        Err(_) => json!({ "error": "timeout", "answers": [] }),
    };
    Ok(ack.send(&told)?)
}

async fn who(Data(question): Data<String>, ack: Ack, bed: State<Bed>) -> Handled {
    Ok(ack.send(&format!("{}: {question}", bed.node))?)
}

async fn count_nodes(socket: Socket, ack: Ack) -> Handled {
    Ok(ack.send(&socket.everyone().server_count().await?)?)
}

// --- ends ----------------------------------------------------------------------------------------

async fn reason(Data(id): Data<String>, ack: Ack, bed: State<Bed>) -> Handled {
    let reason = locked(&bed.reasons).get(&id).map(|reason| reason.as_str());
    Ok(ack.send(&(reason,))?)
}

async fn disconnect_me(socket: Socket, Data(close): Data<bool>) {
    socket.disconnect(close);
}

fn serve(namespace: Namespace) -> Namespace {
    namespace
        .middleware(admit)
        .on_connect(connected)
        .on_disconnect(gone)
        .on("echo", echo)
        .on("back", back)
        .on("ask-me", ask_me)
        .on("burst", burst)
        .on("drip", drip)
        .on("number", number)
        .on("numbers", numbers)
        .on("interleave", interleave)
        .on("flaky", flaky)
        .on("handshake", handshake)
        .on("where", whereabouts)
        .on("join", join)
        .on("leave", leave)
        .on("rooms", rooms)
        .on("set-data", set_data)
        .on("get-data", get_data)
        .on("emit", emit)
        .on("emit-with-ack", emit_with_ack)
        .on("fetch", fetch)
        .on("sockets-join", sockets_join)
        .on("sockets-leave", sockets_leave)
        .on("sockets-disconnect", sockets_disconnect)
        .on("tell-nodes", tell_nodes)
        .on("news", news)
        .on("ask-nodes", ask_nodes)
        .on("count-nodes", count_nodes)
        .on("reason", reason)
        .on("disconnect-me", disconnect_me)
        .on_server_event("news", told)
        .on_server_event("who", who)
}

fn is_tenant(name: &str) -> bool {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.strip_prefix("/tenant-").is_some_and(|tenant| !tenant.is_empty() && tenant.chars().all(word))
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn milliseconds(name: &str, unless_set: u64) -> Duration {
    Duration::from_millis(setting(name).and_then(|value| value.parse().ok()).unwrap_or(unless_set))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    let port = setting("PORT").and_then(|port| port.parse().ok()).unwrap_or(3000);
    let (ping_interval, ping_timeout) = (milliseconds("PING_INTERVAL", 300), milliseconds("PING_TIMEOUT", 2000));
    let recovery = RecoveryOptions { heartbeat: ping_interval + ping_timeout, ..RecoveryOptions::default() };
    let recovers = setting("RECOVERY").is_some_and(|value| value == "1");
    let mut builder = SocketIo::builder()
        .ping_interval(ping_interval)
        .ping_timeout(ping_timeout)
        .max_payload(1_000_000)
        .connect_timeout(Duration::from_secs(5))
        .cors(Cors::any())
        .state(Bed { node: setting("NODE_NAME").unwrap_or_else(|| "one".to_owned()), ..Bed::default() });
    for name in ["/", "/chat", "/admin"] {
        builder = builder.namespace(serve(Namespace::new(name)));
    }
    builder = builder.namespace(serve(Namespace::dynamic(is_tenant)));
    if let Some(redis) = setting("REDIS_URL") {
        let stream = setting("STREAM").unwrap_or_else(|| "socket.io".to_owned());
        let mut adapter = RedisStreams::builder(redis)
            .stream_name(&*stream)
            .channel_prefix(&*stream)
            .session_key_prefix(format!("{stream}:session:"));
        if recovers {
            adapter = adapter.recovery(recovery);
        }
        builder = builder.adapter(adapter.build()?);
    } else if recovers {
        builder = builder.adapter(LocalAdapter::with_recovery(recovery));
    }
    let io = builder.build();
    let mounted = io.clone();
    let server = HttpServer::new(move || App::new().configure(|config| mounted.configure(config)))
        // More than one, however small the machine: a polling request and its upgrade meet different workers.
        .workers(3)
        .h1_allow_half_closed(false)
        .on_connect(socketio::on_connect)
        .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await?;
    io.close().await;
    Ok(())
}
