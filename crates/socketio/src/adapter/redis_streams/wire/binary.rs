//! Values with binary data among them: MessagePack on the wire, JSON with placeholders at home.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use rmpv::Value;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Malformed;
use crate::Payload;

/// MessagePack of the value.
pub(in super::super) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    rmpv::encode::write_value(&mut bytes, value).expect("writing to memory can't fail");
    bytes
}

/// The one value that the bytes are.
pub(in super::super) fn decode(mut bytes: &[u8]) -> Result<Value, Malformed> {
    Ok(rmpv::decode::read_value(&mut bytes)?)
}

/// As [`encode`], in base64.
pub(in super::super) fn encode_base64(value: &Value) -> String {
    STANDARD.encode(encode(value))
}

/// What [`encode_base64`] gave.
pub(in super::super) fn decode_base64(text: &[u8]) -> Result<Value, Malformed> {
    decode(&STANDARD.decode(text)?)
}

/// A map in the order given: the original's decoders don't care, people who compare do.
pub(in super::super) fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// The field of a map.
pub(in super::super) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_map()?.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

/// The arguments, each attachment in its place.
pub(in super::super) fn from_payload(payload: &Payload) -> Result<Value, Malformed> {
    from_json(payload.json(), payload.attachments())
}

/// The JSON as MessagePack, each attachment in its place.
pub(in super::super) fn from_json(text: &str, attachments: &[Bytes]) -> Result<Value, Malformed> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Seed { attachments }.deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

struct Seed<'a> {
    attachments: &'a [Bytes],
}

impl Seed<'_> {
    /// The attachment that this object stands for, if it stands for one.
    fn attachment(&self, map: &[(Value, Value)]) -> Option<Value> {
        let [(first, one), (second, two)] = map else { return None };
        let (mark, number) = match (first.as_str()?, second.as_str()?) {
            ("_placeholder", "num") => (one, two),
            ("num", "_placeholder") => (two, one),
            _ => return None,
        };
        let attachment = self.attachments.get(usize::try_from(number.as_u64()?).ok()?)?;
        (mark.as_bool() == Some(true)).then(|| Value::Binary(attachment.to_vec()))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(Seed { attachments: self.attachments })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            fields.push((key.into(), map.next_value_seed(Seed { attachments: self.attachments })?));
        }
        Ok(self.attachment(&fields).unwrap_or(Value::Map(fields)))
    }
}

/// What becomes of binary data in JSON.
enum Binaries<'a> {
    /// A placeholder; the data goes here.
    Attach(&'a mut Vec<Bytes>),
    /// What `JSON.stringify` makes of Node's `Buffer`.
    Spell,
}

/// The arguments, which must be an array.
pub(in super::super) fn to_payload(value: Value) -> Result<Payload, Malformed> {
    if !value.is_array() {
        return Err(Malformed::Field("data"));
    }
    let (mut json, mut attachments) = (String::new(), Vec::new());
    write_json(&mut json, value, &mut Binaries::Attach(&mut attachments));
    Ok(Payload::from_parts(json.into(), attachments)?)
}

/// The value as `JSON.stringify` writes it.
pub(in super::super) fn to_plain_json(value: Value) -> String {
    let mut json = String::new();
    write_json(&mut json, value, &mut Binaries::Spell);
    json
}

fn write_json(json: &mut String, value: Value, binaries: &mut Binaries<'_>) {
    match value {
        Value::Boolean(value) => json.push_str(if value { "true" } else { "false" }),
        Value::Integer(value) => json.push_str(&value.to_string()),
        Value::F32(value) => write_number(json, f64::from(value)),
        Value::F64(value) => write_number(json, value),
        Value::String(value) => push_string(json, &String::from_utf8_lossy(value.as_bytes())),
        Value::Binary(data) => match binaries {
            Binaries::Attach(attachments) => {
                json.push_str(r#"{"_placeholder":true,"num":"#);
                json.push_str(&attachments.len().to_string());
                json.push('}');
                attachments.push(data.into());
            }
            Binaries::Spell => {
                let numbers: Vec<String> = data.iter().map(u8::to_string).collect();
                json.push_str(r#"{"type":"Buffer","data":["#);
                json.push_str(&numbers.join(","));
                json.push_str("]}");
            }
        },
        Value::Array(values) => {
            json.push('[');
            for (n, value) in values.into_iter().enumerate() {
                if n > 0 {
                    json.push(',');
                }
                write_json(json, value, binaries);
            }
            json.push(']');
        }
        Value::Map(fields) => {
            json.push('{');
            for (n, (key, value)) in fields.into_iter().enumerate() {
                if n > 0 {
                    json.push(',');
                }
                match &key {
                    Value::String(key) => push_string(json, &String::from_utf8_lossy(key.as_bytes())),
                    other => push_string(json, &other.to_string()),
                }
                json.push(':');
                write_json(json, value, binaries);
            }
            json.push('}');
        }
        // A JavaScript date, which a client would get as text.
        Value::Ext(-1, data) => match date(&data) {
            Some(text) => push_string(json, &text),
            None => json.push_str("null"),
        },
        Value::Nil | Value::Ext(..) => json.push_str("null"),
    }
}

/// JSON knows no infinity and no NaN.
fn write_number(json: &mut String, value: f64) {
    match serde_json::Number::from_f64(value) {
        Some(number) => json.push_str(&number.to_string()),
        None => json.push_str("null"),
    }
}

/// The text as a JSON string.
pub(in super::super) fn push_string(json: &mut String, text: &str) {
    json.push_str(&serde_json::to_string(text).expect("a text is always JSON"));
}

/// A timestamp of MessagePack as `Date.toISOString` writes it.
/// Source: <https://github.com/msgpack/msgpack/blob/master/spec.md#timestamp-extension-type>
fn date(data: &[u8]) -> Option<String> {
    let (seconds, nanoseconds) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(data.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(data.try_into().ok()?);
            ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
        }
        12 => {
            let (nanoseconds, seconds) = data.split_at(4);
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes(nanoseconds.try_into().ok()?))
        }
        _ => return None,
    };
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years from March on, in eras of 400 years: https://howardhinnant.github.io/date_algorithms.html#civil_from_days
    let shifted = day.checked_add(719_468)?;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let (year, date) =
        (year_of_era + era * 400 + i64::from(month <= 2), day_of_year - (153 * shifted_month + 2) / 5 + 1);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (hour, minute, second, ms) = (second / 3600, second / 60 % 60, second % 60, nanoseconds / 1_000_000);
    Some(format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_their_order_their_numbers_and_their_attachments() {
        let text = r#"["e",{"z":1,"a":[{"_placeholder":true,"num":1},-5,1.5,18446744073709551615,null,"é\n"]},{"num":0,"_placeholder":true}]"#;
        let attachments = vec![Bytes::from_static(b"one"), Bytes::from_static(b"")];
        let value = from_payload(&Payload::from_parts(text.into(), attachments).unwrap()).unwrap();
        let payload = to_payload(decode(&encode(&value)).unwrap()).unwrap();
        let expected = r#"["e",{"z":1,"a":[{"_placeholder":true,"num":0},-5,1.5,18446744073709551615,null,"é\n"]},{"_placeholder":true,"num":1}]"#;
        assert_eq!(payload.json(), expected);
        assert_eq!(payload.attachments(), [&b""[..], b"one"]);
    }

    #[test]
    fn what_looks_like_a_placeholder_and_is_none_stays() {
        for text in [
            r#"[{"_placeholder":true,"num":3}]"#,
            r#"[{"_placeholder":false,"num":0}]"#,
            r#"[{"_placeholder":true,"num":0,"x":1}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
        ] {
            let value = from_json(text, &[Bytes::from_static(b"x")]).unwrap();
            assert_eq!(to_payload(value).unwrap().json(), text);
        }
    }

    #[test]
    fn dates_are_spelled_as_javascript_does() {
        for (data, text) in [
            (&[0x65, 0x53, 0xf1, 0x00][..], r#"["2023-11-14T22:13:20.000Z"]"#),
            (&[0x75, 0x8b, 0xcd, 0x14, 0x65, 0x53, 0xf1, 0x00], r#"["2023-11-14T22:13:20.493Z"]"#),
            (&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], r#"["1969-12-31T23:59:59.000Z"]"#),
            (&[0x5e, 0x5b, 0x0a, 0x7f], r#"["2020-03-01T01:06:07.000Z"]"#),
            (&[1], "[null]"),
        ] {
            let value = Value::Array(vec![Value::Ext(-1, data.to_vec())]);
            assert_eq!(to_payload(value).unwrap().json(), text);
        }
    }

    #[test]
    fn what_json_does_not_know_is_null() {
        let value = Value::Array(vec![f64::NAN.into(), f64::INFINITY.into(), Value::Ext(7, vec![1])]);
        assert_eq!(to_payload(value).unwrap().json(), "[null,null,null]");
        assert!(to_payload(Value::Nil).is_err());
    }

    #[test]
    fn binary_data_in_plain_json_looks_like_nodes() {
        let value = map([("a", Value::Binary(vec![0, 255]))]);
        assert_eq!(to_plain_json(value), r#"{"a":{"type":"Buffer","data":[0,255]}}"#);
    }
}
