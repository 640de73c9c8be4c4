//! What is traced and where it is sent.

use std::str::FromStr;

use http::Uri;
use opentelemetry::KeyValue;

/// The port that collectors keep for OTLP over HTTP (OTLP specification, "OTLP/HTTP Default Port").
const HTTP_PORT: u16 = 4318;

/// Settings of the traces.
#[derive(Clone, Debug, Default)]
pub struct TraceSettings {
    /// The name of the process: `service.name` of spans whose request names no service.
    pub service: &'static str,
    /// Where spans go; nowhere by default.
    pub endpoint: Option<OtlpEndpoint>,
    /// The part of new traces that is recorded. A caller's decision is kept.
    pub ratio: SampleRatio,
    /// Attributes of the process, such as `service.version` and `deployment.environment.name`.
    pub attributes: Vec<KeyValue>,
}

/// How spans are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

impl FromStr for OtlpProtocol {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "grpc" => Ok(Self::Grpc),
            "http" => Ok(Self::Http),
            _ => Err("use grpc or http".to_owned()),
        }
    }
}

/// An OTLP receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint {
    pub(super) uri: Uri,
    pub(super) protocol: OtlpProtocol,
}

/// Why an endpoint was refused. What was given is not told: a secret may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// No address, or one with a query.
    #[error("use http://host:port, by custom 4317 for gRPC and 4318 for HTTP")]
    NoAddress,
    /// `https://…`.
    #[error(
        "TLS to the collector is not supported: use http://host:port, with a collector on a network that is trusted"
    )]
    Tls,
    /// `http://user:password@…`.
    #[error("collectors are spoken to without a user and a password: use http://host:port")]
    Credentials,
    /// `http://host:99999`.
    #[error("a port is 1 to 65535: use http://host:port, by custom 4317 for gRPC and 4318 for HTTP")]
    Port,
}

impl OtlpEndpoint {
    /// The same receiver, spoken to in this way.
    #[must_use]
    pub fn speaking(self, protocol: OtlpProtocol) -> Self {
        Self { protocol, ..self }
    }
}

impl FromStr for OtlpEndpoint {
    type Err = InvalidEndpoint;

    /// `http://host:port`. Port 4318 is spoken to over HTTP, any other over gRPC; [`OtlpEndpoint::speaking`] says otherwise.
    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let uri: Uri = text.parse().map_err(|_| InvalidEndpoint::NoAddress)?;
        let authority = uri.authority().ok_or(InvalidEndpoint::NoAddress)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(InvalidEndpoint::Tls),
            _ => return Err(InvalidEndpoint::NoAddress),
        }
        if authority.as_str().contains('@') {
            return Err(InvalidEndpoint::Credentials);
        }
        // The parser lets any number pass, and then knows no port.
        let has_port = authority.as_str() != authority.host();
        if has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(InvalidEndpoint::Port);
        }
        if uri.query().is_some() {
            return Err(InvalidEndpoint::NoAddress);
        }
        let protocol = if uri.port_u16() == Some(HTTP_PORT) { OtlpProtocol::Http } else { OtlpProtocol::Grpc };
        Ok(Self { uri, protocol })
    }
}

/// A part of all traces: 0 is none, 1 is every one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRatio(f64);

impl SampleRatio {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for SampleRatio {
    fn default() -> Self {
        Self(1.0)
    }
}

impl FromStr for SampleRatio {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let ratio: f64 = text.parse().map_err(|_| "use a number from 0 to 1".to_owned())?;
        if (0.0..=1.0).contains(&ratio) { Ok(Self(ratio)) } else { Err("use a number from 0 to 1".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_tells_the_protocol_unless_it_is_named() {
        let protocol = |text: &str| text.parse::<OtlpEndpoint>().unwrap().protocol;
        assert_eq!(protocol("http://127.0.0.1:4317"), OtlpProtocol::Grpc);
        assert_eq!(protocol("http://collector:4318"), OtlpProtocol::Http);
        let named: OtlpEndpoint = "http://collector:9999".parse().unwrap();
        assert_eq!(named.speaking(OtlpProtocol::Http).protocol, OtlpProtocol::Http);
    }

    #[test]
    fn what_is_no_endpoint_or_needs_what_is_not_there_is_refused() {
        for bad in [
            "",
            "collector:4317",
            "https://collector:4317",
            "http://user:pass@collector:4317",
            "ftp://x",
            "http://c?a=b",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:0",
            "http://127.0.0.1:",
        ] {
            assert!(bad.parse::<OtlpEndpoint>().is_err(), "{bad:?}");
        }
        for good in ["http://collector", "http://[::1]:4317", "http://127.0.0.1:65535/"] {
            assert!(good.parse::<OtlpEndpoint>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_refusal_tells_what_to_do_and_never_what_was_given() {
        for (bad, why) in [
            ("http://user:hunter2@collector:4317", "without a user"),
            ("https://user:hunter2@collector:4317", "TLS to the collector is not supported"),
            ("HTTPS://collector-hunter2:4317", "TLS to the collector is not supported"),
            ("http://hunter2:99999", "1 to 65535"),
            ("hunter2", "use http://host:port"),
        ] {
            let refused = bad.parse::<OtlpEndpoint>().unwrap_err();
            assert!(refused.to_string().contains(why), "{bad}: {refused}");
            assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn a_ratio_is_from_nothing_to_everything() {
        for (good, ratio) in [("0", 0.0), ("0.1", 0.1), ("1", 1.0)] {
            assert_eq!(good.parse::<SampleRatio>().unwrap().get().to_bits(), f64::to_bits(ratio));
        }
        for bad in ["", "-0.1", "1.1", "10%", "NaN"] {
            assert!(bad.parse::<SampleRatio>().is_err(), "{bad:?}");
        }
    }
}
