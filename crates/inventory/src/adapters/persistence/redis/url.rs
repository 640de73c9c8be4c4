//! Where the Redis is, and under which prefix the keys are.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo as _};

/// The prefix where none is asked for.
const DEFAULT_PREFIX: &str = "inventory";
/// Most characters of a prefix.
const MAX_PREFIX: usize = 64;

/// `redis://[user:password@]host[:port][/database][?prefix=…]`.
#[derive(Clone)]
pub struct RedisUrl {
    info: ConnectionInfo,
    prefix: String,
}

/// Why an address was refused; it is not repeated, since it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedisUrl {
    /// Not what the driver understands.
    #[error("it must be redis://[user:password@]host[:port][/database][?prefix=…]")]
    Malformed,
    /// A prefix that keys can't have.
    #[error("the prefix must be 1 to {MAX_PREFIX} of A-Z, a-z, 0-9, '.', '_' and '-'")]
    Prefix,
    /// A parameter that means nothing.
    #[error("the only parameter is prefix")]
    Parameter,
}

impl RedisUrl {
    /// Where to connect to.
    pub(super) fn info(&self) -> ConnectionInfo {
        self.info.clone()
    }

    /// What every key begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, parameters) = text.split_once('?').unwrap_or((text, ""));
        let mut prefix = DEFAULT_PREFIX;
        if !parameters.is_empty() {
            prefix = parameters.strip_prefix("prefix=").ok_or(InvalidRedisUrl::Parameter)?;
        }
        let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !plain || !(1..=MAX_PREFIX).contains(&prefix.len()) {
            return Err(InvalidRedisUrl::Prefix);
        }
        if !address.starts_with("redis://") {
            return Err(InvalidRedisUrl::Malformed);
        }
        let info = address.into_connection_info().map_err(|_| InvalidRedisUrl::Malformed)?;
        Ok(Self { info, prefix: prefix.to_owned() })
    }
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://{}/{}?prefix={}", self.info.addr(), self.info.redis_settings().db(), self.prefix)
    }
}

/// Without user and password.
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_itself_without_its_password() {
        let url: RedisUrl = "redis://ada:secret@cache.example:7000/3?prefix=shop-1".parse().unwrap();
        assert_eq!(url.to_string(), "redis://cache.example:7000/3?prefix=shop-1");
        assert_eq!(format!("{url:?}"), url.to_string());
        let url: RedisUrl = "redis://localhost".parse().unwrap();
        assert_eq!(url.to_string(), "redis://localhost:6379/0?prefix=inventory");
    }

    #[test]
    fn what_would_break_a_key_or_means_nothing_is_refused() {
        for (text, expected) in [
            ("redis://localhost?prefix=", InvalidRedisUrl::Prefix),
            ("redis://localhost?prefix=a}b", InvalidRedisUrl::Prefix),
            ("redis://localhost?prefix=a&x=1", InvalidRedisUrl::Prefix),
            ("redis://localhost?timeout=3", InvalidRedisUrl::Parameter),
            ("localhost:6379", InvalidRedisUrl::Malformed),
            ("redis://localhost/x", InvalidRedisUrl::Malformed),
        ] {
            assert_eq!(text.parse::<RedisUrl>().unwrap_err(), expected, "{text}");
        }
    }
}
