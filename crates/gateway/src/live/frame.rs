//! Server-sent events as bytes (WHATWG HTML §9.2.6).

use std::fmt::Write as _;

use actix_web::web::Bytes;

/// The wait before a client connects again, in milliseconds.
const RETRY_MS: u32 = 1000;

/// What keeps proxies from closing an idle stream: a comment, which clients ignore.
pub const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");

/// One inbox entry: its name, its position as `id`, its JSON.
pub fn entry(event: &str, seq: u64, data_json: &str) -> Bytes {
    let mut frame = String::with_capacity(event.len() + data_json.len() + 40);
    write_entry(&mut frame, event, seq, data_json);
    frame.into()
}

/// Appends the frame of an inbox entry.
pub fn write_entry(frame: &mut String, event: &str, seq: u64, data_json: &str) {
    frame.push_str("event: ");
    push_line(frame, event);
    let _ = write!(frame, "\nid: {seq}\ndata: ");
    push_line(frame, data_json);
    frame.push_str("\n\n");
}

/// The first event. `position` is where the stream goes on from: with it as `id` a client that is cut off before the
/// first entry resumes at the right place.
pub fn connected(position: u64, head: u64) -> Bytes {
    format!("retry: {RETRY_MS}\nevent: connected\nid: {position}\ndata: {{\"cursor\":{head}}}\n\n").into()
}

/// The cursor that was asked for can't be resumed from: read the state anew, the stream goes on from `head`.
pub fn resync(head: u64) -> Bytes {
    format!("event: resync\nid: {head}\ndata: {{\"cursor\":{head}}}\n\n").into()
}

/// A line break would end the field. In JSON it can only be white space between tokens, so a space means the same.
fn push_line(frame: &mut String, text: &str) {
    if text.contains(['\n', '\r']) {
        frame.extend(text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
    } else {
        frame.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_three_fields_and_an_empty_line_whatever_its_json_looks_like() {
        assert_eq!(
            entry("order_created", 7, "{\n  \"a\": 1\r\n}"),
            "event: order_created\nid: 7\ndata: {   \"a\": 1  }\n\n"
        );
    }
}
