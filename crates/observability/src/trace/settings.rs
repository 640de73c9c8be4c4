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

/// Why an endpoint was refused.
#[derive(Debug, thiserror::Error)]
#[error("'{text}' is no OTLP endpoint: use http://host:port, by custom 4317 for gRPC and 4318 for HTTP")]
pub struct InvalidEndpoint {
    text: String,
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
        let refused = || InvalidEndpoint { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let has_no_secret = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if uri.scheme_str() != Some("http") || !has_no_secret || uri.query().is_some() {
            return Err(refused());
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
        ] {
            assert!(bad.parse::<OtlpEndpoint>().is_err(), "{bad:?}");
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
