//! Arguments to values: placeholders stand for the binary data beside the JSON.
//!
//! Without attachments values are read straight from the text. With attachments each argument becomes a small tree
//! first: placeholders may be numbered in any order and may stand where a type has no field.

use std::{borrow::Cow, fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, UnitDeserializer},
    },
    forward_to_deserialize_any,
};

use super::shape::{self, Shape};

type Error = serde_json::Error;

/// Reads `T` from the arguments, those after the first if that is a name.
pub(super) fn arguments<T: DeserializeOwned>(json: &str, attachments: &[Bytes], named: bool) -> Result<T, Error> {
    let root = Root { attachments, named, target: PhantomData };
    serde_json::Deserializer::from_str(json).deserialize_seq(root)
}

struct Root<'a, T> {
    attachments: &'a [Bytes],
    named: bool,
    target: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Root<'de, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        if self.named {
            seq.next_element::<IgnoredAny>()?;
        }
        let mut arguments = Arguments { seq: &mut seq, attachments: self.attachments, read: 0 };
        let value = match shape::of_type::<T>() {
            Shape::None => T::deserialize(UnitDeserializer::new())?,
            Shape::One => arguments.next_element()?.ok_or_else(|| A::Error::custom("the argument is missing"))?,
            Shape::Several => T::deserialize(arguments)?,
        };
        // More arguments than asked for are no error, as for a JavaScript function.
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(value)
    }
}

/// The arguments, one after the other. One that is missing reads as `null`, so that trailing arguments can be optional.
struct Arguments<'a, 'de, A> {
    seq: &'a mut A,
    attachments: &'de [Bytes],
    read: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Arguments<'_, 'de, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.read += 1;
        let number = self.read;
        let mut seed = Some(seed);
        let element = if self.attachments.is_empty() {
            self.seq.next_element_seed(Lent(&mut seed))?
        } else {
            match self.seq.next_element_seed(Build(self.attachments))? {
                Some(node) => Some(Lent(&mut seed).deserialize(node).map_err(A::Error::custom)?),
                None => None,
            }
        };
        match (element, seed) {
            (None, Some(seed)) => seed
                .deserialize(UnitDeserializer::<A::Error>::new())
                .map(Some)
                .map_err(|_| A::Error::custom(format_args!("argument {number} is missing"))),
            (element, _) => Ok(element),
        }
    }
}

/// A tuple reads itself from the arguments.
impl<'de, A: SeqAccess<'de>> Deserializer<'de> for Arguments<'_, 'de, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_seq(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A seed that is still there if there was nothing to use it on.
struct Lent<'a, S>(&'a mut Option<S>);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Lent<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.take().expect("a seed is used once").deserialize(deserializer)
    }
}

/// A JSON value whose placeholders are replaced.
enum Node<'de> {
    Null,
    Boolean(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Cow<'de, str>),
    Array(Vec<Node<'de>>),
    Object(Vec<(Cow<'de, str>, Node<'de>)>),
    Attachment(&'de Bytes),
}

/// Builds a [`Node`]. The depth is bounded by `serde_json`.
#[derive(Clone, Copy)]
struct Build<'de>(&'de [Bytes]);

impl<'de> DeserializeSeed<'de> for Build<'de> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'de> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Boolean(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Node::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut entries: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        while let Some(Node::Text(key)) = map.next_key_seed(self)? {
            entries.push((key, map.next_value_seed(self)?));
        }
        let last = |name: &str| entries.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value);
        if let (Some(Node::Boolean(true)), Some(Node::Unsigned(number))) = (last("_placeholder"), last("num")) {
            let attachment = usize::try_from(*number).ok().and_then(|number| self.0.get(number));
            return attachment.map(Node::Attachment).ok_or_else(|| A::Error::custom("no such attachment"));
        }
        Ok(Node::Object(entries))
    }
}

impl<'de> IntoDeserializer<'de, Error> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Boolean(value) => visitor.visit_bool(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(Cow::Borrowed(value)) => visitor.visit_borrowed_str(value),
            Self::Text(Cow::Owned(value)) => visitor.visit_string(value),
            Self::Array(elements) => SeqDeserializer::new(elements.into_iter()).deserialize_any(visitor),
            Self::Object(entries) => object(entries).deserialize_any(visitor),
            Self::Attachment(data) => visitor.visit_borrowed_bytes(data),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Text(variant) => {
                IntoDeserializer::<Error>::into_deserializer(variant).deserialize_enum(name, variants, visitor)
            }
            Self::Object(entries) if entries.len() == 1 => {
                MapAccessDeserializer::new(object(entries)).deserialize_enum(name, variants, visitor)
            }
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

type Entries<'de> = std::iter::Map<
    std::vec::IntoIter<(Cow<'de, str>, Node<'de>)>,
    fn((Cow<'de, str>, Node<'de>)) -> (Key<'de>, Node<'de>),
>;

fn object<'de>(entries: Vec<(Cow<'de, str>, Node<'de>)>) -> MapDeserializer<'de, Entries<'de>, Error> {
    MapDeserializer::new(entries.into_iter().map(|(key, value)| (Key(key), value)))
}

/// The key of an object: text, but also what the text says, for maps whose keys are numbers or truth values.
struct Key<'de>(Cow<'de, str>);

macro_rules! from_text {
    ($($method:ident => $visit:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        IntoDeserializer::<Error>::into_deserializer(self.0).deserialize_enum(name, variants, visitor)
    }

    from_text! {
        deserialize_bool => visit_bool, deserialize_i8 => visit_i8, deserialize_i16 => visit_i16, deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64, deserialize_i128 => visit_i128, deserialize_u8 => visit_u8, deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32, deserialize_u64 => visit_u64, deserialize_u128 => visit_u128, deserialize_f32 => visit_f32,
        deserialize_f64 => visit_f64,
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Key<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
