//! One pass over JSON text: is it sound, how deep is it, do its placeholders fit. Builds nothing.
//!
//! Numbers and escapes are checked by grammar alone, as `JSON.parse` does: `1e999` and half of a surrogate pair are
//! sound JSON which browsers do send, though not every Rust type can hold them.

use std::borrow::Cow;

use super::error::DecodeError;

/// How deep arrays and objects may be nested, the outermost included. It is what `serde_json` reads with its own limit,
/// so that whatever is let in can also be decoded.
pub(super) const MAX_DEPTH: usize = 127;

/// Kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// Checks a whole text, white space around the value allowed. Where `attachments` is not 0, objects whose
/// `_placeholder` is `true` must number them completely, each once.
pub(super) fn check(text: &str, attachments: usize) -> Result<Kind, DecodeError> {
    let mut scan = Scan { text, at: 0, depth: 0, placed: vec![false; attachments] };
    scan.skip_space();
    let kind = scan.value()?;
    scan.skip_space();
    if scan.at != text.len() {
        return Err(scan.malformed());
    }
    if scan.placed.iter().all(|placed| *placed) { Ok(kind) } else { Err(DecodeError::Placeholders) }
}

/// First element of a sound array, as it is written; none if the array is empty.
pub(super) fn first_element(array: &str) -> Option<&str> {
    let mut scan = Scan { text: array, at: 1, depth: 0, placed: Vec::new() };
    scan.skip_space();
    let start = scan.at;
    scan.value().ok()?;
    Some(&array[start..scan.at])
}

/// What a sound JSON string says; none if it has half a surrogate pair, which Rust's strings can't hold.
pub(super) fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = &quoted[1..quoted.len() - 1];
    if inner.contains('\\') { serde_json::from_str(quoted).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Without the white space of JSON around it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Which attachments have their placeholder.
    placed: Vec<bool>,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> u8 {
        // 0 stands for the end: no JSON has it outside of a string, and in strings it is refused too.
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn malformed(&self) -> DecodeError {
        DecodeError::Json { at: self.at }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Kind, DecodeError> {
        match self.peek() {
            b'"' => self.string().map(|_| Kind::String),
            b'{' => self.nested(Self::object).map(|()| Kind::Object),
            b'[' => self.nested(Self::array).map(|()| Kind::Array),
            b'-' | b'0'..=b'9' => self.number().map(|()| Kind::Number),
            b't' => self.literal("true").map(|()| Kind::Boolean),
            b'f' => self.literal("false").map(|()| Kind::Boolean),
            b'n' => self.literal("null").map(|()| Kind::Null),
            _ => Err(self.malformed()),
        }
    }

    fn nested(&mut self, body: fn(&mut Self) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        if self.depth == MAX_DEPTH {
            return Err(DecodeError::TooDeep { limit: MAX_DEPTH });
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        body(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), DecodeError> {
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            if self.ends(b']')? {
                return Ok(());
            }
        }
    }

    fn object(&mut self) -> Result<(), DecodeError> {
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        // As in JavaScript, the last of several equal keys counts, and other keys beside these don't matter.
        let (mut is_placeholder, mut number) = (false, None);
        loop {
            if self.peek() != b'"' {
                return Err(self.malformed());
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != b':' {
                return Err(self.malformed());
            }
            self.at += 1;
            self.skip_space();
            let start = self.at;
            self.value()?;
            if !self.placed.is_empty() {
                match unquote(key).as_deref() {
                    Some("_placeholder") => is_placeholder = &self.text[start..self.at] == "true",
                    Some("num") => number = self.text[start..self.at].parse::<usize>().ok(),
                    _ => {}
                }
            }
            if self.ends(b'}')? {
                break;
            }
        }
        if is_placeholder {
            match number.and_then(|number| self.placed.get_mut(number)) {
                Some(placed @ false) => *placed = true,
                _ => return Err(DecodeError::Placeholders),
            }
        }
        Ok(())
    }

    /// After an element: whether the container ends here; if not, moves on to the next element.
    fn ends(&mut self, close: u8) -> Result<bool, DecodeError> {
        self.skip_space();
        let found = self.peek();
        if found != close && found != b',' {
            return Err(self.malformed());
        }
        self.at += 1;
        if found == b',' {
            self.skip_space();
        }
        Ok(found == close)
    }

    /// A string as it is written, with its quotes.
    fn string(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += plain_length(&self.text.as_bytes()[self.at..]);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                b'\\' => self.escape()?,
                _ => return Err(self.malformed()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), DecodeError> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_ascii_hexdigit() {
                        return Err(self.malformed());
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.malformed()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), DecodeError> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(self.malformed()) } else { Ok(()) }
    }

    fn literal(&mut self, word: &str) -> Result<(), DecodeError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(())
    }
}

/// How many bytes at the beginning mean nothing in a string: neither quote, backslash nor control character.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The highest bit of each byte that is less than `limit` (at most 0x80). A borrow can mark a byte too many, but only above one
    // that is marked rightly, and of the marks the lowest counts.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let found =
            below(word, 0x20) | below(word ^ (ONES * u64::from(b'"')), 1) | below(word ^ (ONES * u64::from(b'\\')), 1);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn sound_json_is_let_through() {
        for (text, kind) in [
            ("null", Kind::Null),
            (" true ", Kind::Boolean),
            ("false", Kind::Boolean),
            ("-0.5e+10", Kind::Number),
            ("1e999", Kind::Number),
            ("\"\"", Kind::String),
            ("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\u{e9}\\ud800\"", Kind::String),
            ("[]", Kind::Array),
            ("\t[ 1 ,\n[ ] , { } ]\r\n", Kind::Array),
            ("{\"a\":{\"b\":[null]},\"a\":1}", Kind::Object),
        ] {
            assert_eq!(check(text, 0).unwrap(), kind, "{text}");
        }
    }

    #[test]
    fn malformed_json_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "nulll",
            "True",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "-",
            "--1",
            "0x1",
            "NaN",
            "Infinity",
            "'a'",
            "\"",
            "\"a",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "\"\u{0}\"",
            "[",
            "]",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{",
            "}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\" 1}",
            "1 1",
            "[] []",
            "[]x",
            "\u{feff}[]",
            "[\u{a0}]",
            "/**/[]",
            "\u{0}",
        ] {
            assert!(matches!(check(text, 0), Err(DecodeError::Json { .. })), "{text:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(check(&nested(MAX_DEPTH), 0).is_ok());
        assert!(matches!(check(&nested(MAX_DEPTH + 1), 0), Err(DecodeError::TooDeep { limit: MAX_DEPTH })));
        assert!(matches!(check(&"[{\"\":".repeat(1_000_000), 0), Err(DecodeError::TooDeep { .. })));
        // Side by side is not nested.
        assert!(check(&format!("[{}]", vec!["[]"; 1000].join(",")), 0).is_ok());
    }

    #[test]
    fn each_attachment_has_exactly_one_placeholder() {
        let one = r#"{"_placeholder":true,"num":0}"#;
        let other = r#"{ "num" : 1 , "x" : [ ] , "_placeholder" : true }"#;
        assert!(check(&format!("[{one}]"), 1).is_ok());
        assert!(check(&format!("[{other},{{\"a\":[{one}]}}]"), 2).is_ok());
        assert!(check(r#"[{"_place\u0068older":true,"num":0}]"#, 1).is_ok());
        assert!(check(r#"[{"_placeholder":false,"_placeholder":true,"num":7,"num":0}]"#, 1).is_ok());
        for (text, attachments) in [
            ("[]".to_owned(), 1),
            (format!("[{one}]"), 2),
            (format!("[{one},{one}]"), 1),
            (format!("[{one},{other}]"), 1),
            (r#"[{"_placeholder":true}]"#.to_owned(), 1),
            (r#"[{"_placeholder":true,"num":-1}]"#.to_owned(), 1),
            (r#"[{"_placeholder":true,"num":0.0}]"#.to_owned(), 1),
            (r#"[{"_placeholder":true,"num":"0"}]"#.to_owned(), 1),
            (r#"[{"_placeholder":1,"num":0}]"#.to_owned(), 1),
            (r#"[{"_placeholder":true,"_placeholder":false,"num":0}]"#.to_owned(), 1),
        ] {
            assert!(matches!(check(&text, attachments), Err(DecodeError::Placeholders)), "{text}");
        }
    }

    #[test]
    fn without_attachments_what_looks_like_a_placeholder_is_data() {
        assert!(check(r#"[{"_placeholder":true,"num":5}]"#, 0).is_ok());
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_serde_json(text in r#"[\[\]{}",:\\u0-9a-f .eE+\-\ntrulsn]{0,24}"#) {
            prop_assert_eq!(check(&text, 0).is_ok(), serde_json::from_str::<IgnoredAny>(&text).is_ok());
        }

        #[test]
        fn the_verdict_on_strings_is_that_of_serde_json(inner in r#"([ -~é€]|\\[n"u]|[\x00-\x1f"\\]?){0,24}"#) {
            let text = format!("\"{inner}\"");
            prop_assert_eq!(check(&text, 0).is_ok(), serde_json::from_str::<IgnoredAny>(&text).is_ok());
        }

        #[test]
        fn plain_bytes_are_counted_exactly(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let expected = bytes.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            prop_assert_eq!(plain_length(&bytes), expected);
        }
    }
}
