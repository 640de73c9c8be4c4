//! What holds for every packet.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{Body, DecodeLimits, Decoder, Packet, Payload, encode};
use crate::Offset;

const LIMITS: DecodeLimits = DecodeLimits { attachments: 8, attachment_bytes: 256 };

/// JSON with binary data anywhere in it.
#[derive(Clone, Debug, PartialEq)]
enum Data {
    Null,
    Boolean(bool),
    Number(i64),
    Text(String),
    Bytes(Bytes),
    List(Vec<Data>),
    Record(Vec<(String, Data)>),
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_i64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => serializer.serialize_bytes(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Record(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Data;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Data, E> {
                Ok(Data::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
                Ok(Data::Boolean(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
                Ok(Data::Number(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
                Ok(Data::Number(value.cast_signed()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Data, E> {
                Ok(Data::Text(value.to_owned()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Data, E> {
                Ok(Data::Bytes(Bytes::copy_from_slice(value)))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Data, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Data::List(values))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Data::Record(entries))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn data() -> impl Strategy<Value = Data> {
    let leaf = prop_oneof![
        Just(Data::Null),
        any::<bool>().prop_map(Data::Boolean),
        any::<i64>().prop_map(Data::Number),
        ".{0,12}".prop_map(Data::Text),
        vec(any::<u8>(), 0..8).prop_map(|bytes| Data::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Data::List), vec((".{0,6}", inner), 0..4).prop_map(Data::Record),]
    })
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[^,\\p{Cc}]{0,12}"]
}

fn body() -> impl Strategy<Value = Body> {
    let object = vec(("[a-z]{1,4}", any::<i32>()), 0..3).prop_map(|entries| {
        entries.into_iter().map(|(key, value)| (key, Value::from(value))).collect::<Value>().to_string()
    });
    prop_oneof![
        proptest::option::of(object.clone()).prop_map(|data| Body::Connect(data.map(Into::into))),
        Just(Body::Disconnect),
        (any::<Option<u64>>(), event()).prop_map(|(id, payload)| Body::Event { id, payload }),
        (any::<u64>(), (data(), data()))
            .prop_map(|(id, arguments)| Body::Ack { id, payload: Payload::arguments(&arguments).unwrap() }),
        object.prop_map(|data| Body::ConnectError(data.into())),
    ]
}

fn event() -> impl Strategy<Value = Payload> {
    let name = ".{0,12}".prop_filter("reserved", |name| Payload::event(name, &()).is_ok());
    (name, data(), data()).prop_map(|(name, first, second)| Payload::event(&name, &(first, second)).unwrap())
}

/// Bytes that look a little like packets.
fn nearly_a_packet() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r#"[0-9]{1,3}-?(/[a-z]{0,3},)?[0-9]{0,3}[\[\]{}",:\\u0-9a-e .+\-]{0,16}"#,
        r#"5[12]-\["a"(,\{"_placeholder":(true|false),"num":[0-2-]\}){0,3}\]"#,
        (namespace(), body(), any::<prop::sample::Index>(), any::<char>()).prop_map(|(namespace, body, at, with)| {
            let mut text: Vec<char> = encode(&namespace, &body).chars().collect();
            let at = at.index(text.len());
            text[at] = with;
            text.into_iter().collect()
        }),
    ]
}

#[derive(Clone, Debug)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
}

fn read_all(text: String, attachments: &[Bytes], limits: &DecodeLimits) -> Option<Packet> {
    let mut decoder = Decoder::default();
    let mut packet = decoder.text(text.into(), limits).unwrap();
    for attachment in attachments {
        assert_eq!(packet, None);
        packet = decoder.binary(attachment.clone(), limits).unwrap();
    }
    packet
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_the_decoder_panic_or_pass_its_limits(
        messages in vec(
            prop_oneof![
                3 => nearly_a_packet().prop_map(Message::Text),
                2 => vec(any::<u8>(), 0..200).prop_map(Message::Binary),
            ],
            0..6,
        ),
    ) {
        let mut decoder = Decoder::default();
        for message in messages {
            let read = match message {
                Message::Text(text) => decoder.text(text.into(), &LIMITS),
                Message::Binary(data) => decoder.binary(data.into(), &LIMITS),
            };
            let Ok(packet) = read else {
                // The connection would end; go on with a new one.
                decoder = Decoder::default();
                continue;
            };
            prop_assert_eq!(packet.is_none(), decoder.is_waiting());
            let Some(packet) = packet else { continue };
            prop_assert!(packet.namespace.starts_with('/'));
            if let Body::Event { payload, .. } | Body::Ack { payload, .. } = &packet.body {
                prop_assert!(payload.attachments().len() <= LIMITS.attachments);
                prop_assert!(payload.attachments().iter().map(Bytes::len).sum::<usize>() <= LIMITS.attachment_bytes);
                // Whether it fits is another matter, but reading it must not panic.
                let _ = payload.decode_event::<(Data, Data)>();
                let _ = payload.decode::<Value>();
                let _ = (payload.name(), payload.ends_with_string());
            }
            // What was read is written and read again as the same.
            let attachments = packet.body.payload().map(|payload| payload.attachments().to_vec()).unwrap_or_default();
            prop_assert_eq!(read_all(encode(&packet.namespace, &packet.body), &attachments, &LIMITS), Some(packet));
        }
    }

    #[test]
    fn packets_survive_the_wire(namespace in namespace(), body in body()) {
        let limits = DecodeLimits { attachments: usize::MAX, attachment_bytes: usize::MAX };
        let attachments = body.payload().map(|payload| payload.attachments().to_vec()).unwrap_or_default();
        let packet = read_all(encode(&namespace, &body), &attachments, &limits);
        prop_assert_eq!(packet, Some(Packet { namespace: namespace.into(), body }));
    }

    #[test]
    fn values_survive_their_json(name in "[a-z]{1,4} ?é?", first in data(), second in data()) {
        let arguments = (first, second);
        let event = Payload::event(&name, &arguments).unwrap();
        prop_assert_eq!(event.name().unwrap(), name);
        prop_assert_eq!(&event.decode_event::<(Data, Data)>().unwrap(), &arguments);
        prop_assert_eq!(&event.decode_event::<Data>().unwrap(), &arguments.0);
        prop_assert_eq!(Payload::arguments(&arguments).unwrap().decode::<(Data, Data)>().unwrap(), arguments);
    }

    #[test]
    fn an_offset_leaves_the_other_arguments_alone(event in event(), time_ms: u64, sequence: u64) {
        let offset = Offset { time_ms, sequence };
        let with = event.with_offset(offset);
        prop_assert!(with.ends_with_string());
        prop_assert_eq!(with.name(), event.name());
        prop_assert_eq!(with.attachments(), event.attachments());
        let (first, second, last) = with.decode_event::<(Data, Data, String)>().unwrap();
        prop_assert_eq!((first, second), event.decode_event::<(Data, Data)>().unwrap());
        prop_assert_eq!(last.parse(), Ok(offset));
        // It is as sound as if it had been checked.
        let checked = Payload::from_parts(with.json().to_owned().into(), with.attachments().to_vec()).unwrap();
        prop_assert_eq!(checked, with);
    }

    #[test]
    fn the_size_of_attachments_is_bounded_exactly(sizes in vec(0_usize..64, 1..8)) {
        let attachments: Vec<Bytes> = sizes.iter().map(|size| vec![0; *size].into()).collect();
        let total: usize = sizes.iter().sum();
        let body = Body::Event { id: None, payload: Payload::event("e", &attachments).unwrap() };
        let exact = DecodeLimits { attachments: sizes.len(), attachment_bytes: total };
        prop_assert!(read_all(encode("/", &body), &attachments, &exact).is_some());

        let fewer = DecodeLimits { attachments: sizes.len() - 1, ..exact };
        prop_assert!(Decoder::default().text(encode("/", &body).into(), &fewer).unwrap_err().is_limit());

        if let Some(attachment_bytes) = total.checked_sub(1) {
            let smaller = DecodeLimits { attachment_bytes, ..exact };
            let mut decoder = Decoder::default();
            decoder.text(encode("/", &body).into(), &smaller).unwrap();
            let refused = attachments.iter().find_map(|data| decoder.binary(data.clone(), &smaller).err());
            prop_assert!(refused.is_some_and(|error| error.is_limit()));
        }
    }
}
