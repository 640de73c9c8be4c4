//! What is seen of the adapter on the wire, byte for byte: the same as of `@socket.io/redis-streams-adapter` 0.3.1.
//!
//! The expected messages of the original were recorded from socket.io 4.8.4 with that adapter.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use redis::cmd;
use rmpv::Value;
use serde_json::json as value;
use socketio::Offset;
use socketio::adapter::{AckEvent, Adapter as _, Broadcast, SocketInfo, Target};

use crate::contract_recovery::session;
use crate::node::{Asked, DEADLINE, json, lock, numbered, rooms, to};
use crate::redis::{Member, Names, eventually};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Another node's name.
const PEER: &str = "00112233aabbccdd";

type Fields = Vec<(String, String)>;

fn entries(names: &Names) -> Vec<Fields> {
    let entries: Vec<(String, Fields)> = names.command(&["XRANGE", &names.stream(), "-", "+"]);
    entries.into_iter().map(|(_, fields)| fields).collect()
}

fn add(names: &Names, fields: &[(&str, &str)]) -> Offset {
    let stream = names.stream();
    let mut words = vec!["XADD", stream.as_str(), "*"];
    words.extend(fields.iter().flat_map(|(name, value)| [name, value]));
    names.command::<String>(&words).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn entries_on_redis_have_the_fields_of_the_original_and_one_more() {
    let names = Names::new();
    let a = names.member().await;
    let _: () = names.command(&["DEL", &names.stream()]);
    let target = Target { rooms: rooms(&["r"]), except: rooms(&["x"]) };
    a.adapter.broadcast("/", Broadcast { payload: json(r#"["hey",{"é":1}]"#), target: target.clone(), volatile: true });
    a.adapter.join("/other", target.clone(), rooms(&["q"]));
    a.adapter.leave("/", target.clone(), rooms(&["q"]));
    a.adapter.disconnect("/", target, false);
    eventually("all are there", || entries(&names).len() == 4).await;
    let expected = [
        (
            "/",
            "3",
            r#"{"packet":{"type":2,"data":["hey",{"é":1}]},"opts":{"rooms":["r"],"except":["x"],"flags":{"volatile":true}}}"#,
        ),
        ("/other", "4", r#"{"opts":{"rooms":["r"],"except":["x"],"flags":{}},"rooms":["q"]}"#),
        ("/", "5", r#"{"opts":{"rooms":["r"],"except":["x"],"flags":{}},"rooms":["q"]}"#),
        ("/", "6", r#"{"opts":{"rooms":["r"],"except":["x"],"flags":{}},"close":false}"#),
    ];
    let mut uids = BTreeMap::new();
    for (fields, (nsp, kind, data)) in entries(&names).into_iter().zip(expected) {
        let order: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, ["uid", "nsp", "type", "data", "seq"]);
        let values: Vec<&str> = fields.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values[1..4], [nsp, kind, data]);
        assert!(values[0].len() == 16 && values[0].bytes().all(|digit| digit.is_ascii_hexdigit()), "{values:?}");
        assert_eq!(uids.entry(nsp).or_insert_with(|| values[0].to_owned()), values[0], "one name in each namespace");
    }
    assert_ne!(uids["/"], uids["/other"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn entries_of_a_node_server_on_redis_are_done_and_what_means_nothing_is_passed_over() {
    let names = Names::new();
    let a = names.member().await;
    let empty = r#"{"opts":{"rooms":[],"except":[],"flags":{}}}"#;
    let event = r#"{"packet":{"type":2,"data":["e",{"a":1}],"nsp":"/"},"opts":{"rooms":["r"],"except":[],"flags":{"compress":false}}}"#;
    // {packet: {type: 2, data: ["bin", Buffer.from([1, 2, 255])]}, opts: {rooms: ["a", '"é"'], except: ["x"], flags: {}}}
    let binary = "gqZwYWNrZXSCpHR5cGUCpGRhdGGSo2JpbsQDAQL/pG9wdHODpXJvb21zkqFhpCLDqSKmZXhjZXB0kaF4pWZsYWdzgA==";
    add(&names, &[("uid", PEER), ("nsp", "/"), ("type", "1")]);
    add(&names, &[("uid", PEER), ("nsp", "/"), ("type", "13"), ("data", empty)]);
    add(&names, &[("uid", PEER), ("nsp", "/"), ("type", "99"), ("data", "?")]);
    add(&names, &[("something", "else")]);
    add(&names, &[("uid", PEER), ("nsp", "/nobody-here"), ("type", "3"), ("data", event)]);
    let first = add(&names, &[("uid", PEER), ("nsp", "/"), ("type", "3"), ("data", event)]);
    for broken in ["", "{", "[]", r#"{"packet":{"type":2,"data":7},"opts":{}}"#, "AAAA", "\u{1F600}"] {
        add(&names, &[("uid", PEER), ("nsp", "/"), ("type", "3"), ("data", broken)]);
    }
    let second = add(&names, &[("nsp", "/"), ("data", binary), ("type", "3"), ("uid", "emitter"), ("more", "x")]);
    let asked = a.node.until_asked(2).await;
    let Asked::Deliver { broadcast, offset, .. } = &asked[0] else { panic!("{asked:?}") };
    assert_eq!((broadcast.payload.json(), *offset), (r#"["e",{"a":1}]"#, Some(first)));
    assert_eq!((&broadcast.target, broadcast.volatile), (&to(&["r"]), false));
    let Asked::Deliver { broadcast, offset, .. } = &asked[1] else { panic!("{asked:?}") };
    assert_eq!((broadcast.payload.json(), *offset), (r#"["bin",{"_placeholder":true,"num":0}]"#, Some(second)));
    assert_eq!(broadcast.payload.attachments(), [&b"\x01\x02\xff"[..]]);
    assert_eq!(a.adapter.stats().malformed, 6);
    assert_eq!(a.node.asked().len(), 2);
}

/// Another node, by hand.
struct Peer {
    names: Names,
    subscriber: redis::aio::PubSub,
}

impl Peer {
    async fn new(names: Names) -> Self {
        let client = redis::Client::open(names.url.as_str()).unwrap();
        let mut subscriber = client.get_async_pubsub().await.unwrap();
        let channels = [format!("{}#/#", names.name), format!("{}#/#{PEER}#", names.name)];
        subscriber.subscribe(&channels).await.unwrap();
        Self { names, subscriber }
    }

    /// The next message and its channel.
    async fn hear(&mut self) -> (String, Value) {
        let message = tokio::time::timeout(DEADLINE, self.subscriber.on_message().next()).await.unwrap().unwrap();
        let bytes = message.get_payload_bytes();
        (message.get_channel_name().to_owned(), rmpv::decode::read_value(&mut &bytes[..]).unwrap())
    }

    fn say(&self, channel: &str, kind: u64, data: Value) {
        let message = map(&[("type", kind.into()), ("data", data), ("uid", PEER.into()), ("nsp", "/".into())]);
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &message).unwrap();
        let _: u64 = cmd("PUBLISH").arg(channel).arg(bytes).query(&mut self.names.connection()).unwrap();
    }

    fn public(&self) -> String {
        format!("{}#/#", self.names.name)
    }
}

fn map(fields: &[(&str, Value)]) -> Value {
    Value::Map(fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

fn list(values: &[Value]) -> Value {
    Value::Array(values.to_vec())
}

fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    &value.as_map().unwrap().iter().find(|(key, _)| key.as_str() == Some(name)).unwrap().1
}

/// Names of the fields in their order.
fn names_of(value: &Value) -> Vec<&str> {
    value.as_map().unwrap().iter().map(|(key, _)| key.as_str().unwrap()).collect()
}

async fn with_peer() -> (Member, Peer) {
    let names = Names::new();
    let member = names.member().await;
    (member, Peer::new(names).await)
}

fn private(peer: &Peer, call: &Value) -> String {
    format!("{}#/#{}#", peer.names.name, field(call, "uid").as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_node_server_on_redis_is_asked_for_its_sockets_and_its_answer_is_understood() {
    let (a, mut peer) = with_peer().await;
    let target = Target { rooms: rooms(&["r"]), except: rooms(&["x"]) };
    let found = tokio::spawn(a.adapter.fetch("/", target, TIMEOUT));
    let (channel, call) = peer.hear().await;
    assert_eq!(channel, peer.public());
    assert_eq!(names_of(&call), ["type", "data", "uid", "nsp"]);
    assert_eq!((field(&call, "type"), field(&call, "nsp")), (&7.into(), &"/".into()));
    let data = field(&call, "data");
    assert_eq!(names_of(data), ["opts", "requestId"]);
    let opts = [("rooms", list(&["r".into()])), ("except", list(&["x".into()])), ("flags", map(&[]))];
    assert_eq!(field(data, "opts"), &map(&opts));
    let request = field(data, "requestId").clone();
    assert_eq!(request.as_str().unwrap().len(), 16);
    let handshake = map(&[("issued", 1.5.into()), ("secure", false.into()), ("auth", map(&[("token", "t".into())]))]);
    let socket = map(&[
        ("id", "s9".into()),
        ("handshake", handshake),
        ("rooms", list(&["s9".into(), "r".into()])),
        ("data", map(&[("blob", Value::Binary(vec![7]))])),
    ]);
    peer.say(&private(&peer, &call), 8, map(&[("requestId", request), ("sockets", list(&[socket]))]));
    let expected = SocketInfo {
        id: "s9".to_owned(),
        handshake: value!({"issued": 1.5, "secure": false, "auth": {"token": "t"}}),
        rooms: rooms(&["s9", "r"]),
        data: value!({"blob": {"type": "Buffer", "data": [7]}}),
    };
    assert_eq!(found.await.unwrap(), Ok(vec![expected]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_node_server_on_redis_gets_the_answers_it_asks_for() {
    let (a, mut peer) = with_peer().await;
    let socket = SocketInfo {
        id: "s1".to_owned(),
        handshake: value!({"query": {"EIO": "4"}}),
        rooms: rooms(&["s1"]),
        data: value!({"n": 1}),
    };
    *lock(&a.node.sockets) = vec![socket];
    *lock(&a.node.reply) = Some(json(r#"["pong"]"#));
    *lock(&a.node.acks) = vec![json("[{\"ok\":true}]"), json("[]")];
    let opts =
        map(&[("rooms", list(&["r".into()])), ("except", list(&[])), ("flags", map(&[("timeout", 3000.into())]))]);

    peer.say(&peer.public(), 7, map(&[("opts", opts.clone()), ("requestId", "q1".into())]));
    let (_, answer) = heard(&mut peer).await;
    let expected_socket = map(&[
        ("id", "s1".into()),
        ("handshake", map(&[("query", map(&[("EIO", "4".into())]))])),
        ("rooms", list(&["s1".into()])),
        ("data", map(&[("n", 1.into())])),
    ]);
    assert_eq!((field(&answer, "type"), field(&answer, "nsp")), (&8.into(), &"/".into()));
    let data = map(&[("requestId", "q1".into()), ("sockets", list(&[expected_socket]))]);
    assert_eq!(field(&answer, "data"), &data);

    let packet = list(&["ping".into(), Value::Binary(vec![1])]);
    peer.say(&peer.public(), 9, map(&[("requestId", "q2".into()), ("packet", packet.clone())]));
    let (_, answer) = heard(&mut peer).await;
    assert_eq!(field(&answer, "type"), &10.into());
    assert_eq!(field(&answer, "data"), &map(&[("requestId", "q2".into()), ("packet", "pong".into())]));
    peer.say(&peer.public(), 9, map(&[("packet", packet)]));

    let packet = map(&[("type", 2.into()), ("data", list(&["ask".into()]))]);
    let data = [("packet", packet), ("requestId", "q3".into()), ("opts", opts)];
    peer.say(&peer.public(), 3, map(&data));
    let mut answers = Vec::new();
    for _ in 0..3 {
        let (_, answer) = heard(&mut peer).await;
        answers.push((field(&answer, "type").clone(), field(&answer, "data").clone()));
    }
    let request = || ("requestId", "q3".into());
    let expected = [
        (11.into(), map(&[request(), ("clientCount", 2.into())])),
        (12.into(), map(&[request(), ("packet", map(&[("ok", true.into())]))])),
        (12.into(), map(&[request(), ("packet", Value::Nil), ("args", list(&[]))])),
    ];
    assert_eq!(answers, expected);
    let asked = a.node.until("both server events", |asked| asked.iter().filter(|asked| {
        matches!(asked, Asked::ServerEvent { payload, .. } if payload.json() == r#"["ping",{"_placeholder":true,"num":0}]"#)
    }).count() == 2).await;
    let timeouts = asked
        .iter()
        .filter(|asked| matches!(asked, Asked::DeliverWithAcks { timeout, .. } if *timeout == Duration::from_secs(3)));
    assert_eq!(timeouts.count(), 1);
}

/// The next message to the peer alone.
async fn heard(peer: &mut Peer) -> (String, Value) {
    let own = format!("{}#/#{PEER}#", peer.names.name);
    loop {
        let (channel, message) = peer.hear().await;
        if channel == own {
            return (channel, message);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_node_server_on_redis_is_asked_for_acks_and_server_events() {
    let (a, mut peer) = with_peer().await;
    let mut acks = a.adapter.broadcast_with_acks("/", numbered(5), TIMEOUT);
    let (_, call) = peer.hear().await;
    let data = field(&call, "data");
    assert_eq!((field(&call, "type"), names_of(data)), (&3.into(), vec!["packet", "requestId", "opts"]));
    assert_eq!(field(data, "packet"), &map(&[("type", 2.into()), ("data", list(&["n".into(), 5.into()]))]));
    assert_eq!(field(field(data, "opts"), "flags"), &map(&[("timeout", 10_000.into())]));
    let request = || ("requestId", field(data, "requestId").clone());
    let to = private(&peer, &call);
    peer.say(&to, 11, map(&[request(), ("clientCount", 1.into())]));
    peer.say(&to, 12, map(&[request(), ("packet", map(&[("x", Value::Binary(vec![9]))]))]));
    let mut events = Vec::new();
    while events.len() < 4 {
        events.push(tokio::time::timeout(DEADLINE, acks.recv()).await.unwrap().unwrap());
    }
    for event in [AckEvent::Servers(2), AckEvent::Clients(0), AckEvent::Clients(1)] {
        assert!(events.contains(&event), "{events:?}");
    }
    let Some(AckEvent::Ack(answer)) = events.last() else { panic!("{events:?}") };
    assert_eq!(answer.json(), r#"[{"x":{"_placeholder":true,"num":0}}]"#);

    let answers = tokio::spawn(a.adapter.server_side_emit_with_acks("/", json(r#"["e",1]"#), TIMEOUT));
    let (_, call) = peer.hear().await;
    let data = field(&call, "data");
    assert_eq!((field(&call, "type"), names_of(data)), (&9.into(), vec!["requestId", "packet"]));
    assert_eq!(field(data, "packet"), &list(&["e".into(), 1.into()]));
    peer.say(&to, 10, map(&[("requestId", field(data, "requestId").clone()), ("packet", "yes".into())]));
    assert_eq!(answers.await.unwrap(), Ok(vec![json(r#"["yes"]"#)]));

    a.adapter.server_side_emit("/", json(r#"["e"]"#));
    let (_, call) = peer.hear().await;
    assert_eq!(field(&call, "data"), &map(&[("packet", list(&["e".into()]))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn nonsense_on_the_channels_of_redis_is_counted_and_passed_over() {
    let (a, peer) = with_peer().await;
    for bytes in [&b""[..], b"\xc1", b"{}", b"\x81\xa4type\x07"] {
        let _: u64 = cmd("PUBLISH").arg(peer.public()).arg(bytes).query(&mut peer.names.connection()).unwrap();
    }
    peer.say(&peer.public(), 77, Value::Nil);
    peer.say(&peer.public(), 7, map(&[("requestId", "q".into())]));
    peer.say(&peer.public(), 9, map(&[("packet", list(&["ping".into()]))]));
    a.node.until("what came after", |asked| asked.iter().any(|asked| matches!(asked, Asked::ServerEvent { .. }))).await;
    assert_eq!(a.adapter.stats().malformed, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_node_server_finds_in_a_session_on_redis_what_it_needs() {
    let names = Names::new();
    let a = names.member().await;
    let sessions = a.adapter.sessions().unwrap();
    sessions.begin("/", session("p", &*sessions)).await.unwrap();
    let kept: String = names.command(&["GET", &names.session_key("p")]);
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, kept).unwrap();
    let kept = rmpv::decode::read_value(&mut &bytes[..]).unwrap();
    assert_eq!((field(&kept, "sid"), field(&kept, "pid")), (&"sid-of-p".into(), &"p".into()));
    assert_eq!(field(&kept, "rooms"), &list(&["sid-of-p".into(), "a".into()]));
    assert_eq!(field(field(&kept, "data"), "name"), &"ada".into());
}
