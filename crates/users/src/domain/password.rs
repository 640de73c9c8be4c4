//! Passwords and what is kept of them.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// Fewest characters of a new password (NIST SP 800-63B §5.1.1.2).
pub const MIN_PASSWORD_CHARS: usize = 8;
/// Most characters of a password: room for any passphrase, none for a burden on the hash.
pub const MAX_PASSWORD_CHARS: usize = 128;

/// A password as somebody typed it; wiped from memory when dropped, never printed.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

/// Why a text is no password; worded to follow the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Too short to be safe, or too long to be hashed.
    #[error("must be {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters")]
    Length,
    /// Nothing was given, or more than any password has.
    #[error("must be 1 to {MAX_PASSWORD_CHARS} characters")]
    AttemptLength,
    /// A character that no keyboard types.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl Password {
    /// A new password: 8 to 128 characters, spaces and all, no control characters.
    ///
    /// # Errors
    /// [`InvalidPassword`].
    pub fn parse(text: String) -> Result<Self, InvalidPassword> {
        Self::bounded(text, MIN_PASSWORD_CHARS, InvalidPassword::Length)
    }

    /// A password given to log in. One too short for a new account is no malformed request, only a wrong password.
    ///
    /// # Errors
    /// [`InvalidPassword`] for what no account can have had the chance to be given: nothing, too much, control characters.
    pub fn attempt(text: String) -> Result<Self, InvalidPassword> {
        Self::bounded(text, 1, InvalidPassword::AttemptLength)
    }

    fn bounded(text: String, min: usize, error: InvalidPassword) -> Result<Self, InvalidPassword> {
        // Wiped on every way out, the refusals included.
        let secret = SecretString::from(text);
        let text = secret.expose_secret();
        if text.len() > MAX_PASSWORD_CHARS * 4 || !(min..=MAX_PASSWORD_CHARS).contains(&text.chars().count()) {
            return Err(error);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPassword::ControlCharacter);
        }
        Ok(Self(secret))
    }

    /// The bytes to hash.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// What is stored instead of a password: a PHC string (`$argon2id$v=19$m=…`).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a PHC string that a hasher made.
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_has_8_to_128_characters_and_keeps_every_one() {
        assert_eq!(Password::parse(" p ä ß w ".to_owned()).unwrap().expose(), " p ä ß w ".as_bytes());
        assert!(Password::parse("ä".repeat(8)).is_ok() && Password::parse("🔑".repeat(128)).is_ok());
        for bad in ["1234567".to_owned(), "x".repeat(129), "ä".repeat(7), String::new()] {
            assert_eq!(Password::parse(bad.clone()).unwrap_err(), InvalidPassword::Length, "{bad}");
        }
        assert_eq!(Password::parse("1234567\0".to_owned()).unwrap_err(), InvalidPassword::ControlCharacter);
    }

    #[test]
    fn a_short_password_may_be_tried_but_not_an_absurd_one() {
        assert!(Password::attempt("x".to_owned()).is_ok());
        for bad in [String::new(), "x".repeat(129)] {
            assert_eq!(Password::attempt(bad).unwrap_err(), InvalidPassword::AttemptLength);
        }
    }

    #[test]
    fn neither_password_nor_hash_is_ever_printed() {
        let password = Password::parse("hunter2-hunter2".to_owned()).unwrap();
        let hash = PasswordHash::new("hunter2-hash".to_owned());
        let shown = format!("{password:?} {hash:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
