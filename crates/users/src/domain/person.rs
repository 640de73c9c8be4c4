//! What people write about people: names, and why somebody was banned.

use contracts::values::{InvalidText, parse_text};

/// Most characters of a name.
pub const MAX_NAME_CHARS: usize = 100;
/// Most characters of a reason.
pub const MAX_REASON_CHARS: usize = 500;

/// The name of a user: 1 to 100 characters on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// Trims and checks.
    ///
    /// # Errors
    /// [`InvalidText`], worded to follow the name of the field.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let name = parse_text(text, 1, MAX_NAME_CHARS)?;
        // Names stand in the headers of emails: a line break in one would be a header of its own.
        if name.chars().any(char::is_control) {
            return Err(InvalidText::ControlCharacter);
        }
        Ok(Self(name))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a user is banned: 1 to 500 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanReason(String);

impl BanReason {
    /// Trims and checks.
    ///
    /// # Errors
    /// [`InvalidText`], worded to follow the name of the field.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        parse_text(text, 1, MAX_REASON_CHARS).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_1_to_100_characters() {
        assert_eq!(PersonName::parse("  Ada Lovelace ").unwrap().as_str(), "Ada Lovelace");
        assert!(PersonName::parse(&"ä".repeat(100)).is_ok());
        for bad in ["", "  ", &"x".repeat(101), "Ada\nBcc: all", "Ada\tL", "Ada\0"] {
            assert!(PersonName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_reason_is_1_to_500_characters_and_may_have_lines() {
        assert_eq!(BanReason::parse("spam\nagain").unwrap().as_str(), "spam\nagain");
        for bad in [" ", &"x".repeat(501), "\u{1b}[31m"] {
            assert!(BanReason::parse(bad).is_err(), "{bad:?}");
        }
    }
}
