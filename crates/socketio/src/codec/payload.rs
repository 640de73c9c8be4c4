//! What an event or an acknowledgement carries.

use std::{borrow::Cow, fmt::Write, sync::Arc};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    de,
    error::{DecodeError, EncodeError},
    json::{self, Kind},
    ser,
};
use crate::Offset;

/// Names that mean something to the libraries themselves, on one side or both.
/// Source: `RESERVED_EVENTS` of `socket.io-parser` 4.2.
const RESERVED_NAMES: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The arguments of an event (its name first) or of an acknowledgement: a JSON array, binary data beside it.
///
/// Always sound: the text is a JSON array nested no deeper than 127 levels, without white space around it, and if there
/// are attachments, each has exactly one placeholder `{"_placeholder":true,"num":N}` in it. Cheap to clone.
///
/// Rust values spread over arguments by their shape in serde's model: tuples, tuple structs and arrays of fixed length over
/// several, `()` and unit structs over none, everything else (a `Vec` too) over one. What serialises as bytes (such as
/// [`Bytes`]; not `Vec<u8>`, which is a list of numbers) is an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    json: ByteString,
    /// None rather than empty, which would be an allocation for each packet.
    attachments: Option<Arc<[Bytes]>>,
}

impl Payload {
    /// An event with this name and these arguments.
    ///
    /// # Errors
    /// If the name is reserved, the value has no form in JSON, or it could not be read back: nested too deeply, or with
    /// both binary data and an object that looks like a placeholder.
    pub fn event<T: Serialize + ?Sized>(name: &str, data: &T) -> Result<Self, EncodeError> {
        if RESERVED_NAMES.contains(&name) {
            return Err(EncodeError::ReservedName(name.to_owned()));
        }
        Self::encode(Some(name), data)
    }

    /// The arguments of an acknowledgement.
    ///
    /// # Errors
    /// As for [`Self::event`].
    pub fn arguments<T: Serialize + ?Sized>(data: &T) -> Result<Self, EncodeError> {
        Self::encode(None, data)
    }

    fn encode<T: Serialize + ?Sized>(name: Option<&str>, data: &T) -> Result<Self, EncodeError> {
        let (json, attachments) = ser::arguments(name, data).map_err(EncodeError::Value)?;
        Self::from_parts(json.into(), attachments).map_err(EncodeError::Unreadable)
    }

    /// Takes what comes from elsewhere: a JSON array, and attachments in the order in which placeholders number them.
    /// Without attachments, what looks like a placeholder is data.
    ///
    /// # Errors
    /// If it is no JSON array, is nested too deeply, or its placeholders are not one for each attachment. The name of an
    /// event is not looked at.
    pub fn from_parts(json: ByteString, attachments: Vec<Bytes>) -> Result<Self, DecodeError> {
        Self::check(&json, attachments.len())?;
        Ok(Self::from_sound(json, attachments))
    }

    /// Checks what is to be a payload of so many attachments.
    pub(super) fn check(json: &str, attachments: usize) -> Result<(), DecodeError> {
        match json::check(json, attachments)? {
            Kind::Array => Ok(()),
            _ => Err(DecodeError::Kind { expected: "an array of arguments" }),
        }
    }

    /// Takes what [`Self::check`] has seen.
    pub(super) fn from_sound(json: ByteString, attachments: Vec<Bytes>) -> Self {
        let json = json.slice_ref(json::trim(&json));
        Self { json, attachments: (!attachments.is_empty()).then(|| attachments.into()) }
    }

    /// The JSON array, with a placeholder for each attachment.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The binary data, in the order in which placeholders number it.
    pub fn attachments(&self) -> &[Bytes] {
        self.attachments.as_deref().unwrap_or_default()
    }

    /// The event's name: the first argument if it is text, or a number as it is written; the original lets numbers be
    /// names. None for text that has half of a surrogate pair.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        name(&self.json)
    }

    /// Reads the arguments of an acknowledgement.
    ///
    /// A tuple takes as many as it has elements, `()` takes none, any other type takes the first. Arguments beyond are
    /// ignored; a missing one reads as `null`. Attachments are read by types that ask for bytes, such as [`Bytes`] and
    /// `serde_bytes::ByteBuf`.
    ///
    /// # Errors
    /// [`DecodeError::Arguments`] if the arguments are not of type `T`. A [`serde_json::Value`] can't hold binary data: an
    /// argument with attachments in it is refused as such, and read by a type with a [`Bytes`] in the right place or through
    /// [`Self::json`] and [`Self::attachments`]. Nor can a [`serde_json::value::RawValue`] be read then.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        de::arguments(&self.json, self.attachments(), false).map_err(DecodeError::Arguments)
    }

    /// Reads the arguments of an event, those after its name; otherwise like [`Self::decode`].
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn decode_event<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        de::arguments(&self.json, self.attachments(), true).map_err(DecodeError::Arguments)
    }

    /// With the offset as one more argument, a string, as clients expect it for connection state recovery.
    pub fn with_offset(&self, offset: Offset) -> Self {
        /// Two numbers of up to 20 digits, hyphen, quotes, comma.
        const ROOM: usize = 44;
        let open = self.json.strip_suffix(']').expect("a payload is an array");
        let mut json = String::with_capacity(self.json.len() + ROOM);
        json.push_str(open);
        if json::first_element(&self.json).is_some() {
            json.push(',');
        }
        write!(json, "\"{offset}\"]").expect("a string takes all text");
        Self { json: json.into(), attachments: self.attachments.clone() }
    }

    /// The same event under another name.
    ///
    /// # Errors
    /// The name is reserved.
    pub fn renamed(&self, name: &str) -> Result<Self, EncodeError> {
        if RESERVED_NAMES.contains(&name) {
            return Err(EncodeError::ReservedName(name.to_owned()));
        }
        let name = serde_json::to_string(name).map_err(EncodeError::Value)?;
        let rest = self.after_name();
        let comma = if rest.is_empty() { "" } else { "," };
        Ok(Self { json: format!("[{name}{comma}{rest}]").into(), attachments: self.attachments.clone() })
    }

    /// The arguments of this event alone, as an acknowledgement has them.
    pub fn without_name(&self) -> Self {
        Self { json: format!("[{}]", self.after_name()).into(), attachments: self.attachments.clone() }
    }

    /// The text of all elements but the first.
    fn after_name(&self) -> &str {
        let Some(name) = json::first_element(&self.json) else { return "" };
        let start = name.as_ptr().addr() - self.json.as_ptr().addr() + name.len();
        let rest = json::trim(&self.json[start..self.json.len() - 1]);
        json::trim(rest.strip_prefix(',').unwrap_or_default())
    }

    /// Whether the last argument of this event, beyond its name, is a string.
    pub fn ends_with_string(&self) -> bool {
        let Some(name) = json::first_element(&self.json) else { return false };
        let rest = json::trim(self.json.strip_suffix(']').expect("a payload is an array"));
        // Only a string ends in a quote, and it is the name itself if the text ends where the first element does.
        rest.ends_with('"') && !std::ptr::eq(rest.as_bytes().as_ptr_range().end, name.as_bytes().as_ptr_range().end)
    }

    /// Bytes of text and attachments together.
    pub fn size_bytes(&self) -> usize {
        self.json.len() + self.attachments().iter().map(Bytes::len).sum::<usize>()
    }
}

/// Name of an event, from its sound JSON.
fn name(json: &str) -> Option<Cow<'_, str>> {
    let first = json::first_element(json)?;
    match first.as_bytes()[0] {
        b'"' => json::unquote(first),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(first)),
        _ => None,
    }
}

/// Checks that the sound JSON of an event has a name, and none that is reserved.
pub(super) fn check_name(json: &str) -> Result<(), DecodeError> {
    let name = name(json::trim(json)).ok_or(DecodeError::EventName)?;
    if RESERVED_NAMES.contains(&&*name) {
        return Err(DecodeError::ReservedName(name.into_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn payload(json: &str) -> Payload {
        Payload::from_parts(json.to_owned().into(), Vec::new()).unwrap()
    }

    fn with_attachments<const N: usize>(json: &str, attachments: [&'static str; N]) -> Payload {
        Payload::from_parts(json.to_owned().into(), attachments.map(Bytes::from).to_vec()).unwrap()
    }

    #[test]
    fn tuples_spread_over_arguments_and_nothing_else_does() {
        for (payload, expected) in [
            (Payload::event("e", &()), r#"["e"]"#),
            (Payload::event("e", "a"), r#"["e","a"]"#),
            (Payload::event("e", &("a", 1, [true])), r#"["e","a",1,[true]]"#),
            (Payload::event("e", &(1,)), r#"["e",1]"#),
            (Payload::event("e", &[(); 0]), r#"["e"]"#),
            (Payload::event("e", &vec![1, 2]), r#"["e",[1,2]]"#),
            (Payload::event("e", &Vec::<u8>::new()), r#"["e",[]]"#),
            (Payload::event("e", &json!([1, 2])), r#"["e",[1,2]]"#),
            (Payload::event("e", &None::<u8>), r#"["e",null]"#),
            (Payload::event("e", &Value::Null), r#"["e",null]"#),
            (Payload::event("q\"\n", &()), r#"["q\"\n"]"#),
            (Payload::arguments(&()), "[]"),
            (Payload::arguments("a"), r#"["a"]"#),
            (Payload::arguments(&("a", 1)), r#"["a",1]"#),
            (Payload::arguments(&json!({"a": []})), r#"[{"a":[]}]"#),
        ] {
            assert_eq!(payload.unwrap().json(), expected);
        }
    }

    #[test]
    fn bytes_become_attachments_wherever_they_are() {
        #[derive(Serialize)]
        struct File {
            name: &'static str,
            content: Option<Bytes>,
        }
        let data = (File { name: "a", content: Some("one".into()) }, vec![Bytes::from("two")], [1_u8]);
        let payload = Payload::event("save", &data).unwrap();
        assert_eq!(
            payload.json(),
            r#"["save",{"name":"a","content":{"_placeholder":true,"num":0}},[{"_placeholder":true,"num":1}],[1]]"#
        );
        assert_eq!(payload.attachments(), ["one", "two"]);
        assert_eq!(payload.size_bytes(), payload.json().len() + 6);
    }

    #[test]
    fn what_can_not_be_sent_is_refused() {
        assert!(matches!(Payload::event("disconnect", &()), Err(EncodeError::ReservedName(_))));
        assert!(matches!(Payload::arguments(&HashMap::from([((1, 2), 3)])), Err(EncodeError::Value(_))));
        let mut deep = Value::Null;
        for _ in 0..json::MAX_DEPTH {
            deep = Value::Array(vec![deep]);
        }
        assert!(matches!(Payload::arguments(&deep), Err(EncodeError::Unreadable(DecodeError::TooDeep { .. }))));
        let forged = json!({"_placeholder": true, "num": 0});
        assert!(matches!(Payload::arguments(&(&forged, Bytes::new())), Err(EncodeError::Unreadable(_))));
        assert!(Payload::arguments(&forged).is_ok());
    }

    #[test]
    fn parts_must_be_an_array_whose_placeholders_fit() {
        let parts = |json: &str, attachments: usize| {
            Payload::from_parts(json.to_owned().into(), vec![Bytes::new(); attachments])
        };
        assert!(matches!(parts("{}", 0), Err(DecodeError::Kind { .. })));
        assert!(matches!(parts("[", 0), Err(DecodeError::Json { .. })));
        assert!(matches!(parts("[]", 1), Err(DecodeError::Placeholders)));
        assert_eq!(parts(" [1 ] \n", 0).unwrap().json(), "[1 ]");
    }

    #[test]
    fn the_name_is_a_text_or_a_number() {
        for (json, expected) in [
            (r#"["tick",1]"#, Some("tick")),
            (r#"[ "a\u00e9\n" ]"#, Some("aé\n")),
            ("[-12.5e3,1]", Some("-12.5e3")),
            ("[]", None),
            ("[ ]", None),
            ("[null]", None),
            (r#"[["a"]]"#, None),
            (r#"["\ud800"]"#, None),
        ] {
            assert_eq!(payload(json).name().as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn a_tuple_reads_all_arguments_and_other_types_the_first() {
        let event = payload(r#"["e","a",2,[3]]"#);
        assert_eq!(event.decode_event::<String>().unwrap(), "a");
        assert_eq!(event.decode_event::<(String, u8, Vec<u8>)>().unwrap(), ("a".to_owned(), 2, vec![3]));
        assert_eq!(event.decode_event::<(String,)>().unwrap(), ("a".to_owned(),));
        assert_eq!(event.decode_event::<Value>().unwrap(), json!("a"));
        event.decode_event::<()>().unwrap();
        assert_eq!(event.decode::<(String, String)>().unwrap(), ("e".to_owned(), "a".to_owned()));
        assert_eq!(payload("[[1,2]]").decode::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(payload("[1,2]").decode::<[u8; 2]>().unwrap(), [1, 2]);
    }

    #[test]
    fn missing_arguments_read_as_null() {
        let event = payload(r#"["e",1]"#);
        assert_eq!(event.decode_event::<(u8, Option<u8>)>().unwrap(), (1, None));
        let error = event.decode_event::<(u8, u8)>().unwrap_err();
        assert!(
            matches!(&error, DecodeError::Arguments(source) if source.to_string().starts_with("argument 2 is missing"))
        );
        assert!(!error.is_limit());
        assert_eq!(payload(r#"["e"]"#).decode_event::<Option<u8>>().unwrap(), None);
        assert_eq!(payload("[]").decode::<Value>().unwrap(), Value::Null);
        assert!(payload("[]").decode::<String>().is_err());
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Shape {
        Empty,
        Blob(Bytes),
        Pair(u8, Bytes),
        Named { data: Bytes },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(f64),
        Text(String),
        Data(Bytes),
    }

    #[test]
    fn placeholders_are_found_by_their_number_not_by_their_order() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Second {
            second: Option<Bytes>,
            third: Option<Bytes>,
        }
        let event = with_attachments(
            r#"["e",{"first":{"_placeholder":true,"num":2},"second":{"num":0,"_placeholder":true},"third":null},{"_placeholder":true,"num":1}]"#,
            ["a", "b", "c"],
        );
        let expected = Second { second: Some("a".into()), third: None };
        assert_eq!(event.decode_event::<(Second, Bytes)>().unwrap(), (expected, "b".into()));
    }

    #[test]
    fn all_of_serde_s_shapes_take_attachments() {
        let json = r#"[{"blob":{"_placeholder":true,"num":0}},{"pair":[-7,{"_placeholder":true,"num":1}]},"empty"]"#;
        let read = with_attachments(&json.replace("-7", "7"), ["a", "b"]).decode::<(Shape, Shape, Shape)>().unwrap();
        assert_eq!(read, (Shape::Blob("a".into()), Shape::Pair(7, "b".into()), Shape::Empty));
        assert!(with_attachments(json, ["a", "b"]).decode::<(Shape, Shape)>().is_err());

        let named = with_attachments(r#"[{"named":{"data":{"_placeholder":true,"num":0}}}]"#, ["a"]);
        assert_eq!(named.decode::<Shape>().unwrap(), Shape::Named { data: "a".into() });

        let json = r#"[[1,-2.5,"\u00e9",{"_placeholder":true,"num":0}]]"#;
        let mixed = Payload::from_parts(json.into(), vec![Bytes::from_static(&[0xff])]).unwrap();
        let expected = [
            Untagged::Number(1.0),
            Untagged::Number(-2.5),
            Untagged::Text("é".into()),
            Untagged::Data(Bytes::from_static(&[0xff])),
        ];
        assert_eq!(mixed.decode::<Vec<Untagged>>().unwrap(), expected);

        let keyed =
            with_attachments(r#"[{"-1":{"_placeholder":true,"num":0},"2":{"_placeholder":true,"num":1}}]"#, ["a", "b"]);
        let expected = BTreeMap::from([(-1, Bytes::from("a")), (2, Bytes::from("b"))]);
        assert_eq!(keyed.decode::<BTreeMap<i32, Bytes>>().unwrap(), expected);
    }

    #[test]
    fn a_json_value_takes_what_has_no_attachment_in_it() {
        let event = with_attachments(r#"["e",{"a":[1,null,true]},{"_placeholder":true,"num":0}]"#, ["x"]);
        assert_eq!(event.decode_event::<Value>().unwrap(), json!({"a": [1, null, true]}));
        assert!(matches!(event.decode_event::<(Value, Value)>(), Err(DecodeError::Arguments(_))));
    }

    #[test]
    fn what_is_let_in_can_be_read_even_at_the_greatest_depth() {
        let json = format!("{}{}", "[".repeat(json::MAX_DEPTH), "]".repeat(json::MAX_DEPTH));
        assert!(payload(&json).decode::<Value>().is_ok());
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        let json = json.replace("[]", &format!("[{placeholder}]")).replacen('[', "", 1);
        assert!(with_attachments(&json[..json.len() - 1], ["x"]).decode::<serde::de::IgnoredAny>().is_ok());
    }

    #[test]
    fn the_offset_becomes_the_last_argument() {
        let offset = Offset { time_ms: 12, sequence: 3 };
        assert_eq!(payload(r#"["e"]"#).with_offset(offset).json(), r#"["e","12-3"]"#);
        assert_eq!(payload(" [ ] ").with_offset(offset).json(), r#"[ "12-3"]"#);
        assert_eq!(payload(r#"["e",{"a":"]"} ]"#).with_offset(offset).json(), r#"["e",{"a":"]"} ,"12-3"]"#);
        let binary = with_attachments(r#"["e",{"_placeholder":true,"num":0}]"#, ["x"]);
        assert_eq!(
            binary.with_offset(offset).decode_event::<(Bytes, String)>().unwrap(),
            ("x".into(), "12-3".to_owned())
        );
    }

    #[test]
    fn the_last_argument_is_told_from_the_name() {
        for (json, expected) in [
            ("[]", false),
            (r#"["e"]"#, false),
            (r#"[ "e" ]"#, false),
            (r#"["e","a"]"#, true),
            (r#"["e","e" ]"#, true),
            (r#"["e",""]"#, true),
            (r#"["e","a",1]"#, false),
            (r#"["e",["a"]]"#, false),
            (r#"["e",{"a":"b"}]"#, false),
            (r#"[1,"\""]"#, true),
        ] {
            assert_eq!(payload(json).ends_with_string(), expected, "{json}");
        }
    }
}
