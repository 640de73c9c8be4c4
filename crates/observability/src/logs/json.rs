//! Lines for machines: one JSON object each, always in the same order.

use opentelemetry::trace::{SpanId, TraceId};

use super::colour;
use super::fields::Style;
use super::level::LineLevel;
use super::stamp::Stamp;
use crate::redact;

/// What comes before the fields of a line.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) at: &'a Stamp,
    pub(super) level: LineLevel,
    pub(super) service: &'a str,
    pub(super) message: &'a str,
    pub(super) ids: Option<Ids<'a>>,
}

/// What a line of a request carries.
#[derive(Clone, Copy)]
pub(super) struct Ids<'a> {
    pub(super) request: &'a str,
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
}

/// Names that every line has.
const TAKEN: &[&str] = &["timestamp", "level", "service", "message"];
/// Names that every line of a request has.
const TAKEN_IN_REQUESTS: &[&str] = &["request_id", "trace_id", "span_id"];
/// What a field is called that would repeat one of them: `field.level`.
const ELSEWHERE: &str = "field.";

/// Fields as members of an object, each after a comma.
pub(super) struct Members {
    pub(super) in_request: bool,
}

impl Style for Members {
    fn name(&self, name: &str, out: &mut Vec<u8>) {
        let mut bare = name;
        while let Some(rest) = bare.strip_prefix(ELSEWHERE) {
            bare = rest;
        }
        out.push(b',');
        if TAKEN.contains(&bare) || (self.in_request && TAKEN_IN_REQUESTS.contains(&bare)) {
            string_of(&[ELSEWHERE, name], out);
        } else {
            string(name, out);
        }
        out.push(b':');
    }

    fn text(&self, text: &str, out: &mut Vec<u8>) {
        string(text, out);
    }
}

/// Writes a line, its line feed too; `fields` is what [`Members`] made.
pub(super) fn line(head: &Head<'_>, fields: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(head.at);
    out.extend_from_slice(b"\",\"level\":\"");
    out.extend_from_slice(head.level.name().as_bytes());
    out.extend_from_slice(b"\",\"service\":");
    string(head.service, out);
    out.extend_from_slice(b",\"message\":");
    string(&redact::text(&colour::without(head.level, head.message)), out);
    if let Some(ids) = head.ids {
        out.extend_from_slice(b",\"request_id\":");
        string(ids.request, out);
        out.extend_from_slice(b",\"trace_id\":\"");
        hex(&ids.trace.to_bytes(), out);
        out.extend_from_slice(b"\",\"span_id\":\"");
        hex(&ids.span.to_bytes(), out);
        out.push(b'"');
    }
    out.extend_from_slice(fields);
    out.extend_from_slice(b"}\n");
}

fn string(text: &str, out: &mut Vec<u8>) {
    string_of(&[text], out);
}

/// The parts as one JSON string (RFC 8259 §7).
fn string_of(parts: &[&str], out: &mut Vec<u8>) {
    out.push(b'"');
    for part in parts {
        escape(part, out);
    }
    out.push(b'"');
}

fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 | 0x7f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(b"00");
            hex(&[*byte], out);
        }
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Lower-case hexadecimal digits, two a byte.
fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text in any::<String>(), control in "[\\x00-\\x20\\x7f\"\\\\]{0,8}") {
            let text = format!("{text}{control}");
            let mut out = Vec::new();
            string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            prop_assert!(!out.contains(&b'\n'));
        }
    }

    #[test]
    fn a_field_never_repeats_a_name_of_the_line() {
        let name = |name: &str, in_request| {
            let mut out = Vec::new();
            Members { in_request }.name(name, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(name("level", false), r#","field.level":"#);
        assert_eq!(name("field.level", false), r#","field.field.level":"#);
        assert_eq!(name("field.other", false), r#","field.other":"#);
        assert_eq!(name("trace_id", true), r#","field.trace_id":"#);
        assert_eq!(name("trace_id", false), r#","trace_id":"#);
    }
}
