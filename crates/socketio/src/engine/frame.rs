//! What waits to be sent, ready as WebSocket frames.
//!
//! One representation serves all: a broadcast is framed once and shared by every socket; a polling client's payload
//! is read back out of the frames, which is rare.
//!
//! Source: RFC 6455 §5.2; Engine.IO protocol v4, "packet encoding".

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{BufMut, Bytes, BytesMut};

/// Joins packets of one HTTP payload.
pub(crate) const SEPARATOR: char = '\x1e';

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8A;

/// Engine.IO's ping, as one frame.
pub(crate) const PING: Bytes = Bytes::from_static(b"\x81\x012");
/// The answer to the probe of an upgrade.
pub(crate) const PROBE_ANSWER: Bytes = Bytes::from_static(b"\x81\x063probe");

fn put_head(out: &mut BytesMut, opcode: u8, length: usize) {
    out.put_u8(opcode);
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        out.put_u8(short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.put_u8(126);
        out.put_u16(medium);
    } else {
        out.put_u8(127);
        out.put_u64(length as u64);
    }
}

/// An Engine.IO packet of this type (such as `b'4'`) with a text.
pub(crate) fn text(kind: u8, body: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + 11);
    put_text(&mut out, kind, body);
    out.freeze()
}

fn put_text(out: &mut BytesMut, kind: u8, body: &str) {
    put_head(out, TEXT, body.len() + 1);
    out.put_u8(kind);
    out.put_slice(body.as_bytes());
}

/// A message of text, followed by its attachments.
pub(crate) fn message(body: &str, attachments: &[Bytes]) -> Bytes {
    let size = body.len() + attachments.iter().map(|data| data.len() + 10).sum::<usize>() + 11;
    let mut out = BytesMut::with_capacity(size);
    put_text(&mut out, b'4', body);
    for data in attachments {
        put_head(&mut out, BINARY, data.len());
        out.put_slice(data);
    }
    out.freeze()
}

/// A binary message.
pub(crate) fn binary(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 10);
    put_head(&mut out, BINARY, data.len());
    out.put_slice(data);
    out.freeze()
}

/// The answer to a WebSocket ping.
pub(crate) fn pong(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 2);
    put_head(&mut out, PONG, data.len());
    out.put_slice(data);
    out.freeze()
}

/// Whether it is an answer to a ping.
pub(crate) fn is_pong(frame: &[u8]) -> bool {
    frame.first() == Some(&PONG)
}

/// A WebSocket close frame. `reason` has at most 123 bytes.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(reason.len() + 4);
    put_head(&mut out, CLOSE, reason.len() + 2);
    out.put_u16(code);
    out.put_slice(reason.as_bytes());
    out.freeze()
}

/// Appends the packets in `frames` to an HTTP payload.
pub(crate) fn append_payload(out: &mut String, mut frames: &[u8]) {
    while let Some((opcode, body, rest)) = split_first(frames) {
        if !out.is_empty() {
            out.push(SEPARATOR);
        }
        if opcode == BINARY {
            out.push('b');
            BASE64_STANDARD.encode_string(body, out);
        } else {
            out.push_str(std::str::from_utf8(body).expect("text frames are made from text"));
        }
        frames = rest;
    }
}

/// How many packets these frames are.
pub(crate) fn packets(mut frames: &[u8]) -> usize {
    let mut count = 0;
    while let Some((_, _, rest)) = split_first(frames) {
        count += 1;
        frames = rest;
    }
    count
}

/// Frames made here only: unmasked, whole.
fn split_first(frames: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&opcode, rest) = frames.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length) as usize, rest)
        }
        _ => (usize::from(short), rest),
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((opcode, body, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_attachments_is_one_text_and_its_binaries() {
        let frames = message("51-[\"a\"]", &[Bytes::from_static(b"\x01\x02\x03")]);
        assert_eq!(&frames[..], b"\x81\x09451-[\"a\"]\x82\x03\x01\x02\x03");
    }

    #[test]
    fn every_length_is_read_back_as_a_polling_payload() {
        for length in [0, 1, 124, 125, 126, 65_534, 65_535, 65_536, 70_000] {
            let body = "x".repeat(length);
            let mut out = String::new();
            append_payload(&mut out, &message(&body, &[Bytes::from(vec![7; length])]));
            let expected = format!("4{body}\x1eb{}", BASE64_STANDARD.encode(vec![7; length]));
            assert_eq!(out, expected, "{length}");
        }
    }

    #[test]
    fn several_packets_are_joined_by_the_separator() {
        let mut out = String::new();
        append_payload(&mut out, &PING);
        append_payload(&mut out, &text(b'4', "hello"));
        assert_eq!(out, "2\x1e4hello");
        assert_eq!(packets(&[&PING[..], &text(b'4', "hello"), &message("51-[]", &[Bytes::new()])].concat()), 4);
    }
}
