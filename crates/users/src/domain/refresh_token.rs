//! Refresh tokens.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// Longer texts are refused unread; a token has 43 characters.
pub const MAX_REFRESH_TOKEN_BYTES: usize = 512;

/// A refresh token as its holder presents it: 256 random bits in base64url when Souk made it. Never printed, never stored.
#[derive(Clone, Debug)]
pub struct RefreshToken(SecretString);

/// The text can't be a refresh token of anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a refresh token as it was issued")]
pub struct InvalidRefreshTokenText;

impl RefreshToken {
    /// Takes any text that could be sent as a token; whether it is one, the store knows.
    ///
    /// # Errors
    /// [`InvalidRefreshTokenText`] when it is empty, too long or not visible ASCII.
    pub fn parse(text: String) -> Result<Self, InvalidRefreshTokenText> {
        let secret = SecretString::from(text);
        let bytes = secret.expose_secret().as_bytes();
        if (1..=MAX_REFRESH_TOKEN_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
            Ok(Self(secret))
        } else {
            Err(InvalidRefreshTokenText)
        }
    }

    /// The text, for its holder alone.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// What is stored of a refresh token: its SHA-256. The token is random, so that no slow hash is needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RefreshTokenHash([u8; 32]);

impl RefreshTokenHash {
    /// Wraps a digest.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RefreshTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshTokenHash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_visible_ascii_of_bounded_length_and_never_printed() {
        let token = RefreshToken::parse("abc-DEF_123".to_owned()).unwrap();
        assert_eq!(token.expose(), "abc-DEF_123");
        assert!(!format!("{token:?}").contains("abc"));
        for bad in [String::new(), "a b".to_owned(), "a\0".to_owned(), "ä".to_owned(), "x".repeat(513)] {
            assert_eq!(RefreshToken::parse(bad.clone()).unwrap_err(), InvalidRefreshTokenText, "{bad:?}");
        }
    }
}
