//! Who a request comes from when proxies stand before the gateway: what they say is believed if they are on the list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest};
use futures::future::LocalBoxFuture;
use observability::actix::ClientAddress;

/// The addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. None by default: anybody can
/// send those headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

/// What stays within the machine (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).
const LOOPBACK: [Network; 2] = [
    Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix_bits: 8 },
    Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix_bits: 128 },
];

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix_bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("'{text}' is no address such as 10.0.0.7, no network such as 10.0.0.0/8 and not 'loopback'");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Ok(most), str::parse).map_err(|_| bad())?;
        if prefix_bits > most { Err(bad()) } else { Ok(Self { address, prefix_bits }) }
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut networks = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            if item == "loopback" {
                networks.extend(LOOPBACK);
            } else {
                networks.push(item.parse()?);
            }
        }
        Ok(Self(networks))
    }
}

impl TrustedProxies {
    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The client: from the peer backwards through the hops that `X-Forwarded-For` names, the first that is not on the
    /// list. What stands before it, that one could have made up.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<&str> =
            headers.get_all("x-forwarded-for").map(|value| value.to_str().unwrap_or_default()).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim).filter(|hop| !hop.is_empty());
        let mut client = peer.to_canonical();
        for hop in hops {
            let Some(hop) = address(hop).filter(|_| self.trusts(client)) else { break };
            client = hop;
        }
        client
    }
}

/// An address as proxies write it: alone, or with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let parsed = bare.parse().or_else(|_| hop.parse::<std::net::SocketAddr>().map(|address| address.ip()));
    parsed.ok().map(|address| address.to_canonical())
}

/// In the extensions of a request that reached its proxy over TLS.
struct OverTls;

/// Whether a trusted proxy says that the client came over TLS.
pub fn is_over_tls(request: &HttpRequest) -> bool {
    request.extensions().contains::<OverTls>()
}

/// Remembers who the client is, where proxies are trusted at all.
pub fn believe<B: MessageBody + 'static>(
    proxies: TrustedProxies,
) -> impl Fn(ServiceRequest, Next<B>) -> LocalBoxFuture<'static, Result<ServiceResponse<B>, Error>> {
    move |request, next| {
        if let Some(peer) = request.peer_addr().map(|peer| peer.ip())
            && proxies.trusts(peer.to_canonical())
        {
            let client = proxies.client(peer, request.headers());
            let proto = request.headers().get("x-forwarded-proto");
            let over_tls = proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
            let mut extensions = request.extensions_mut();
            extensions.insert(ClientAddress(client));
            if over_tls {
                extensions.insert(OverTls);
            }
        }
        Box::pin(next.call(request))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let proxies: TrustedProxies = proxies.parse().unwrap();
        let mut request = TestRequest::get();
        for line in forwarded {
            request = request.append_header(("x-forwarded-for", *line));
        }
        proxies.client(peer.parse().unwrap(), request.to_http_request().headers()).to_string()
    }

    #[test]
    fn only_what_a_listed_proxy_says_is_believed() {
        for (proxies, peer, forwarded, wanted) in [
            ("", "127.0.0.1", &["1.2.3.4"][..], "127.0.0.1"),
            ("loopback", "127.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("loopback", "::1", &["1.2.3.4"], "1.2.3.4"),
            ("loopback", "::ffff:127.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("loopback", "9.9.9.9", &["1.2.3.4"], "9.9.9.9"),
            // A client that makes up hops stands before all of them.
            ("loopback", "127.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            ("loopback, 10.0.0.0/8", "127.0.0.1", &["6.6.6.6, 1.2.3.4, 10.1.2.3"], "1.2.3.4"),
            ("loopback,10.0.0.0/8", "127.0.0.1", &["6.6.6.6, 1.2.3.4", "10.1.2.3"], "1.2.3.4"),
            ("10.0.0.7", "10.0.0.7", &["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
            ("loopback", "127.0.0.1", &["1.2.3.4, nonsense"], "127.0.0.1"),
            ("loopback", "127.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            ("loopback", "127.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("loopback", "127.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("2001:db8::/32", "2001:db8::1", &["1.2.3.4"], "1.2.3.4"),
            ("2001:db8::/32", "2001:db9::1", &["1.2.3.4"], "2001:db9::1"),
            ("loopback", "127.0.0.1", &[], "127.0.0.1"),
            ("0.0.0.0/0", "127.0.0.1", &["8.8.8.8, 1.2.3.4"], "8.8.8.8"),
        ] {
            assert_eq!(client(proxies, peer, forwarded), wanted, "{proxies} {peer} {forwarded:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for bad in ["nowhere", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0", "10.0.0.0/-1", "*"] {
            let refusal = format!("loopback,{bad}").parse::<TrustedProxies>().unwrap_err();
            assert!(refusal.contains(bad), "{refusal}");
        }
    }

    async fn told(proxies: &str, peer: &str) -> String {
        use actix_web::middleware::from_fn;
        use actix_web::test::{call_and_read_body, init_service};
        use actix_web::{App, web};

        let tell = |request: HttpRequest| async move {
            let client = request.extensions().get::<ClientAddress>().map(|client| client.0.to_string());
            format!("{} {}", client.as_deref().unwrap_or("-"), is_over_tls(&request))
        };
        let app = App::new().wrap(from_fn(believe(proxies.parse().unwrap()))).route("/", web::get().to(tell));
        let request = TestRequest::get()
            .peer_addr(peer.parse().unwrap())
            .insert_header(("x-forwarded-for", "1.2.3.4"))
            .insert_header(("x-forwarded-proto", "https"));
        let body = call_and_read_body(&init_service(app).await, request.to_request()).await;
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[actix_web::test]
    async fn a_request_remembers_what_its_proxy_says_if_that_is_trusted() {
        assert_eq!(told("loopback", "127.0.0.1:5000").await, "1.2.3.4 true");
        assert_eq!(told("loopback", "9.9.9.9:5000").await, "- false");
        assert_eq!(told("", "127.0.0.1:5000").await, "- false");
    }
}
