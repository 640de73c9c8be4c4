//! Colours inside a message: only those that the access log itself put there.

use std::borrow::Cow;

use super::level::LineLevel;

/// A piece of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// What it says.
    Text(&'a str),
    /// "Select graphic rendition" (ECMA-48 §8.3.117), such as `ESC [ 32 m`.
    Colour(&'a str),
}

/// The pieces of a message. In lines of other levels a colour is text: who knows who wrote it.
pub(super) fn pieces(level: LineLevel, message: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let colours = matches!(level, LineLevel::Http);
        let found =
            if colours { rest.match_indices("\x1b[").find_map(|(at, _)| Some((at, end_of(rest, at)?))) } else { None };
        let (piece, length) = match found {
            Some((0, end)) => (Piece::Colour(&rest[..end]), end),
            Some((at, _)) => (Piece::Text(&rest[..at]), at),
            None => (Piece::Text(rest), rest.len()),
        };
        rest = &rest[length..];
        Some(piece)
    })
}

/// The end of the colour that begins at `at`, if it is one.
fn end_of(text: &str, at: usize) -> Option<usize> {
    let parameters = &text[at + 2..];
    let length = parameters.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    (parameters.as_bytes().get(length) == Some(&b'm')).then_some(at + 2 + length + 1)
}

/// A message without its colours, for machines.
pub(super) fn without(level: LineLevel, message: &str) -> Cow<'_, str> {
    if !matches!(level, LineLevel::Http) || !message.contains('\x1b') {
        return Cow::Borrowed(message);
    }
    let text = pieces(level, message).filter_map(|piece| match piece {
        Piece::Text(text) => Some(text),
        Piece::Colour(_) => None,
    });
    Cow::Owned(text.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_logs_colours_are_told_from_its_text() {
        let line = "GET / \x1b[32m200\x1b[0m 1.2 ms";
        let found: Vec<_> = pieces(LineLevel::Http, line).collect();
        let expected = [
            Piece::Text("GET / "),
            Piece::Colour("\x1b[32m"),
            Piece::Text("200"),
            Piece::Colour("\x1b[0m"),
            Piece::Text(" 1.2 ms"),
        ];
        assert_eq!(found, expected);
        assert_eq!(without(LineLevel::Http, line), "GET / 200 1.2 ms");
    }

    #[test]
    fn nothing_else_is_a_colour() {
        for other in ["\x1b[2J", "\x1b[", "\x1b[1;2", "\x1b]0;title\x07", "\x1b"] {
            assert_eq!(without(LineLevel::Http, other), other, "{other:?}");
        }
        assert_eq!(without(LineLevel::Info, "\x1b[31mred"), "\x1b[31mred");
    }
}
