//! What is kept of the request that opened a connection.

use std::{
    net::SocketAddr,
    time::{Duration, UNIX_EPOCH},
};

use actix_web::{
    HttpRequest,
    http::header::{self, HttpDate},
};
use serde_json::{Map, Value, json};

/// Headers of the connection itself: of no use to an application, and a third of a request's size.
const LEFT_OUT: [header::HeaderName; 8] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::ACCEPT_ENCODING,
    header::PRAGMA,
    header::CACHE_CONTROL,
];

/// Address, query and headers of the request that opened a connection, packed: thousands of them lie idle.
#[derive(Clone, Debug)]
pub struct Handshake {
    address: Option<SocketAddr>,
    opened_ms: u64,
    /// Path and query, then `name: value` lines.
    text: Box<str>,
}

impl Handshake {
    /// Bytes of all that is looked at, about.
    pub(crate) fn size_bytes(request: &HttpRequest) -> usize {
        let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
        uri + request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    }

    pub(crate) fn of(request: &HttpRequest, opened_ms: u64) -> Self {
        let mut text = request.uri().path_and_query().map_or_else(String::new, |uri| uri.as_str().to_owned());
        for (name, value) in request.headers() {
            if let Ok(value) = value.to_str()
                && !LEFT_OUT.contains(name)
            {
                text.push('\n');
                text.push_str(name.as_str());
                text.push(':');
                text.push_str(value);
            }
        }
        Self { address: request.peer_addr(), opened_ms, text: text.into_boxed_str() }
    }

    /// The peer's address; none over a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Path and query, such as `/socket.io/?EIO=4&transport=websocket`.
    pub fn url(&self) -> &str {
        self.text.split('\n').next().unwrap_or("")
    }

    /// The value of a query parameter, decoded; the first if there are several.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn query_pairs(&self) -> impl Iterator<Item = (String, String)> {
        let query = self.url().split_once('?').map_or("", |(_, query)| query);
        super::query::pairs(query)
    }

    /// The value of a header; the first if there are several. Headers that concern the connection alone are not kept.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers that are kept, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.split('\n').skip(1).filter_map(|line| line.split_once(':'))
    }

    /// When the connection was opened: Unix time in milliseconds.
    pub fn opened_ms(&self) -> u64 {
        self.opened_ms
    }

    /// In the shape of Socket.IO's `handshake`, without `auth`: credentials don't travel between nodes.
    ///
    /// Source: <https://socket.io/docs/v4/server-socket-instance/#sockethandshake>
    pub(crate) fn to_json(&self) -> Value {
        let text = |(key, value): (&str, &str)| (key.to_owned(), Value::from(value));
        let secret = ["authorization", "cookie"];
        let headers: Map<_, _> = self.headers().filter(|(name, _)| !secret.contains(name)).map(text).collect();
        let query: Map<_, _> = self
            .query_pairs()
            .filter(|(key, _)| key != "token")
            .map(|(key, value)| (key, Value::from(value)))
            .collect();
        json!({
            "headers": headers,
            "address": self.address.map(|address| address.ip().to_string()),
            "xdomain": self.header("origin").is_some(),
            "secure": false,
            "issued": self.opened_ms,
            "time": HttpDate::from(UNIX_EPOCH + Duration::from_millis(self.opened_ms)).to_string(),
            "url": self.url().split('?').next(),
            "query": query,
            "auth": {},
        })
    }
}
