//! Ids of connections, sockets and sessions.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::Rng as _;

/// Characters of an id: what 15 random bytes make in base64.
const LENGTH: usize = 20;

/// 120 random bits as 20 characters of `A-Z a-z 0-9 - _`: nobody guesses one. As long as the ids of the original.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; LENGTH]);

impl Id {
    pub(crate) fn random() -> Self {
        let mut secret = [0; 15];
        rand::rng().fill_bytes(&mut secret);
        let mut text = [0; LENGTH];
        BASE64_URL_SAFE_NO_PAD.encode_slice(secret, &mut text).expect("15 bytes make 20 characters");
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id holds ASCII alone")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 20 characters of A-Z a-z 0-9 - _")]
pub struct InvalidId;

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| InvalidId)?;
        let known = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if known { Ok(Self(bytes)) } else { Err(InvalidId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_survive_their_text() {
        let id = Id::random();
        assert_ne!(id, Id::random());
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "short", "has a space in its m", "ünïcödé-of-twenty-b", "123456789012345678901"] {
            assert_eq!(text.parse::<Id>(), Err(InvalidId), "{text:?}");
        }
    }
}
