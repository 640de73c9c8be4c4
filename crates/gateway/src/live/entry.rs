//! An inbox entry on its way to those who listen.

use std::sync::{Arc, OnceLock};

use actix_web::web::Bytes;
use contracts::grpc::notification::InboxEntry;
use observability::RequestContext;

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
}

impl Entry {
    /// An entry as the bus tells of it.
    pub fn new(seq: u64, event: &str, data_json: &str, cause: Option<RequestContext>) -> Arc<Self> {
        Arc::new(Self { seq, event: event.into(), data_json: data_json.into(), cause, frame: OnceLock::new() })
    }

    /// An entry as the store has it.
    pub fn stored(entry: InboxEntry) -> Arc<Self> {
        Arc::new(Self {
            seq: entry.seq,
            event: entry.event.into(),
            data_json: entry.data_json.into(),
            cause: None,
            frame: OnceLock::new(),
        })
    }

    /// As a server-sent event: rendered when first asked for, then shared.
    pub fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| frame::entry(&self.event, self.seq, &self.data_json)).clone()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.seq, &self.event, &self.data_json) == (other.seq, &other.event, &other.data_json)
    }
}

impl Eq for Entry {}
