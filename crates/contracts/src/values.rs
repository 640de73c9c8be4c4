//! Values that several services parse in the same way.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A stock keeping unit: 1 to 64 of `A-Z a-z 0-9 - _ .`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(String);

/// The text is not a sku.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sku is 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit")]
pub struct InvalidSku;

impl Sku {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Sku {
    type Err = InvalidSku;
    fn from_str(text: &str) -> Result<Self, InvalidSku> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Sku {
    type Error = InvalidSku;
    fn try_from(text: String) -> Result<Self, InvalidSku> {
        let valid = (1..=64).contains(&text.len())
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if valid { Ok(Self(text)) } else { Err(InvalidSku) }
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many units of one product an order may ask for.
pub const MAX_QUANTITY: u32 = 10_000;

/// Whole units of one product, 1 to [`MAX_QUANTITY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quantity(u32);

/// The number is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is a whole number from 1 to {MAX_QUANTITY}")]
pub struct InvalidQuantity;

impl Quantity {
    /// Units.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Quantity {
    type Error = InvalidQuantity;
    fn try_from(units: u32) -> Result<Self, InvalidQuantity> {
        if (1..=MAX_QUANTITY).contains(&units) { Ok(Self(units)) } else { Err(InvalidQuantity) }
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How an order may be paid in the sandbox; crates/payment/README.md says what each does.
pub const PAYMENT_METHODS: [&str; 6] = [
    "card_ok",
    "card_declined",
    "card_insufficient_funds",
    "card_slow",
    "card_timeout_captured",
    "card_timeout_declined",
];

/// Why free text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing but white space where something is needed, or too long.
    #[error("must be {min} to {max} characters")]
    Length {
        /// Least characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// A control character other than a line break or a tab.
    #[error("must not contain control characters")]
    ControlCharacter,
}

/// Free text for people, trimmed: `min..=max` characters (Unicode scalar values), no control characters but line breaks and tabs.
///
/// # Errors
/// [`InvalidText`], worded to follow the name of the field.
pub fn parse_text(text: &str, min: usize, max: usize) -> Result<String, InvalidText> {
    let text = text.trim();
    // A character takes at most four bytes: cheap refusal before counting.
    if text.len() > max * 4 || !(min..=max).contains(&text.chars().count()) {
        return Err(InvalidText::Length { min, max });
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(InvalidText::ControlCharacter);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skus_are_short_and_plain() {
        for good in ["A", "TEA-001", "mug.blue_2", &"x".repeat(64)] {
            assert!(good.parse::<Sku>().is_ok(), "{good}");
        }
        for bad in ["", "-A", ".", "A B", "A/B", "A\0", "Ä", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Sku>(), Err(InvalidSku), "{bad:?}");
        }
    }

    #[test]
    fn quantities_are_positive_and_bounded() {
        assert!(Quantity::try_from(0).is_err());
        assert!(Quantity::try_from(MAX_QUANTITY + 1).is_err());
        assert_eq!(Quantity::try_from(MAX_QUANTITY).map(Quantity::get), Ok(MAX_QUANTITY));
    }

    #[test]
    fn text_is_trimmed_counted_in_characters_and_free_of_controls() {
        assert_eq!(parse_text("  äöü ", 1, 3).as_deref(), Ok("äöü"));
        assert_eq!(parse_text("   ", 1, 3), Err(InvalidText::Length { min: 1, max: 3 }));
        assert_eq!(parse_text("a\0b", 1, 9), Err(InvalidText::ControlCharacter));
        assert_eq!(parse_text("a\nb", 1, 9).as_deref(), Ok("a\nb"));
    }
}
