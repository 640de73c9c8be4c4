//! Where a stored broadcast stands in its stream.

use std::{fmt, str::FromStr};

/// Position of a stored broadcast: `<milliseconds>-<sequence>`, ordered as Redis orders the ids of a stream.
///
/// Clients hold the offset of the last event they have seen and send it back when they reconnect.
/// Source: <https://redis.io/docs/latest/develop/data-types/streams/#entry-ids>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    /// Unix time of the broadcast, in milliseconds.
    pub time_ms: u64,
    /// Counts the broadcasts of one millisecond.
    pub sequence: u64,
}

impl Offset {
    /// Before every broadcast.
    pub const ZERO: Self = Self { time_ms: 0, sequence: 0 };

    /// The least offset after this one.
    #[cfg(feature = "redis")]
    pub(crate) fn next(self) -> Self {
        match self.sequence.checked_add(1) {
            Some(sequence) => Self { sequence, ..self },
            None => Self { time_ms: self.time_ms.saturating_add(1), sequence: 0 },
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time_ms, self.sequence)
    }
}

/// The text is no offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an offset is two decimal numbers joined by a hyphen")]
pub struct InvalidOffset;

impl FromStr for Offset {
    type Err = InvalidOffset;

    /// Takes digits alone, as the original does: no signs, no spaces.
    fn from_str(text: &str) -> Result<Self, InvalidOffset> {
        let (time_ms, sequence) = text.split_once('-').ok_or(InvalidOffset)?;
        let number = |digits: &str| {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(InvalidOffset);
            }
            digits.parse().map_err(|_| InvalidOffset)
        };
        Ok(Self { time_ms: number(time_ms)?, sequence: number(sequence)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_survives_its_text() {
        let offset = Offset { time_ms: 1_700_000_000_000, sequence: u64::MAX };
        assert_eq!(offset.to_string().parse(), Ok(offset));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "-", "1", "1-", "-1", "+1-0", "1-0 ", "1-0-0", "18446744073709551616-0", "x-1"] {
            assert_eq!(text.parse::<Offset>(), Err(InvalidOffset), "{text:?}");
        }
    }
}
