//! Sessions as they are kept: what the original writes, and beside it what this adapter needs.

use rmpv::Value;
use serde_json::Value as Json;

use super::{Malformed, binary, entry};
use crate::{Offset, recovery::Session};

/// So many characters of a kept session tell who holds it and since which claim: they are equal if and only if epoch
/// and holder are. 48 characters of base64 are the first 36 bytes: the map's head (1), the epoch under its name (6 + 9),
/// and the holder's uid but for one digit (4 + 16).
pub(in super::super) const HEADER_CHARS: usize = 48;

/// A session as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Kept {
    pub(in super::super) session: Session,
    /// Whether this adapter wrote it, and what else is only then known.
    pub(in super::super) own: Option<Own>,
}

/// What a session has that was written by this adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Own {
    /// The holder, by its name in this namespace.
    pub(in super::super) uid: String,
    pub(in super::super) namespace: String,
}

/// The first characters of a session that is held by this node since this claim.
pub(in super::super) fn header(epoch: u64, uid: &str) -> String {
    let mut text = base64(head(epoch, uid));
    text.truncate(HEADER_CHARS);
    text
}

/// The session in base64 of MessagePack; a Node server finds in it what it needs. `uid` has 16 characters.
pub(in super::super) fn encode(session: &Session, uid: &str, namespace: &str) -> Result<String, Malformed> {
    let mut bytes = head(session.epoch, uid);
    let user = session.user.as_deref().map_or(Value::Nil, Value::from);
    let rooms = Value::Array(session.rooms.iter().map(|room| (**room).into()).collect());
    for (name, value) in [
        ("sid", session.sid.as_str().into()),
        ("pid", session.pid.as_str().into()),
        ("rooms", rooms),
        ("data", binary::from_json(&session.data.to_string(), &[])?),
        ("nsp", namespace.into()),
        ("user", user),
        ("start", session.start.to_string().into()),
    ] {
        put(&mut bytes, &name.into());
        put(&mut bytes, &value);
    }
    Ok(base64(bytes))
}

/// The beginning of a map of nine fields, with the first two: of fixed size, so that holders can be compared without
/// decoding.
fn head(epoch: u64, uid: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(0x89);
    put(&mut bytes, &"epoch".into());
    bytes.push(0xcf);
    bytes.extend_from_slice(&epoch.to_be_bytes());
    put(&mut bytes, &"uid".into());
    put(&mut bytes, &uid.into());
    bytes
}

fn base64(bytes: Vec<u8>) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

fn put(bytes: &mut Vec<u8>, value: &Value) {
    rmpv::encode::write_value(bytes, value).expect("writing to memory can't fail");
}

/// A session of this adapter or of a Node server; the latter has no user and no start.
pub(in super::super) fn decode(text: &[u8]) -> Result<Kept, Malformed> {
    let value = binary::decode_base64(text)?;
    let text = |name: &'static str| binary::field(&value, name).and_then(Value::as_str).map(str::to_owned);
    let data = binary::field(&value, "data").cloned().map_or_else(|| "{}".to_owned(), binary::to_plain_json);
    let own = text("uid").zip(text("nsp")).map(|(uid, namespace)| Own { uid, namespace });
    let number = |name| binary::field(&value, name).and_then(Value::as_u64);
    let (epoch, start) = match own {
        Some(_) => {
            let start: Option<Offset> = text("start").and_then(|start| start.parse().ok());
            (number("epoch").ok_or(Malformed::Field("epoch"))?, start.ok_or(Malformed::Field("start"))?)
        }
        None => (0, Offset::ZERO),
    };
    let session = Session {
        pid: text("pid").ok_or(Malformed::Field("pid"))?,
        sid: text("sid").ok_or(Malformed::Field("sid"))?,
        rooms: entry::rooms_of(&value, "rooms")?,
        data: serde_json::from_str::<Json>(&data)?,
        user: text("user"),
        start,
        epoch,
    };
    Ok(Kept { session, own })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session() -> Session {
        Session {
            pid: "p".to_owned(),
            sid: "s".to_owned(),
            rooms: vec!["s".into(), "a".into()],
            data: json!({"n": [1, -2.5, "é"]}),
            user: Some("ada".to_owned()),
            start: Offset { time_ms: 1_700_000_000_000, sequence: 3 },
            epoch: 2,
        }
    }

    const UID: &str = "0123456789abcdef";

    #[test]
    fn a_session_survives_its_text() {
        for user in [Some("ada".to_owned()), None] {
            let session = Session { user, ..session() };
            let kept = decode(encode(&session, UID, "/x").unwrap().as_bytes()).unwrap();
            let own = Some(Own { uid: UID.to_owned(), namespace: "/x".to_owned() });
            assert_eq!(kept, Kept { session, own });
        }
    }

    #[test]
    fn the_header_is_that_of_the_holder_and_epoch_alone() {
        let header = |session: &Session, uid| {
            let text = encode(session, uid, "/").unwrap();
            assert!(text.starts_with(&header(session.epoch, uid)));
            text[..HEADER_CHARS].to_owned()
        };
        let other_state =
            Session { rooms: vec!["b".into()], data: json!(null), user: None, sid: "x".repeat(99), ..session() };
        assert_eq!(header(&session(), UID), header(&other_state, UID));
        for epoch in [0, 1, 3, u64::MAX] {
            assert_ne!(header(&session(), UID), header(&Session { epoch, ..session() }, UID));
        }
        assert_ne!(header(&session(), UID), header(&session(), "0123456789abcd0f"));
        assert_ne!(header(&session(), UID), header(&session(), "1123456789abcdef"));
    }

    #[test]
    fn a_session_of_a_node_server_is_read() {
        // By @msgpack/msgpack: {sid: "s", pid: "p", rooms: ["s", "a"], data: {b: Buffer.from([7])}}
        let kept = decode(b"hKNzaWShc6NwaWShcKVyb29tc5Khc6FhpGRhdGGBoWLEAQc=").unwrap();
        let expected = Session {
            data: json!({"b": {"type": "Buffer", "data": [7]}}),
            user: None,
            start: Offset::ZERO,
            epoch: 0,
            ..session()
        };
        assert_eq!(kept, Kept { session: expected, own: None });
    }
}
