//! Whole numbers in requests.
//!
//! Whatever the message to a service can carry is passed on, for the service to judge. What it can't carry is refused
//! here, in the words of the service's rule and not of the machine's types.

use std::fmt;
use std::marker::PhantomData;

use contracts::money::MAX_AMOUNT_MINOR;
use contracts::values::MAX_QUANTITY;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// The most units that inventory counts on a shelf.
const MAX_ON_HAND: u64 = 1_000_000_000;

/// How many to order.
///
/// # Errors
/// What is no whole number, or far from any quantity.
pub(super) fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read(deserializer, format_args!("a whole number from 1 to {MAX_QUANTITY}"))
}

/// How many are on the shelf.
///
/// # Errors
/// What is no whole number, or far from any count.
pub(super) fn on_hand<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    read(deserializer, format_args!("a whole number from 0 to {MAX_ON_HAND}"))
}

/// How much money.
///
/// # Errors
/// What is no whole number, or far from any amount.
pub(super) fn amount_minor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    read(deserializer, format_args!("a whole number of minor units, at most {MAX_AMOUNT_MINOR}"))
}

fn read<'de, D, T>(deserializer: D, expected: fmt::Arguments<'_>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64> + TryFrom<u64>,
{
    // Which integer is asked for does not matter to JSON: the visitor is given the number as it stands there.
    deserializer.deserialize_i64(Whole { expected, number: PhantomData })
}

struct Whole<'a, T> {
    /// Worded to follow "must be".
    expected: fmt::Arguments<'a>,
    number: PhantomData<T>,
}

impl<T: TryFrom<i64> + TryFrom<u64>> Visitor<'_> for Whole<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(self.expected)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}
