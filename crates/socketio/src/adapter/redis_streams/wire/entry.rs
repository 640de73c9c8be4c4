//! Entries of a stream: what all nodes do in one order.

use bytes::Bytes;
use bytestring::ByteString;
use rmpv::Value;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{Malformed, binary, kind};
use crate::{
    Payload, Room,
    adapter::{Broadcast, Target},
};

/// Something for the sockets of all nodes.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Order {
    Broadcast(Broadcast),
    Join { target: Target, rooms: Vec<Room> },
    Leave { target: Target, rooms: Vec<Room> },
    Disconnect { target: Target, close: bool },
}

impl Order {
    /// The field `type`.
    pub(in super::super) fn kind(&self) -> u64 {
        match self {
            Self::Broadcast(_) => kind::BROADCAST,
            Self::Join { .. } => kind::JOIN,
            Self::Leave { .. } => kind::LEAVE,
            Self::Disconnect { .. } => kind::DISCONNECT,
        }
    }

    /// About how much it takes, in memory and on the wire.
    pub(in super::super) fn size_bytes(&self) -> usize {
        let length = |rooms: &[Room]| rooms.iter().map(|room| room.len() + size_of::<Room>()).sum::<usize>();
        let (target, rest) = match self {
            Self::Broadcast(Broadcast { payload, target, .. }) => {
                (target, payload.json().len() + payload.attachments().iter().map(Bytes::len).sum::<usize>())
            }
            Self::Join { target, rooms } | Self::Leave { target, rooms } => (target, length(rooms)),
            Self::Disconnect { target, .. } => (target, 0),
        };
        size_of::<Self>() + length(&target.rooms) + length(&target.except) + rest
    }

    /// The field `data`. The event's JSON goes in as it is.
    pub(in super::super) fn encode(&self, only_plaintext: bool) -> Result<String, Malformed> {
        let mut json = String::with_capacity(self.size_bytes() + 96);
        match self {
            Self::Broadcast(broadcast) if !broadcast.payload.attachments().is_empty() => {
                let value = broadcast_value(broadcast)?;
                return Ok(if only_plaintext { binary::to_plain_json(value) } else { binary::encode_base64(&value) });
            }
            Self::Broadcast(Broadcast { payload, target, volatile }) => {
                json.push_str(r#"{"packet":{"type":2,"data":"#);
                json.push_str(payload.json());
                json.push_str("},");
                push_options(&mut json, target, *volatile);
            }
            Self::Join { target, rooms } | Self::Leave { target, rooms } => {
                json.push('{');
                push_options(&mut json, target, false);
                json.push_str(r#","rooms":"#);
                push_rooms(&mut json, rooms);
            }
            Self::Disconnect { target, close } => {
                json.push('{');
                push_options(&mut json, target, false);
                json.push_str(if *close { r#","close":true"# } else { r#","close":false"# });
            }
        }
        json.push('}');
        Ok(json)
    }

    /// What the fields `type` and `data` say; none if the type is not one of these.
    pub(in super::super) fn decode(kind: &[u8], data: Vec<u8>) -> Result<Option<Self>, Malformed> {
        let kind = std::str::from_utf8(kind).ok().and_then(|digits| digits.parse().ok());
        let kind = kind.ok_or(Malformed::Field("type"))?;
        if !(kind::BROADCAST..=kind::DISCONNECT).contains(&kind) {
            return Ok(None);
        }
        if data.first() == Some(&b'{') {
            Self::from_json(kind, data).map(Some)
        } else {
            Self::from_value(kind, binary::decode_base64(&data)?).map(Some)
        }
    }

    fn from_json(kind: u64, data: Vec<u8>) -> Result<Self, Malformed> {
        let text = ByteString::try_from(Bytes::from(data)).map_err(|_| Malformed::Utf8)?;
        Ok(match kind {
            kind::BROADCAST => {
                let BroadcastData { packet, opts } = serde_json::from_str(&text)?;
                let arguments = packet.data.get();
                if !is_event(packet.kind) || packet.id.is_some() {
                    return Err(Malformed::Field("packet"));
                }
                Self::Broadcast(Broadcast {
                    payload: Payload::from_parts(text.slice_ref(arguments), Vec::new())?,
                    volatile: opts.flags.volatile.is_some(),
                    target: opts.target(),
                })
            }
            kind::DISCONNECT => {
                let DisconnectData { opts, close } = serde_json::from_str(&text)?;
                Self::Disconnect { target: opts.target(), close }
            }
            kind => {
                let RoomsData { opts, rooms } = serde_json::from_str(&text)?;
                let target = opts.target();
                if kind == kind::JOIN { Self::Join { target, rooms } } else { Self::Leave { target, rooms } }
            }
        })
    }

    fn from_value(kind: u64, mut data: Value) -> Result<Self, Malformed> {
        let opts = binary::field(&data, "opts").ok_or(Malformed::Field("opts"))?;
        let target = target_of(opts)?;
        Ok(match kind {
            kind::BROADCAST => {
                let volatile = flag(opts, "volatile").is_some();
                Self::Broadcast(Broadcast { payload: payload_of(&mut data)?, target, volatile })
            }
            kind::DISCONNECT => {
                let close = binary::field(&data, "close").and_then(Value::as_bool).unwrap_or_default();
                Self::Disconnect { target, close }
            }
            kind => {
                let rooms = rooms_of(&data, "rooms")?;
                if kind == kind::JOIN { Self::Join { target, rooms } } else { Self::Leave { target, rooms } }
            }
        })
    }
}

/// `BINARY_EVENT` is what an event with attachments would be on a client's wire; between nodes it is not used.
fn is_event(kind: u64) -> bool {
    const EVENT: u64 = 2;
    const BINARY_EVENT: u64 = 5;
    matches!(kind, EVENT | BINARY_EVENT)
}

#[derive(Deserialize)]
struct BroadcastData<'a> {
    #[serde(borrow)]
    packet: Packet<'a>,
    opts: Opts,
}

#[derive(Deserialize)]
struct Packet<'a> {
    #[serde(rename = "type")]
    kind: u64,
    id: Option<IgnoredAny>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct RoomsData {
    opts: Opts,
    rooms: Vec<Room>,
}

#[derive(Deserialize)]
struct DisconnectData {
    opts: Opts,
    #[serde(default)]
    close: bool,
}

#[derive(Deserialize)]
struct Opts {
    #[serde(default)]
    rooms: Vec<Room>,
    #[serde(default)]
    except: Vec<Room>,
    #[serde(default)]
    flags: Flags,
}

impl Opts {
    fn target(self) -> Target {
        Target { rooms: self.rooms, except: self.except }
    }
}

#[derive(Default, Deserialize)]
struct Flags {
    volatile: Option<IgnoredAny>,
}

fn push_options(json: &mut String, target: &Target, volatile: bool) {
    json.push_str(r#""opts":{"rooms":"#);
    push_rooms(json, &target.rooms);
    json.push_str(r#","except":"#);
    push_rooms(json, &target.except);
    json.push_str(if volatile { r#","flags":{"volatile":true}}"# } else { r#","flags":{}}"# });
}

fn push_rooms(json: &mut String, rooms: &[Room]) {
    json.push('[');
    for (n, room) in rooms.iter().enumerate() {
        if n > 0 {
            json.push(',');
        }
        binary::push_string(json, room);
    }
    json.push(']');
}

fn broadcast_value(broadcast: &Broadcast) -> Result<Value, Malformed> {
    let flags = if broadcast.volatile { vec![("volatile".into(), true.into())] } else { Vec::new() };
    Ok(binary::map([
        ("packet", packet_value(&broadcast.payload)?),
        ("opts", options_value(&broadcast.target, Value::Map(flags))),
    ]))
}

/// The event as the original's packet.
pub(super) fn packet_value(payload: &Payload) -> Result<Value, Malformed> {
    Ok(binary::map([("type", 2.into()), ("data", binary::from_payload(payload)?)]))
}

/// The target as the original's options.
pub(super) fn options_value(target: &Target, flags: Value) -> Value {
    let names = |rooms: &[Room]| Value::Array(rooms.iter().map(|room| (**room).into()).collect());
    binary::map([("rooms", names(&target.rooms)), ("except", names(&target.except)), ("flags", flags)])
}

/// The target that the original's options mean.
pub(super) fn target_of(opts: &Value) -> Result<Target, Malformed> {
    Ok(Target { rooms: rooms_of(opts, "rooms")?, except: rooms_of(opts, "except")? })
}

/// What stands under this name among the options' flags, unless it is null.
pub(super) fn flag<'a>(opts: &'a Value, name: &str) -> Option<&'a Value> {
    binary::field(binary::field(opts, "flags")?, name).filter(|value| !value.is_nil())
}

/// Takes the event out of the data of a broadcast.
pub(super) fn payload_of(data: &mut Value) -> Result<Payload, Malformed> {
    let packet = take(data, "packet").ok_or(Malformed::Field("packet"))?;
    if !binary::field(&packet, "type").and_then(Value::as_u64).is_some_and(is_event) {
        return Err(Malformed::Field("packet"));
    }
    let mut packet = packet;
    binary::to_payload(take(&mut packet, "data").ok_or(Malformed::Field("data"))?)
}

/// Takes the field out of a map.
pub(super) fn take(value: &mut Value, name: &str) -> Option<Value> {
    let Value::Map(fields) = value else { return None };
    let (_, value) = fields.iter_mut().find(|(key, _)| key.as_str() == Some(name))?;
    Some(std::mem::replace(value, Value::Nil))
}

/// The names under this field; none if it is missing.
pub(super) fn rooms_of(value: &Value, name: &'static str) -> Result<Vec<Room>, Malformed> {
    let Some(rooms) = binary::field(value, name).filter(|rooms| !rooms.is_nil()) else { return Ok(Vec::new()) };
    let rooms = rooms.as_array().ok_or(Malformed::Field(name))?;
    rooms.iter().map(|room| room.as_str().map(Room::from).ok_or(Malformed::Field(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(names: &[&str]) -> Vec<Room> {
        names.iter().map(|&name| name.into()).collect()
    }

    fn broadcast(json: &str, attachments: &[&'static [u8]], volatile: bool) -> Order {
        let attachments = attachments.iter().copied().map(Bytes::from_static).collect();
        let target = Target { rooms: rooms(&["a", "\"é\""]), except: rooms(&["x"]) };
        Order::Broadcast(Broadcast {
            payload: Payload::from_parts(json.to_owned().into(), attachments).unwrap(),
            target,
            volatile,
        })
    }

    /// What the original writes for the same calls: recorded from socket.io 4.8.4 on @socket.io/redis-streams-adapter
    /// 0.3.1 by `XRANGE`.
    fn golden() -> Vec<(Order, u64, &'static str)> {
        let target = Target { rooms: rooms(&["a"]), except: Vec::new() };
        vec![
            (
                broadcast(r#"["hey",1,{"b":[null,true]}]"#, &[], false),
                3,
                r#"{"packet":{"type":2,"data":["hey",1,{"b":[null,true]}]},"opts":{"rooms":["a","\"é\""],"except":["x"],"flags":{}}}"#,
            ),
            (
                broadcast(r#"["hey"]"#, &[], true),
                3,
                r#"{"packet":{"type":2,"data":["hey"]},"opts":{"rooms":["a","\"é\""],"except":["x"],"flags":{"volatile":true}}}"#,
            ),
            (
                broadcast(r#"["bin",{"_placeholder":true,"num":0}]"#, &[b"\x01\x02\xff"], false),
                3,
                "gqZwYWNrZXSCpHR5cGUCpGRhdGGSo2JpbsQDAQL/pG9wdHODpXJvb21zkqFhpCLDqSKmZXhjZXB0kaF4pWZsYWdzgA==",
            ),
            (
                Order::Join { target: target.clone(), rooms: rooms(&["b", "c"]) },
                4,
                r#"{"opts":{"rooms":["a"],"except":[],"flags":{}},"rooms":["b","c"]}"#,
            ),
            (
                Order::Leave { target: target.clone(), rooms: rooms(&["b"]) },
                5,
                r#"{"opts":{"rooms":["a"],"except":[],"flags":{}},"rooms":["b"]}"#,
            ),
            (
                Order::Disconnect { target, close: true },
                6,
                r#"{"opts":{"rooms":["a"],"except":[],"flags":{}},"close":true}"#,
            ),
        ]
    }

    #[test]
    fn entries_are_those_of_the_original() {
        for (order, kind, data) in golden() {
            assert_eq!((order.kind(), order.encode(false).unwrap().as_str()), (kind, data));
        }
    }

    #[test]
    fn entries_of_the_original_are_understood() {
        for (order, kind, data) in golden() {
            let decoded = Order::decode(kind.to_string().as_bytes(), data.as_bytes().to_vec()).unwrap();
            assert_eq!(decoded, Some(order));
        }
    }

    #[test]
    fn binary_data_can_be_sent_as_plain_text() {
        let text = broadcast(r#"["bin",{"_placeholder":true,"num":0}]"#, &[b"\x01"], false).encode(true).unwrap();
        assert!(text.starts_with(r#"{"packet":{"type":2,"data":["bin",{"type":"Buffer","data":[1]}]}"#), "{text}");
    }

    #[test]
    fn other_types_are_ignored() {
        for kind in ["1", "2", "7", "13", "999"] {
            assert_eq!(Order::decode(kind.as_bytes(), Vec::new()).unwrap(), None, "{kind}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let long = "[".repeat(100_000);
        for (kind, data) in [
            ("3", ""),
            ("x", "{}"),
            ("3", "{}"),
            ("3", "{"),
            ("3", "%%%"),
            ("3", "wA=="),
            ("3", r#"{"packet":{"type":2,"data":{}},"opts":{"rooms":[]}}"#),
            ("3", r#"{"packet":{"type":2,"data":[],"id":1},"opts":{"rooms":[]}}"#),
            ("3", r#"{"packet":{"type":1,"data":[]},"opts":{"rooms":[]}}"#),
            ("3", r#"{"packet":{"type":2,"data":[]},"opts":{"rooms":[1]}}"#),
            ("4", r#"{"opts":{"rooms":[]}}"#),
            ("3", &format!(r#"{{"packet":{{"type":2,"data":{long}"#)),
        ] {
            assert!(Order::decode(kind.as_bytes(), data.as_bytes().to_vec()).is_err(), "{kind} {data}");
        }
    }
}
