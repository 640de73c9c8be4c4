//! The broker's address.

use lapin::uri::AMQPUri;

/// Seconds of silence after which either side believes the other gone (AMQP 0-9-1 §4.2.7), unless the URL says `heartbeat`.
const HEARTBEAT_SECONDS: u16 = 10;
/// Largest frame in bytes, unless the URL says `frame_max`: the driver keeps 64 frames of buffers per connection, and events
/// are small.
const FRAME_MAX_BYTES: u32 = 16 * 1024;
/// Milliseconds to connect in, unless the URL says `connection_timeout`.
const CONNECTION_TIMEOUT_MS: u64 = 5_000;
/// Longest prefix; leaves room for the names behind it.
const MAX_PREFIX_BYTES: usize = 80;

/// The address can't be used. Does not show it: it holds a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidAmqpUrl {
    /// No `amqp://[user[:password]@]host[:port][/vhost][?…]`.
    #[error("not of the form amqp://user:password@host:port/vhost?prefix=name")]
    Form,
    /// The prefix can't be part of a queue's name.
    #[error("the prefix must be 1 to 80 letters, digits, dots, dashes or underscores")]
    Prefix,
}

/// Where the broker is, and what Souk's names on it begin with.
#[derive(Clone, Debug)]
pub(super) struct AmqpAddress {
    pub(super) uri: AMQPUri,
    pub(super) prefix: Option<String>,
}

impl AmqpAddress {
    /// Takes `prefix` out of the query; the rest is the driver's (RabbitMQ URI specification and query parameters).
    pub(super) fn parse(url: &str) -> Result<Self, InvalidAmqpUrl> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let mut prefix = None;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("prefix", value)) => prefix = Some(value.to_owned()),
                _ => rest.push(pair),
            }
        }
        if prefix.as_deref().is_some_and(|prefix| !is_prefix(prefix)) {
            return Err(InvalidAmqpUrl::Prefix);
        }
        let mut uri: AMQPUri =
            format!("{address}?{}", rest.join("&")).parse().map_err(|_not_shown: String| InvalidAmqpUrl::Form)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max.get_or_insert(FRAME_MAX_BYTES);
        uri.query.connection_timeout.get_or_insert(CONNECTION_TIMEOUT_MS);
        Ok(Self { uri, prefix })
    }
}

fn is_prefix(text: &str) -> bool {
    (1..=MAX_PREFIX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_ours_and_the_rest_the_drivers() {
        let address = AmqpAddress::parse("amqp://me:secret@broker:5673/shop?heartbeat=3&prefix=blue.1").unwrap();
        assert_eq!(address.prefix.as_deref(), Some("blue.1"));
        assert_eq!((address.uri.vhost.as_str(), address.uri.authority.port), ("shop", 5673));
        assert_eq!((address.uri.query.heartbeat, address.uri.query.frame_max), (Some(3), Some(FRAME_MAX_BYTES)));
        let plain = AmqpAddress::parse("amqp://broker").unwrap();
        assert_eq!((plain.prefix, plain.uri.vhost.as_str()), (None, "/"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        for (url, expected) in [
            ("amqp://me:secret@broker:port", InvalidAmqpUrl::Form),
            ("amqp://broker?prefix=", InvalidAmqpUrl::Prefix),
            ("amqp://broker?prefix=a/b", InvalidAmqpUrl::Prefix),
            ("amqp://broker?heartbeat=soon", InvalidAmqpUrl::Form),
        ] {
            let refused = AmqpAddress::parse(url).unwrap_err();
            assert!(!refused.to_string().contains("secret"));
            assert_eq!(refused, expected, "{url}");
        }
    }
}
