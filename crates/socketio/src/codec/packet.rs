//! Packets as they travel: `<type>[<attachments>-][<namespace>,][<id>][<JSON>]`, attachments after it.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    error::DecodeError,
    json::{self, Kind},
    payload::{self, Payload},
};

/// One packet, its attachments included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Begins with a slash.
    pub(crate) namespace: ByteString,
    pub(crate) body: Body,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Wish to connect to the namespace, or the server's consent: a JSON object or nothing.
    Connect(Option<ByteString>),
    Disconnect,
    /// With an id an acknowledgement is asked for.
    Event {
        id: Option<u64>,
        payload: Payload,
    },
    Ack {
        id: u64,
        payload: Payload,
    },
    /// Refusal: a JSON object, or a string as older servers send.
    ConnectError(ByteString),
}

impl Body {
    pub(super) fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Event { payload, .. } | Self::Ack { payload, .. } => Some(payload),
            Self::Connect(_) | Self::Disconnect | Self::ConnectError(_) => None,
        }
    }
}

/// Bounds on what a packet may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecodeLimits {
    /// Attachments of one packet.
    pub(crate) attachments: usize,
    /// Their bytes, taken together.
    pub(crate) attachment_bytes: usize,
}

/// The text part of a packet; the attachments of its payload follow it.
pub(crate) fn encode(namespace: &str, body: &Body) -> String {
    /// Type, attachments, comma and an id of up to 20 digits.
    const ROOM: usize = 32;
    let json = match body {
        Body::Connect(data) => data.as_deref().unwrap_or_default(),
        Body::Disconnect => "",
        Body::Event { payload, .. } | Body::Ack { payload, .. } => payload.json(),
        Body::ConnectError(data) => data,
    };
    let attachments = body.payload().map_or(0, |payload| payload.attachments().len());
    let mut out = String::with_capacity(ROOM + namespace.len() + json.len());
    out.push(match body {
        Body::Connect(_) => '0',
        Body::Disconnect => '1',
        Body::Event { .. } if attachments == 0 => '2',
        Body::Ack { .. } if attachments == 0 => '3',
        Body::ConnectError(_) => '4',
        Body::Event { .. } => '5',
        Body::Ack { .. } => '6',
    });
    if attachments > 0 {
        push_number(&mut out, attachments as u64);
        out.push('-');
    }
    if namespace != "/" {
        out.push_str(namespace);
        out.push(',');
    }
    if let Body::Event { id: Some(id), .. } | Body::Ack { id, .. } = body {
        push_number(&mut out, *id);
    }
    out.push_str(json);
    out
}

fn push_number(out: &mut String, number: u64) {
    if number >= 10 {
        push_number(out, number / 10);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// Puts packets together from what one connection brings. An error ends the connection; nothing is asked of the decoder
/// after it.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// A packet whose attachments are on their way. Boxed since most connections wait for none.
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    namespace: ByteString,
    /// Acknowledgements always have an id.
    is_ack: bool,
    id: Option<u64>,
    /// Checked, also against the number of attachments.
    json: ByteString,
    attachments: Vec<Bytes>,
    expected: usize,
    bytes: usize,
}

impl Decoder {
    /// Takes a text message. Gives its packet, or none if attachments belong to it that come next.
    pub(crate) fn text(&mut self, text: ByteString, limits: &DecodeLimits) -> Result<Option<Packet>, DecodeError> {
        if let Some(partial) = self.partial.take() {
            return Err(DecodeError::UnexpectedText { missing: partial.expected - partial.attachments.len() });
        }
        let head = Handshake::read(&text)?;
        if head.attachments > limits.attachments {
            return Err(DecodeError::TooManyAttachments { count: head.attachments, limit: limits.attachments });
        }
        let json = json::trim(head.rest);
        let namespace =
            if head.namespace == "/" { ByteString::from_static("/") } else { text.slice_ref(head.namespace) };
        let body = match head.kind {
            b'0' => {
                head.no_id()?;
                let data = (!json.is_empty()).then(|| text.slice_ref(json));
                if data.is_some() && json::check(json, 0)? != Kind::Object {
                    return Err(DecodeError::Kind { expected: "an object" });
                }
                Body::Connect(data)
            }
            b'1' => {
                head.no_id()?;
                if !json.is_empty() {
                    return Err(DecodeError::Kind { expected: "nothing" });
                }
                Body::Disconnect
            }
            b'4' => {
                head.no_id()?;
                match json::check(json, 0)? {
                    Kind::Object | Kind::String => Body::ConnectError(text.slice_ref(json)),
                    _ => return Err(DecodeError::Kind { expected: "an object or a string" }),
                }
            }
            _ => {
                let is_ack = matches!(head.kind, b'3' | b'6');
                if is_ack && head.id.is_none() {
                    return Err(DecodeError::Id);
                }
                Payload::check(json, head.attachments)?;
                if !is_ack {
                    payload::check_name(json)?;
                }
                let json = text.slice_ref(json);
                if head.attachments > 0 {
                    self.partial = Some(Box::new(Partial {
                        namespace,
                        is_ack,
                        id: head.id,
                        json,
                        attachments: Vec::new(),
                        expected: head.attachments,
                        bytes: 0,
                    }));
                    return Ok(None);
                }
                carry(is_ack, head.id, Payload::from_sound(json, Vec::new()))
            }
        };
        Ok(Some(Packet { namespace, body }))
    }

    /// Takes a binary message. Gives the packet that it completes, or none if more attachments belong to that.
    pub(crate) fn binary(&mut self, data: Bytes, limits: &DecodeLimits) -> Result<Option<Packet>, DecodeError> {
        let mut partial = self.partial.take().ok_or(DecodeError::UnexpectedBinary)?;
        partial.bytes = partial.bytes.saturating_add(data.len());
        if partial.bytes > limits.attachment_bytes {
            return Err(DecodeError::AttachmentsTooLarge { limit_bytes: limits.attachment_bytes });
        }
        partial.attachments.push(data);
        if partial.attachments.len() < partial.expected {
            self.partial = Some(partial);
            return Ok(None);
        }
        let Partial { namespace, is_ack, id, json, attachments, .. } = *partial;
        Ok(Some(Packet { namespace, body: carry(is_ack, id, Payload::from_sound(json, attachments)) }))
    }

    /// Whether attachments are awaited.
    #[cfg(test)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.partial.is_some()
    }
}

fn carry(is_ack: bool, id: Option<u64>, payload: Payload) -> Body {
    match id {
        Some(id) if is_ack => Body::Ack { id, payload },
        id => Body::Event { id, payload },
    }
}

/// All that stands before the JSON.
struct Handshake<'a> {
    kind: u8,
    attachments: usize,
    namespace: &'a str,
    id: Option<u64>,
    rest: &'a str,
}

impl<'a> Handshake<'a> {
    fn read(text: &'a str) -> Result<Self, DecodeError> {
        let kind = text.bytes().next().filter(|kind| matches!(kind, b'0'..=b'6')).ok_or(DecodeError::PacketType)?;
        let mut rest = &text[1..];
        let mut attachments = 0;
        if matches!(kind, b'5' | b'6') {
            let (digits, after) = split_digits(rest);
            rest = after.strip_prefix('-').filter(|_| !digits.is_empty()).ok_or(DecodeError::AttachmentCount)?;
            // More digits than a number holds are still a number, and too many attachments.
            attachments = digits.parse().unwrap_or(usize::MAX);
            if attachments == 0 {
                return Err(DecodeError::AttachmentCount);
            }
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            // Without anything behind it, the namespace may lack its comma.
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
            if namespace.bytes().any(|byte| byte.is_ascii_control()) {
                return Err(DecodeError::Namespace);
            }
        }
        let (digits, rest) = split_digits(rest);
        let id = if digits.is_empty() { None } else { Some(digits.parse().map_err(|_| DecodeError::Id)?) };
        Ok(Self { kind, attachments, namespace, id, rest })
    }

    fn no_id(&self) -> Result<(), DecodeError> {
        if self.id.is_some() { Err(DecodeError::Id) } else { Ok(()) }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits { attachments: 3, attachment_bytes: 10 };
    const ONE: &str = r#"{"_placeholder":true,"num":0}"#;

    fn read(text: &str) -> Result<Option<Packet>, DecodeError> {
        Decoder::default().text(text.to_owned().into(), &LIMITS)
    }

    fn payload(json: &str) -> Payload {
        Payload::from_parts(json.to_owned().into(), Vec::new()).unwrap()
    }

    #[test]
    fn an_idle_decoder_is_one_pointer() {
        assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    }

    #[test]
    fn sound_packets_are_read_and_written_alike() {
        for (text, namespace, body) in [
            ("0", "/", Body::Connect(None)),
            (r#"0{"token":"x"}"#, "/", Body::Connect(Some(r#"{"token":"x"}"#.into()))),
            ("0/admin,", "/admin", Body::Connect(None)),
            (r#"0/admin?a=1&b=é,{"sid":"x"}"#, "/admin?a=1&b=é", Body::Connect(Some(r#"{"sid":"x"}"#.into()))),
            ("1", "/", Body::Disconnect),
            ("1/admin,", "/admin", Body::Disconnect),
            (r#"2["e"]"#, "/", Body::Event { id: None, payload: payload(r#"["e"]"#) }),
            (r#"20["e",{"a":[1]}]"#, "/", Body::Event { id: Some(0), payload: payload(r#"["e",{"a":[1]}]"#) }),
            (r#"2/admin,456["e"]"#, "/admin", Body::Event { id: Some(456), payload: payload(r#"["e"]"#) }),
            ("2[1,2]", "/", Body::Event { id: None, payload: payload("[1,2]") }),
            ("3456[]", "/", Body::Ack { id: 456, payload: payload("[]") }),
            ("3/admin,18446744073709551615[null]", "/admin", Body::Ack { id: u64::MAX, payload: payload("[null]") }),
            (r#"4{"message":"no"}"#, "/", Body::ConnectError(r#"{"message":"no"}"#.into())),
            (r#"4/admin,"no""#, "/admin", Body::ConnectError(r#""no""#.into())),
        ] {
            assert_eq!(encode(namespace, &body), text);
            assert_eq!(read(text).unwrap(), Some(Packet { namespace: namespace.into(), body }), "{text}");
        }
    }

    #[test]
    fn what_is_only_unusual_is_read() {
        assert_eq!(read("1/admin").unwrap().unwrap().namespace, "/admin");
        assert_eq!(read("0/").unwrap().unwrap().namespace, "/");
        assert_eq!(read("2/,[\"e\"]").unwrap().unwrap().namespace, "/");
        let spaced = read("2007 [ \"e\" ] ").unwrap().unwrap();
        assert_eq!(spaced.body, Body::Event { id: Some(7), payload: payload("[ \"e\" ]") });
    }

    #[test]
    fn malformed_packets_are_refused() {
        type Check = fn(&DecodeError) -> bool;
        let cases: &[(&str, Check)] = &[
            ("", |e| matches!(e, DecodeError::PacketType)),
            ("7", |e| matches!(e, DecodeError::PacketType)),
            ("é", |e| matches!(e, DecodeError::PacketType)),
            ("abc", |e| matches!(e, DecodeError::PacketType)),
            (" 2[\"e\"]", |e| matches!(e, DecodeError::PacketType)),
            ("0[]", |e| matches!(e, DecodeError::Kind { .. })),
            ("0null", |e| matches!(e, DecodeError::Kind { .. })),
            ("0\"a\"", |e| matches!(e, DecodeError::Kind { .. })),
            ("0{", |e| matches!(e, DecodeError::Json { .. })),
            ("0{}x", |e| matches!(e, DecodeError::Json { .. })),
            ("0admin", |e| matches!(e, DecodeError::Json { .. })),
            ("05{}", |e| matches!(e, DecodeError::Id)),
            ("0/a\nb,", |e| matches!(e, DecodeError::Namespace)),
            ("1{}", |e| matches!(e, DecodeError::Kind { .. })),
            ("1/admin,[]", |e| matches!(e, DecodeError::Kind { .. })),
            ("17", |e| matches!(e, DecodeError::Id)),
            ("2", |e| matches!(e, DecodeError::Json { .. })),
            ("2abc", |e| matches!(e, DecodeError::Json { .. })),
            ("2[", |e| matches!(e, DecodeError::Json { .. })),
            ("2[\"e\"", |e| matches!(e, DecodeError::Json { .. })),
            ("2[\"e\"]]", |e| matches!(e, DecodeError::Json { .. })),
            ("2[\"e\",01]", |e| matches!(e, DecodeError::Json { .. })),
            ("2-1[\"e\"]", |e| matches!(e, DecodeError::Json { .. })),
            ("2/admin[\"e\"]", |e| matches!(e, DecodeError::Json { .. })),
            ("2{}", |e| matches!(e, DecodeError::Kind { .. })),
            ("2\"e\"", |e| matches!(e, DecodeError::Kind { .. })),
            ("21", |e| matches!(e, DecodeError::Json { .. })),
            ("2[]", |e| matches!(e, DecodeError::EventName)),
            ("2[null]", |e| matches!(e, DecodeError::EventName)),
            ("2[true]", |e| matches!(e, DecodeError::EventName)),
            ("2[{}]", |e| matches!(e, DecodeError::EventName)),
            ("2[[\"e\"]]", |e| matches!(e, DecodeError::EventName)),
            ("2[\"\\ud800\"]", |e| matches!(e, DecodeError::EventName)),
            ("2[\"connect\"]", |e| matches!(e, DecodeError::ReservedName(_))),
            ("2[\"connect_error\"]", |e| matches!(e, DecodeError::ReservedName(_))),
            ("2[\"disconnect\"]", |e| matches!(e, DecodeError::ReservedName(_))),
            ("2[\"disconnecting\"]", |e| matches!(e, DecodeError::ReservedName(_))),
            ("2[\"newListener\"]", |e| matches!(e, DecodeError::ReservedName(_))),
            ("2[\"removeListener\"]", |e| matches!(e, DecodeError::ReservedName(_))),
            ("2[\"dis\\u0063onnect\"]", |e| matches!(e, DecodeError::ReservedName(_))),
            ("218446744073709551616[\"e\"]", |e| matches!(e, DecodeError::Id)),
            ("3[]", |e| matches!(e, DecodeError::Id)),
            ("3/admin,[]", |e| matches!(e, DecodeError::Id)),
            ("37", |e| matches!(e, DecodeError::Json { .. })),
            ("37{}", |e| matches!(e, DecodeError::Kind { .. })),
            ("4", |e| matches!(e, DecodeError::Json { .. })),
            ("4abc", |e| matches!(e, DecodeError::Json { .. })),
            ("4[]", |e| matches!(e, DecodeError::Kind { .. })),
            ("47{}", |e| matches!(e, DecodeError::Id)),
            ("5[\"e\"]", |e| matches!(e, DecodeError::AttachmentCount)),
            ("5-[\"e\"]", |e| matches!(e, DecodeError::AttachmentCount)),
            ("50-[\"e\"]", |e| matches!(e, DecodeError::AttachmentCount)),
            ("5+1-[\"e\"]", |e| matches!(e, DecodeError::AttachmentCount)),
            ("51[\"e\"]", |e| matches!(e, DecodeError::AttachmentCount)),
            ("51.5-[\"e\"]", |e| matches!(e, DecodeError::AttachmentCount)),
            ("5", |e| matches!(e, DecodeError::AttachmentCount)),
            ("51-", |e| matches!(e, DecodeError::Json { .. })),
            ("51-[\"e\"]", |e| matches!(e, DecodeError::Placeholders)),
            ("51-[\"e\",{\"_placeholder\":true,\"num\":1}]", |e| matches!(e, DecodeError::Placeholders)),
            ("51-[{\"_placeholder\":true,\"num\":0}]", |e| matches!(e, DecodeError::EventName)),
            ("61-[{\"_placeholder\":true,\"num\":0}]", |e| matches!(e, DecodeError::Id)),
        ];
        for (text, is_expected) in cases {
            let error = read(text).expect_err(text);
            assert!(is_expected(&error), "{text:?}: {error:?}");
            assert!(!error.is_limit(), "{text:?}");
        }
    }

    #[test]
    fn limits_are_told_from_malformed_packets() {
        let mut error = read("54-[\"e\"]").unwrap_err();
        assert!(matches!(error, DecodeError::TooManyAttachments { count: 4, limit: 3 }) && error.is_limit());
        error = read("599999999999999999999999-[\"e\"]").unwrap_err();
        assert!(matches!(error, DecodeError::TooManyAttachments { .. }) && error.is_limit());
        error = read(&format!("2[\"e\",{}", "[".repeat(1000))).unwrap_err();
        assert!(matches!(error, DecodeError::TooDeep { .. }) && error.is_limit());

        let mut decoder = Decoder::default();
        let header = r#"52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        assert_eq!(decoder.text(header.into(), &LIMITS).unwrap(), None);
        assert_eq!(decoder.binary(vec![0; 6].into(), &LIMITS).unwrap(), None);
        error = decoder.binary(vec![0; 5].into(), &LIMITS).unwrap_err();
        assert!(matches!(error, DecodeError::AttachmentsTooLarge { limit_bytes: 10 }) && error.is_limit());
    }

    #[test]
    fn attachments_complete_the_packet_that_announced_them() {
        let mut decoder = Decoder::default();
        let header = r#"52-/admin,7["e",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;
        assert_eq!(decoder.text(header.into(), &LIMITS).unwrap(), None);
        assert!(decoder.is_waiting());
        assert_eq!(decoder.binary("a".into(), &LIMITS).unwrap(), None);
        let packet = decoder.binary("b".into(), &LIMITS).unwrap().unwrap();
        assert!(!decoder.is_waiting());
        assert_eq!(packet.namespace, "/admin");
        assert_eq!(encode("/admin", &packet.body), header);
        let Body::Event { id: Some(7), payload } = packet.body else { panic!("{packet:?}") };
        assert_eq!(payload.attachments(), ["a", "b"]);
        assert_eq!(payload.decode_event::<(Bytes, Bytes)>().unwrap(), ("b".into(), "a".into()));

        assert_eq!(decoder.text(format!("61-3[{ONE}]").into(), &LIMITS).unwrap(), None);
        let packet = decoder.binary("c".into(), &LIMITS).unwrap().unwrap();
        assert!(matches!(&packet.body, Body::Ack { id: 3, payload } if payload.attachments() == ["c"]), "{packet:?}");
    }

    #[test]
    fn text_and_binary_messages_come_in_their_turn() {
        let mut decoder = Decoder::default();
        assert!(matches!(decoder.binary("a".into(), &LIMITS), Err(DecodeError::UnexpectedBinary)));
        assert_eq!(decoder.text(format!("51-[\"e\",{ONE}]").into(), &LIMITS).unwrap(), None);
        assert!(matches!(decoder.text("2[\"e\"]".into(), &LIMITS), Err(DecodeError::UnexpectedText { missing: 1 })));
    }
}
