//! Messages between nodes that need no order: requests to all, answers to one.

use std::time::Duration;

use rmpv::Value;
use serde_json::Value as Json;

use super::{Malformed, binary, entry, kind};
use crate::{
    Payload,
    adapter::{Broadcast, SocketInfo, Target},
};

/// Where the asking node sets no time for acknowledgements.
const DEFAULT_ACK_TIMEOUT: Duration = Duration::from_mins(1);

/// A message and who sent it.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Call {
    /// The node in this namespace that sent it.
    pub(in super::super) uid: String,
    pub(in super::super) namespace: String,
    pub(in super::super) message: Message,
}

/// What it says.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Message {
    Broadcast { request: String, broadcast: Broadcast, timeout: Duration },
    Fetch { request: String, target: Target },
    ServerEmit { request: Option<String>, payload: Payload },
    FetchResponse { request: String, sockets: Vec<SocketInfo> },
    ServerEmitResponse { request: String, answer: Payload },
    BroadcastClients { request: String, count: usize },
    BroadcastAck { request: String, answer: Payload },
    Superseded { pid: String, epoch: u64 },
}

impl Call {
    pub(in super::super) fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let (kind, data) = self.message.encode()?;
        Ok(binary::encode(&binary::map([
            ("type", kind.into()),
            ("data", data),
            ("uid", self.uid.as_str().into()),
            ("nsp", self.namespace.as_str().into()),
        ])))
    }

    /// None if the type is not one of these.
    pub(in super::super) fn decode(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut call = binary::decode(bytes)?;
        let kind = binary::field(&call, "type").and_then(Value::as_u64).ok_or(Malformed::Field("type"))?;
        let (uid, namespace) = (text(&call, "uid")?, text(&call, "nsp")?);
        let data = entry::take(&mut call, "data").unwrap_or(Value::Nil);
        let message = Message::decode(kind, data)?;
        Ok(message.map(|message| Self { uid, namespace, message }))
    }
}

impl Message {
    fn encode(&self) -> Result<(u64, Value), Malformed> {
        Ok(match self {
            Self::Broadcast { request, broadcast, timeout } => {
                let mut flags = vec![("timeout".into(), (timeout.as_millis() as u64).into())];
                if broadcast.volatile {
                    flags.push(("volatile".into(), true.into()));
                }
                let data = [
                    ("packet", entry::packet_value(&broadcast.payload)?),
                    ("requestId", request.as_str().into()),
                    ("opts", entry::options_value(&broadcast.target, Value::Map(flags))),
                ];
                (kind::BROADCAST, binary::map(data))
            }
            Self::Fetch { request, target } => {
                let opts = entry::options_value(target, Value::Map(Vec::new()));
                (kind::FETCH, binary::map([("opts", opts), ("requestId", request.as_str().into())]))
            }
            Self::ServerEmit { request: Some(request), payload } => {
                let data = [("requestId", request.as_str().into()), ("packet", binary::from_payload(payload)?)];
                (kind::SERVER_EMIT, binary::map(data))
            }
            Self::ServerEmit { request: None, payload } => {
                (kind::SERVER_EMIT, binary::map([("packet", binary::from_payload(payload)?)]))
            }
            Self::FetchResponse { request, sockets } => {
                let sockets = sockets.iter().map(encode_socket).collect::<Result<_, _>>()?;
                let data = [("requestId", request.as_str().into()), ("sockets", Value::Array(sockets))];
                (kind::FETCH_RESPONSE, binary::map(data))
            }
            Self::ServerEmitResponse { request, answer } => {
                (kind::SERVER_EMIT_RESPONSE, encode_answer(request, answer)?)
            }
            Self::BroadcastClients { request, count } => {
                let data = [("requestId", request.as_str().into()), ("clientCount", (*count).into())];
                (kind::BROADCAST_CLIENTS, binary::map(data))
            }
            Self::BroadcastAck { request, answer } => (kind::BROADCAST_ACK, encode_answer(request, answer)?),
            Self::Superseded { pid, epoch } => {
                (kind::SUPERSEDED, binary::map([("pid", pid.as_str().into()), ("epoch", (*epoch).into())]))
            }
        })
    }

    fn decode(kind: u64, mut data: Value) -> Result<Option<Self>, Malformed> {
        let request = || text(&data, "requestId");
        Ok(Some(match kind {
            kind::BROADCAST => {
                let opts = binary::field(&data, "opts").ok_or(Malformed::Field("opts"))?;
                let (request, target) = (request()?, entry::target_of(opts)?);
                let volatile = entry::flag(opts, "volatile").is_some();
                let timeout = entry::flag(opts, "timeout").and_then(Value::as_u64).map(Duration::from_millis);
                let broadcast = Broadcast { payload: entry::payload_of(&mut data)?, target, volatile };
                Self::Broadcast { request, broadcast, timeout: timeout.unwrap_or(DEFAULT_ACK_TIMEOUT) }
            }
            kind::FETCH => {
                let opts = binary::field(&data, "opts").ok_or(Malformed::Field("opts"))?;
                Self::Fetch { request: request()?, target: entry::target_of(opts)? }
            }
            kind::SERVER_EMIT => {
                let request = request().ok();
                let payload = entry::take(&mut data, "packet").ok_or(Malformed::Field("packet"))?;
                Self::ServerEmit { request, payload: binary::to_payload(payload)? }
            }
            kind::FETCH_RESPONSE => {
                let sockets = binary::field(&data, "sockets").and_then(Value::as_array);
                let sockets = sockets.ok_or(Malformed::Field("sockets"))?;
                let sockets = sockets.iter().map(decode_socket).collect::<Result<_, _>>()?;
                Self::FetchResponse { request: request()?, sockets }
            }
            kind::SERVER_EMIT_RESPONSE => {
                Self::ServerEmitResponse { request: request()?, answer: decode_answer(&mut data)? }
            }
            kind::BROADCAST_CLIENTS => {
                let count = binary::field(&data, "clientCount").and_then(Value::as_u64);
                Self::BroadcastClients {
                    request: request()?,
                    count: count.and_then(|count| count.try_into().ok()).ok_or(Malformed::Field("clientCount"))?,
                }
            }
            kind::BROADCAST_ACK => Self::BroadcastAck { request: request()?, answer: decode_answer(&mut data)? },
            kind::SUPERSEDED => Self::Superseded {
                pid: text(&data, "pid")?,
                epoch: binary::field(&data, "epoch").and_then(Value::as_u64).ok_or(Malformed::Field("epoch"))?,
            },
            _ => return Ok(None),
        }))
    }
}

fn text(value: &Value, name: &'static str) -> Result<String, Malformed> {
    binary::field(value, name).and_then(Value::as_str).map(str::to_owned).ok_or(Malformed::Field(name))
}

/// The original carries one argument, under `packet`. Where there is another number of them, all stand under `args`
/// too, which it does not look at.
fn encode_answer(request: &str, answer: &Payload) -> Result<Value, Malformed> {
    let Value::Array(arguments) = binary::from_payload(answer)? else { return Err(Malformed::Field("data")) };
    let first = arguments.first().cloned().unwrap_or(Value::Nil);
    let single = arguments.len() == 1;
    let Value::Map(mut fields) = binary::map([("requestId", request.into()), ("packet", first)]) else {
        unreachable!("a map was made")
    };
    if !single {
        fields.push(("args".into(), Value::Array(arguments)));
    }
    Ok(Value::Map(fields))
}

fn decode_answer(data: &mut Value) -> Result<Payload, Malformed> {
    match entry::take(data, "args") {
        Some(arguments @ Value::Array(_)) => binary::to_payload(arguments),
        _ => binary::to_payload(Value::Array(vec![entry::take(data, "packet").unwrap_or(Value::Nil)])),
    }
}

fn encode_socket(socket: &SocketInfo) -> Result<Value, Malformed> {
    Ok(binary::map([
        ("id", socket.id.as_str().into()),
        ("handshake", binary::from_json(&socket.handshake.to_string(), &[])?),
        ("rooms", Value::Array(socket.rooms.iter().map(|room| (**room).into()).collect())),
        ("data", binary::from_json(&socket.data.to_string(), &[])?),
    ]))
}

fn decode_socket(socket: &Value) -> Result<SocketInfo, Malformed> {
    let json = |name| match binary::field(socket, name) {
        Some(value) => serde_json::from_str(&binary::to_plain_json(value.clone())).map_err(Malformed::from),
        None => Ok(Json::Null),
    };
    Ok(SocketInfo {
        id: text(socket, "id")?,
        handshake: json("handshake")?,
        rooms: entry::rooms_of(socket, "rooms")?,
        data: json("data")?,
    })
}
