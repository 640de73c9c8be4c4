//! Where requests go.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

/// An `http://` URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Host and port as written, for the `Host` header.
    pub authority: String,
    /// Path and query; `/` at least.
    pub path: String,
    /// The first address of the host.
    pub address: SocketAddr,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").ok_or("write http://host:port/path; there is no TLS here")?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("write http://host:port/path, with what is special in it percent-encoded".to_owned());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let mut addresses = with_port.to_socket_addrs().map_err(|error| format!("{authority}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{authority} has no address"))?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { authority: authority.to_owned(), path, address })
    }
}

impl Url {
    /// The root of a server.
    pub fn of(address: SocketAddr) -> Self {
        Self { authority: address.to_string(), path: "/".to_owned(), address }
    }

    /// Another path on the same server, with its query.
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_url_apart() {
        let url: Url = "http://127.0.0.1:8080/api/products?limit=50#top".parse().unwrap();
        assert_eq!(url.authority, "127.0.0.1:8080");
        assert_eq!(url.path, "/api/products?limit=50");
        assert_eq!(url.address, "127.0.0.1:8080".parse().unwrap());
    }

    #[test]
    fn port_and_path_may_be_missing() {
        for (text, path, port) in
            [("http://127.0.0.1", "/", 80), ("http://127.0.0.1?a=b", "/?a=b", 80), ("http://[::1]:81", "/", 81)]
        {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.path.as_str(), url.address.port()), (path, port), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_can_not_speak_to() {
        for text in ["https://127.0.0.1", "127.0.0.1:80", "http://", "http://u:p@127.0.0.1/", "http://127.0.0.1/a b"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
