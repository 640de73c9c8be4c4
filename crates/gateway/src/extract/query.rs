//! Query parameters: typed, unknown and repeated ones refused. A list is comma-separated.

use std::fmt;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use contracts::{Reason, Refusal};
use serde::de::value::MapDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::decode::Complaint;
use crate::problem::Problem;

/// The query, as a struct whose fields are texts, what is read from a text, booleans, and lists of them.
pub struct QueryParams<T>(pub T);

impl<T: DeserializeOwned> FromRequest for QueryParams<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Self).map_err(Problem::from))
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Refusal> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decode(name)
            .ok_or_else(|| Refusal::new(Reason::InvalidRequest, "the query is not percent-encoded UTF-8"))?;
        let value = percent_decode(value)
            .ok_or_else(|| Refusal::invalid(name.as_str(), "must be percent-encoded UTF-8 without NUL"))?;
        pairs.push((name, Value(value)));
    }
    serde_path_to_error::deserialize(MapDeserializer::<_, Invalid>::new(pairs.into_iter())).map_err(|error| {
        let complaint = Complaint::of(&error.inner().0);
        let name = complaint.below.unwrap_or_else(|| error.path().to_string());
        Refusal::invalid(name, complaint.message)
    })
}

/// Decodes `application/x-www-form-urlencoded` text; `None` for a broken escape, for what is no UTF-8, and for NUL.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok().filter(|text| !text.contains('\0'))
}

/// The text of one parameter, read as whatever type is asked for.
struct Value(String);

#[derive(Debug)]
struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl de::Error for Invalid {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl IntoDeserializer<'_, Invalid> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = Invalid;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        match self.0.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Invalid("must be true or false".to_owned())),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        let items = self.0.split(',').filter(|item| !item.is_empty()).map(|item| Self(item.to_owned()));
        visitor.visit_seq(de::value::SeqDeserializer::new(items.collect::<Vec<_>>().into_iter()))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::shapes::PageLimit;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        search: Option<String>,
        tags: Vec<String>,
        limit: PageLimit,
        unread: Option<bool>,
    }

    #[test]
    fn parameters_are_read_by_their_types() {
        let sample: Sample = parse("search=green+tea%21&tags=tea,%20cup,&limit=7&unread=true&").unwrap();
        assert_eq!(
            sample,
            Sample {
                search: Some("green tea!".to_owned()),
                tags: vec!["tea".to_owned(), " cup".to_owned()],
                limit: PageLimit::try_from("7".to_owned()).unwrap(),
                unread: Some(true)
            }
        );
        assert_eq!(parse::<Sample>("").unwrap(), Sample::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, name, message) in [
            ("limit=x", "limit", "must be a whole number from 1 to 100"),
            ("limit=-1", "limit", "must be a whole number from 1 to 100"),
            ("limit=4294967296", "limit", "must be a whole number from 1 to 100"),
            ("limit=", "limit", "must be a whole number from 1 to 100"),
            ("unread=1", "unread", "must be true or false"),
            ("limit=1&limit=2", "limit", "is given twice"),
            ("lim=1", "lim", "is not known"),
            ("search=%00", "search", "must be percent-encoded UTF-8 without NUL"),
            ("search=%ff", "search", "must be percent-encoded UTF-8 without NUL"),
            ("search=%4", "search", "must be percent-encoded UTF-8 without NUL"),
        ] {
            let refusal = parse::<Sample>(query).unwrap_err();
            let field = &refusal.fields[0];
            assert_eq!((field.field.as_str(), field.message.as_str()), (name, message), "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query in ".*") {
            let _ = parse::<Sample>(&query);
        }
    }
}
