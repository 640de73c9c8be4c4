//! Where the Redis of the realtime hub is, and what its names begin with.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo as _};

/// What the keys of presence begin with where no prefix is asked for.
const DEFAULT_PREFIX: &str = "souk";
/// Most characters of a prefix.
const MAX_PREFIX: usize = 64;

/// `redis://[user:password@]host[:port][/database][?prefix=…]`.
///
/// Without a prefix, streams, channels and sessions have the names that `@socket.io/redis-streams-adapter` gives them, so
/// that Node servers can be in the cluster. With one, several clusters can share a database.
#[derive(Clone)]
pub struct RedisUrl {
    address: String,
    info: ConnectionInfo,
    prefix: Option<String>,
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
    /// The address without the prefix; it may hold a password.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A name of Socket.IO's, with the prefix before it if there is one.
    pub fn named(&self, name: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}:{name}"),
            None => name.to_owned(),
        }
    }

    pub(super) fn info(&self) -> ConnectionInfo {
        self.info.clone()
    }

    /// What the keys of presence begin with: a hash tag, since its scripts touch several of them.
    pub(super) fn presence_root(&self) -> String {
        format!("{{{}}}:presence", self.prefix.as_deref().unwrap_or(DEFAULT_PREFIX))
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, parameters) = text.split_once('?').unwrap_or((text, ""));
        let prefix = match parameters {
            "" => None,
            _ => Some(parameters.strip_prefix("prefix=").ok_or(InvalidRedisUrl::Parameter)?),
        };
        if let Some(prefix) = prefix {
            let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
            if !plain || !(1..=MAX_PREFIX).contains(&prefix.len()) {
                return Err(InvalidRedisUrl::Prefix);
            }
        }
        if !address.starts_with("redis://") {
            return Err(InvalidRedisUrl::Malformed);
        }
        let info = address.into_connection_info().map_err(|_| InvalidRedisUrl::Malformed)?;
        Ok(Self { address: address.to_owned(), info, prefix: prefix.map(str::to_owned) })
    }
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://{}/{}", self.info.addr(), self.info.redis_settings().db())?;
        self.prefix.as_deref().map_or(Ok(()), |prefix| write!(f, "?prefix={prefix}"))
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
    }

    #[test]
    fn without_a_prefix_names_are_those_that_a_node_server_uses() {
        let url: RedisUrl = "redis://localhost/1".parse().unwrap();
        assert_eq!((url.named("socket.io"), url.presence_root()), ("socket.io".into(), "{souk}:presence".into()));
        let url: RedisUrl = "redis://localhost/1?prefix=shop".parse().unwrap();
        assert_eq!((url.named("socket.io"), url.presence_root()), ("shop:socket.io".into(), "{shop}:presence".into()));
        assert_eq!(url.address(), "redis://localhost/1");
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
