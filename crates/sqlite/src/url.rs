//! `sqlite://` addresses.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A database file, written `sqlite://<path>`: `sqlite://data/orders.db` is relative, `sqlite:///srv/orders.db` absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteUrl(PathBuf);

/// The text is no `sqlite://` address of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected sqlite://<path of a file>")]
pub struct InvalidSqliteUrl;

impl SqliteUrl {
    /// The address of a file.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for SqliteUrl {
    type Err = InvalidSqliteUrl;
    fn from_str(text: &str) -> Result<Self, InvalidSqliteUrl> {
        match text.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() && !path.contains(['\0', '?']) && !path.starts_with(':') => {
                Ok(Self(PathBuf::from(path)))
            }
            _ => Err(InvalidSqliteUrl),
        }
    }
}

impl fmt::Display for SqliteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_databases() {
        assert_eq!("sqlite://a/b.db".parse::<SqliteUrl>().unwrap().path(), Path::new("a/b.db"));
        assert_eq!("sqlite:///a/b.db".parse::<SqliteUrl>().unwrap().path(), Path::new("/a/b.db"));
        for bad in ["", "sqlite://", "sqlite://:memory:", "a.db", "postgres://x/y", "sqlite://a.db?mode=memory"] {
            assert_eq!(bad.parse::<SqliteUrl>(), Err(InvalidSqliteUrl), "{bad}");
        }
    }
}
