//! Entries as Redis gives them.

use redis::Value;

use crate::Offset;

/// An entry; a field that it lacks is empty.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    pub(super) namespace: Vec<u8>,
    pub(super) kind: Vec<u8>,
    pub(super) data: Vec<u8>,
    /// Which node added it and its how many-th it is, where it was a node of this adapter.
    pub(super) sequence: Option<Vec<u8>>,
}

/// The answer to `XRANGE`.
pub(super) fn entries_of(answer: Value) -> Vec<Entry> {
    let Value::Array(entries) = answer else { return Vec::new() };
    entries.into_iter().filter_map(entry_of).collect()
}

/// The answer to `XREAD` of one stream.
pub(super) fn read_of(answer: Value) -> Vec<Entry> {
    let streams = match answer {
        Value::Array(mut streams) => match streams.pop() {
            Some(Value::Array(mut stream)) => stream.pop(),
            _ => None,
        },
        // Where the connection speaks RESP3.
        Value::Map(mut streams) => streams.pop().map(|(_, entries)| entries),
        _ => None,
    };
    streams.map(entries_of).unwrap_or_default()
}

fn entry_of(entry: Value) -> Option<Entry> {
    let Value::Array(parts) = entry else { return None };
    let mut parts = parts.into_iter();
    let id = text(parts.next()?)?;
    let mut entry = Entry { offset: std::str::from_utf8(&id).ok()?.parse().ok()?, ..Entry::default() };
    if let Some(Value::Array(fields)) = parts.next() {
        let mut fields = fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            let (Some(name), Some(value)) = (text(name), text(value)) else { continue };
            match &*name {
                b"nsp" => entry.namespace = value,
                b"type" => entry.kind = value,
                b"data" => entry.data = value,
                b"seq" => entry.sequence = Some(value),
                _ => {}
            }
        }
    }
    Some(entry)
}

fn text(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}
