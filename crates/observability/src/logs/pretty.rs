//! Lines for people.

use std::io::Write as _;

use super::colour::{self, Piece};
use super::fields::Style;
use super::json::Head;
use super::level::LineLevel;
use crate::redact;

/// Fields as ` name=value`, quoted where a value has spaces.
pub(super) struct Pairs;

impl Style for Pairs {
    fn name(&self, name: &str, out: &mut Vec<u8>) {
        out.push(b' ');
        plain(name, out);
        out.push(b'=');
    }

    fn text(&self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() || text.contains([' ', '"']) || text.chars().any(char::is_control) {
            let _ = write!(out, "{text:?}");
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Writes a line, its line feed too; `fields` is what [`Pairs`] made.
pub(super) fn line(head: &Head<'_>, fields: &[u8], ansi: bool, out: &mut Vec<u8>) {
    let level = head.level.name();
    // A Vec takes everything.
    let _ = if ansi {
        let colour = match head.level {
            LineLevel::Error => 31,
            LineLevel::Warn => 33,
            LineLevel::Info => 32,
            LineLevel::Http => 36,
            LineLevel::Debug | LineLevel::Trace => 90,
        };
        out.extend_from_slice(b"\x1b[90m");
        out.extend_from_slice(&head.at[11..23]);
        write!(out, "\x1b[0m \x1b[{colour}m{level:<5}\x1b[0m {:<12} ", head.service)
    } else {
        out.extend_from_slice(head.at);
        write!(out, " {level:<5} {:<12} ", head.service)
    };
    for piece in colour::pieces(head.level, &redact::text(head.message)) {
        match piece {
            Piece::Text(text) => plain(text, out),
            Piece::Colour(colour) if ansi => out.extend_from_slice(colour.as_bytes()),
            Piece::Colour(_) => {}
        }
    }
    out.extend_from_slice(fields);
    if let Some(ids) = head.ids {
        out.extend_from_slice(b" request_id=");
        out.extend_from_slice(ids.request.as_bytes());
    }
    out.push(b'\n');
}

/// Text as it is, but for what would move the cursor of a terminal or look like the next line.
fn plain(text: &str, out: &mut Vec<u8>) {
    for piece in text.split_inclusive(char::is_control) {
        let Some((at, control)) = piece.char_indices().next_back().filter(|(_, last)| last.is_control()) else {
            out.extend_from_slice(piece.as_bytes());
            continue;
        };
        out.extend_from_slice(&piece.as_bytes()[..at]);
        match control {
            '\n' => out.extend_from_slice(b"\n    "),
            '\t' => out.push(b'\t'),
            other => {
                let _ = write!(out, "{}", other.escape_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::logs::stamp::stamp;

    fn told(message: &str, ansi: bool) -> String {
        let head = Head {
            at: &stamp(datetime!(2026-11-22 17:00:00.123 UTC)),
            level: LineLevel::Warn,
            service: "shop",
            message,
            ids: None,
        };
        let (mut fields, mut out) = (Vec::new(), Vec::new());
        for (name, value) in [("order", "7"), ("why", "sold out"), ("empty", "")] {
            Pairs.name(name, &mut fields);
            Pairs.text(value, &mut fields);
        }
        line(&head, &fields, ansi, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_aligned_and_its_values_can_be_told_apart() {
        let fields = "order=7 why=\"sold out\" empty=\"\"";
        assert_eq!(told("not kept", false), format!("2026-11-22T17:00:00.123Z warn  shop         not kept {fields}\n"));
        assert_eq!(
            told("not kept", true),
            format!("\x1b[90m17:00:00.123\x1b[0m \x1b[33mwarn \x1b[0m shop         not kept {fields}\n")
        );
    }

    #[test]
    fn a_message_can_neither_forge_a_line_nor_command_a_terminal() {
        let line = told("a\n2026-11-22T17:00:00.000Z error\x1b[2J", false);
        assert!(line.contains("a\n    2026") && line.contains("error\\u{1b}[2J"), "{line:?}");
    }
}
