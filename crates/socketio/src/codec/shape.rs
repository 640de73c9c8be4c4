//! How a Rust value spreads over the arguments of an event: a tuple over several, `()` over none, all else over one.
//!
//! Serde tells tuples from lists only by the method a type calls, so both probes make that one call and stop.

use std::fmt;

use serde::{
    Deserialize, Serialize,
    de::{self, Visitor},
    forward_to_deserialize_any,
    ser::{self, Impossible},
};

/// How many arguments a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `()` and unit structs.
    None,
    /// All that is not one of the others.
    One,
    /// Tuples, tuple structs and arrays of fixed length.
    Several,
}

/// How many arguments this value becomes.
pub(super) fn of_value<T: Serialize + ?Sized>(value: &T) -> Shape {
    // A `serde_json::Value` that is null serialises as `()` does, but it is something of some size.
    let unit = if size_of_val(value) == 0 { Shape::None } else { Shape::One };
    value.serialize(Probe { unit }).unwrap_or_else(|found| found.0)
}

/// How many arguments this type is read from.
pub(super) fn of_type<'de, T: Deserialize<'de>>() -> Shape {
    T::deserialize(Probe { unit: Shape::None }).map_or_else(|found| found.0, |_| Shape::One)
}

struct Probe {
    /// What a unit is.
    unit: Shape,
}

/// Ends the probe with its result.
#[derive(Debug)]
struct Found(Shape);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Shape::One)
    }
}

impl de::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Shape::One)
    }
}

macro_rules! one_argument {
    ($($method:ident: $scalar:ty),* $(,)?) => {
        $(fn $method(self, _: $scalar) -> Result<Shape, Found> {
            Ok(Shape::One)
        })*
    };
}

impl ser::Serializer for Probe {
    type Ok = Shape;
    type Error = Found;
    type SerializeSeq = Impossible<Shape, Found>;
    type SerializeTuple = Impossible<Shape, Found>;
    type SerializeTupleStruct = Impossible<Shape, Found>;
    type SerializeTupleVariant = Impossible<Shape, Found>;
    type SerializeMap = Impossible<Shape, Found>;
    type SerializeStruct = Impossible<Shape, Found>;
    type SerializeStructVariant = Impossible<Shape, Found>;

    one_argument! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_i128: i128, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
    }

    fn serialize_none(self) -> Result<Shape, Found> {
        Ok(Shape::One)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Shape, Found> {
        Ok(Shape::One)
    }

    fn serialize_unit(self) -> Result<Shape, Found> {
        Ok(self.unit)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Shape, Found> {
        Ok(self.unit)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Shape, Found> {
        Ok(Shape::One)
    }

    /// In JSON a newtype is what it holds.
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Shape, Found> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Shape, Found> {
        Ok(Shape::One)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Found> {
        Err(Found(Shape::One))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Found> {
        Err(Found(Shape::Several))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Found> {
        Err(Found(Shape::Several))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Found> {
        Err(Found(Shape::One))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Found> {
        Err(Found(Shape::One))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Found> {
        Err(Found(Shape::One))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Found> {
        Err(Found(Shape::One))
    }
}

impl<'de> de::Deserializer<'de> for Probe {
    type Error = Found;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Found> {
        Err(Found(Shape::One))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Found> {
        Err(Found(self.unit))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Result<V::Value, Found> {
        Err(Found(self.unit))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Found> {
        Err(Found(Shape::Several))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, _: V) -> Result<V::Value, Found> {
        Err(Found(Shape::Several))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Found> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option seq map struct enum
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::{Serialize, de::DeserializeOwned};

    use super::*;

    #[derive(Default, Serialize, Deserialize)]
    struct Unit;
    #[derive(Default, Serialize, Deserialize)]
    struct Pair(u8, u8);
    #[derive(Default, Serialize, Deserialize)]
    struct Newtype<T>(T);
    #[derive(Default, Serialize, Deserialize)]
    struct Record {
        field: (u8, u8),
    }

    fn assert_shape<T: Default + Serialize + DeserializeOwned>(expected: Shape) {
        let name = std::any::type_name::<T>();
        assert_eq!(of_value(&T::default()), expected, "{name} as value");
        assert_eq!(of_type::<T>(), expected, "{name} as type");
    }

    #[test]
    fn tuples_are_several_arguments_and_units_none() {
        assert_shape::<()>(Shape::None);
        assert_shape::<Unit>(Shape::None);
        assert_shape::<(u8,)>(Shape::Several);
        assert_shape::<(u8, String)>(Shape::Several);
        assert_shape::<[u8; 3]>(Shape::Several);
        assert_shape::<Pair>(Shape::Several);
        assert_shape::<Newtype<(u8, u8)>>(Shape::Several);
        assert_shape::<Box<(u8, u8)>>(Shape::Several);
    }

    #[test]
    fn all_else_is_one_argument() {
        assert_shape::<u8>(Shape::One);
        assert_shape::<String>(Shape::One);
        assert_shape::<Vec<(u8, u8)>>(Shape::One);
        assert_shape::<Option<(u8, u8)>>(Shape::One);
        assert_shape::<Record>(Shape::One);
        assert_shape::<Newtype<Vec<u8>>>(Shape::One);
        assert_shape::<serde_json::Value>(Shape::One);
        assert_shape::<bytes::Bytes>(Shape::One);
        assert_eq!(of_value(&Some((1, 2))), Shape::One);
    }
}
