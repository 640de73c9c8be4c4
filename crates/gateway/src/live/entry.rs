//! An inbox entry on its way to those who listen.

use std::sync::{Arc, OnceLock};

use actix_web::web::Bytes;
use contracts::grpc::notification::InboxEntry;
use observability::RequestContext;
use serde_json::value::RawValue;
use socketio::Payload;

use super::frame;

/// One entry of an inbox, shared by all connections that show it; each transport renders it in its own way.
#[derive(Debug)]
pub struct Entry {
    /// Its position in the inbox of its user: the cursor of every transport.
    pub seq: u64,
    /// What its event is called.
    pub event: Box<str>,
    /// Its data: JSON, as it stands in the store.
    pub data_json: Box<str>,
    /// The request that caused it, at the place of its trace that handed it on; where that is known.
    pub cause: Option<RequestContext>,
    frame: OnceLock<Bytes>,
    payload: OnceLock<Option<Payload>>,
}

impl Entry {
    /// An entry as the bus tells of it.
    pub fn new(seq: u64, event: &str, data_json: &str, cause: Option<RequestContext>) -> Arc<Self> {
        Arc::new(Self {
            seq,
            event: event.into(),
            data_json: data_json.into(),
            cause,
            frame: OnceLock::new(),
            payload: OnceLock::new(),
        })
    }

    /// An entry as the store has it.
    pub fn stored(entry: InboxEntry) -> Arc<Self> {
        Arc::new(Self {
            seq: entry.seq,
            event: entry.event.into(),
            data_json: entry.data_json.into(),
            cause: None,
            frame: OnceLock::new(),
            payload: OnceLock::new(),
        })
    }

    /// As an event of Socket.IO: its data, with `cursor` among them. Rendered when first asked for, then shared; none if the
    /// data is no JSON, which notification does not store.
    pub fn payload(&self) -> Option<Payload> {
        let render = || {
            let data = RawValue::from_string(with_cursor(&self.data_json, self.seq)).ok()?;
            Payload::event(&self.event, &data).ok()
        };
        self.payload.get_or_init(render).clone()
    }

    /// As a server-sent event: rendered when first asked for, then shared.
    pub fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| frame::entry(&self.event, self.seq, &self.data_json)).clone()
    }
}

/// Puts the cursor first into a JSON object; beside anything else, as `data`.
fn with_cursor(data_json: &str, seq: u64) -> String {
    match data_json.trim().strip_prefix('{').map(str::trim_start) {
        Some("}") => format!(r#"{{"cursor":{seq}}}"#),
        Some(members) => format!(r#"{{"cursor":{seq},{members}"#),
        None => format!(r#"{{"cursor":{seq},"data":{data_json}}}"#),
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.seq, &self.event, &self.data_json) == (other.seq, &other.event, &other.data_json)
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stands_among_the_data() {
        assert_eq!(with_cursor(r#"{"id":"o1"}"#, 7), r#"{"cursor":7,"id":"o1"}"#);
        assert_eq!(with_cursor("{ }", 7), r#"{"cursor":7}"#);
        assert_eq!(with_cursor("[1]", 7), r#"{"cursor":7,"data":[1]}"#);
    }
}
