//! From bytes to values, and from the decoder's complaints to refusals that name the field.

use contracts::{Reason, Refusal};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::objects_only::ObjectsOnly;

/// How deep arrays and objects may nest (docs/errors.md: MALFORMED_BODY).
pub const MAX_DEPTH: usize = 64;
/// The longest part of a complaint that is repeated to the caller, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// Reads JSON.
///
/// # Errors
/// `MALFORMED_BODY` for what is no JSON, `INVALID_REQUEST` with a JSON pointer for JSON of another shape.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if depth(bytes) > MAX_DEPTH {
        return Err(malformed(format!("the body is nested deeper than {MAX_DEPTH} levels")));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(ObjectsOnly(&mut reader))
        .map_err(|error| refusal(error.path(), error.inner()))?;
    reader.end().map_err(|error| malformed(format!("something follows the JSON value: {error}")))?;
    Ok(value)
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::MalformedBody, detail)
}

fn refusal(path: &Path, error: &serde_json::Error) -> Refusal {
    match error.classify() {
        Category::Data => {
            let complaint = Complaint::of(&without_position(&error.to_string()));
            let mut pointer = pointer(path);
            if let Some(field) = complaint.below {
                pointer = format!("{pointer}/{}", escape(&field));
            }
            Refusal::invalid(pointer, complaint.message)
        }
        Category::Syntax | Category::Eof | Category::Io => malformed(shorten(&error.to_string())),
    }
}

/// A complaint of serde, in words for the caller.
pub(super) struct Complaint {
    /// The field it is about, where the path ends above it.
    pub(super) below: Option<String>,
    /// Worded to follow the name of the field.
    pub(super) message: String,
}

impl Complaint {
    /// Reads a message as serde words it (`serde::de::Error`).
    pub(super) fn of(message: &str) -> Self {
        let quoted = |prefix: &str| {
            let rest = message.strip_prefix(prefix)?.strip_prefix(" `")?;
            Some(rest[..rest.find('`')?].to_owned())
        };
        if let Some(field) = quoted("missing field") {
            return Self { below: Some(field), message: "is missing".to_owned() };
        }
        if let Some(field) = quoted("duplicate field") {
            return Self { below: Some(field), message: "is given twice".to_owned() };
        }
        if message.starts_with("unknown field") {
            return Self { below: None, message: "is not known".to_owned() };
        }
        if let Some(expected) = ["invalid type", "invalid value", "invalid length"]
            .iter()
            .find_map(|kind| message.strip_prefix(kind))
            .and_then(|rest| rest.rsplit_once(", expected ").map(|(_, expected)| expected))
        {
            return Self { below: None, message: format!("must be {}", in_words(expected)) };
        }
        Self { below: None, message: shorten(message) }
    }
}

/// What a type of Rust is to someone who sends JSON.
fn in_words(expected: &str) -> String {
    match expected {
        // How far a machine's type reaches is nobody's rule; a field that has a rule says it (shapes/whole_number.rs).
        "u32" | "u64" | "i64" => "a whole number".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a boolean" => "true or false".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => shorten(other),
    }
}

fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// The JSON pointer of a path (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", escape(key)),
        Segment::Enum { variant } => format!("{pointer}/{}", escape(variant)),
        Segment::Unknown => pointer,
    })
}

fn escape(token: &str) -> String {
    shorten(&token.replace('~', "~0").replace('/', "~1"))
}

/// How deep the arrays and objects of a JSON text nest; brackets inside of strings don't count.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Line {
        sku: String,
        quantity: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Sample {
        items: Vec<Line>,
        note: Option<String>,
    }

    fn refused(text: &str) -> (Reason, String, String) {
        let refusal = json::<Sample>(text.as_bytes()).unwrap_err();
        let field = refusal.fields.into_iter().next();
        field.map_or((refusal.reason, String::new(), refusal.detail), |field| {
            (refusal.reason, field.field, field.message)
        })
    }

    #[test]
    fn json_of_another_shape_is_refused_by_the_pointer_of_what_is_wrong() {
        for (text, pointer, message) in [
            ("{}", "/items", "is missing"),
            (r#"{"items":[],"extra":1}"#, "/extra", "is not known"),
            (r#"{"items":[],"a/b~c":1}"#, "/a~1b~0c", "is not known"),
            (r#"{"items":[],"items":[]}"#, "/items", "is given twice"),
            (r#"{"items":{}}"#, "/items", "must be an array"),
            (r#"{"items":[{"sku":"A"}]}"#, "/items/0/quantity", "is missing"),
            (r#"{"items":[{"sku":"A","quantity":1.5}]}"#, "/items/0/quantity", "must be a whole number"),
            (r#"{"items":[{"sku":"A","quantity":"1"}]}"#, "/items/0/quantity", "must be a whole number"),
            (r#"{"items":[{"sku":1,"quantity":1}]}"#, "/items/0/sku", "must be a string"),
            (r#"{"items":[1]}"#, "/items/0", "must be an object"),
            ("[[]]", "", "must be an object"),
            (r#"{"items":[["A",1]]}"#, "/items/0", "must be an object"),
            ("7", "", "must be an object"),
            (r#"{"items":[],"note":{}}"#, "/note", "must be a string"),
        ] {
            assert_eq!(refused(text), (Reason::InvalidRequest, pointer.to_owned(), message.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        let invalid_utf8 = b"{\"items\":[],\"note\":\"\xff\"}";
        for bytes in [
            &b"{"[..],
            b"nonsense",
            b"{\"items\":[]} x",
            b"{\"items\":[],}",
            b"{\"items\":[],\"note\":\"\x00\"}",
            b"{\"items\":[],\"note\":\"\\ud800\"}",
            invalid_utf8,
        ] {
            let refusal = json::<Sample>(bytes).unwrap_err();
            assert_eq!(refusal.reason, Reason::MalformedBody, "{}: {refusal:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn deep_nesting_is_refused_wherever_it_stands() {
        for text in ["[".repeat(60_000), format!("{{\"items\":{}", "[".repeat(65)), "{\"a\":".repeat(10_000)] {
            assert_eq!(refused(&text).0, Reason::MalformedBody);
        }
        assert_eq!(depth(br#"{"a":"[[[[\"[[["}"#), 1);
    }

    #[test]
    fn long_input_is_not_repeated_in_full() {
        let (_, pointer, message) = refused(&format!(r#"{{"items":[],"{}":1}}"#, "x".repeat(5000)));
        assert!(pointer.len() + message.len() < 500);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = json::<Sample>(&bytes);
        }

        #[test]
        fn depth_is_what_the_brackets_say(levels in 1_usize..200) {
            prop_assert_eq!(depth(format!("{}{}", "[".repeat(levels), "]".repeat(levels)).as_bytes()), levels);
        }
    }
}
