//! Whether a build has an adapter for the scheme of a store's address; docs/adr/0001-url-picks-the-adapter.md.

use std::fmt;

/// A store's address whose scheme this service has no adapter for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEngine {
    setting: &'static str,
    scheme: String,
    available: &'static str,
}

impl UnknownEngine {
    /// Says of the address `url` in `setting` that its scheme is none of those `available`, such as `sqlite://<file>`. Nothing
    /// but the scheme is kept: the rest may hold a password.
    pub fn new(setting: &'static str, url: &str, available: &'static str) -> Self {
        Self { setting, scheme: scheme(url).unwrap_or_default().to_owned(), available }
    }
}

impl fmt::Display for UnknownEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, scheme, available } = self;
        match scheme.as_str() {
            "" => write!(f, "{setting} is not valid: expected {available}"),
            // There are adapters in memory. They are for tests alone: what a service said yes to must outlive it.
            "memory" => {
                write!(f, "{setting}: memory:// keeps nothing and is for tests alone; a service needs {available}")
            }
            _ => write!(f, "{setting}: this build has no driver for {scheme}://; it has {available}"),
        }
    }
}

impl std::error::Error for UnknownEngine {}

/// What stands before `://`.
pub fn scheme(url: &str) -> Option<&str> {
    url.split_once("://").map(|(scheme, _)| scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_and_what_may_be_set_are_named_and_the_password_is_not() {
        for (url, says) in [
            ("mysql://me:secret@host/db", "no driver for mysql://"),
            ("memory://secret", "for tests alone"),
            ("secret.db", "is not valid"),
        ] {
            let message = UnknownEngine::new("SOUK_X_DATABASE_URL", url, "sqlite://<file>").to_string();
            assert!(message.starts_with("SOUK_X_DATABASE_URL"), "{message}");
            assert!(message.contains(says) && message.contains("sqlite://<file>"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
