//! What the gateway may be told.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use service_kit::settings::Source;

/// The longest that a service works on a call, whatever its caller allows; a longer request timeout would promise more.
const MAX_REQUEST_TIMEOUT_MS: u64 = 30_000;

/// Settings of the gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes any free one.
    pub address: SocketAddr,
    /// Origins whose pages may call it from a browser.
    pub cors_origins: Vec<String>,
    /// Threads that serve requests; the number of cores when absent.
    pub workers: Option<NonZeroUsize>,
    /// The time a request has, with everything that is asked for it.
    pub request_timeout: Duration,
    /// The realtime hub: `memory://`.
    pub realtime_url: String,
}

impl Settings {
    /// Reads the settings; problems are kept by `source`.
    pub fn load(source: &mut Source, default_address: &str) -> Self {
        let address = source.or("SOUK_GATEWAY_ADDR", default_address, "address of the public HTTP port");
        let origins: Origins = source.or(
            "SOUK_GATEWAY_CORS_ORIGINS",
            "",
            "origins that browsers may call from, comma-separated, such as https://shop.example; empty for none",
        );
        let workers =
            source.optional("SOUK_GATEWAY_WORKERS", "threads that serve HTTP; the number of cores when not set");
        let timeout_key = "SOUK_GATEWAY_REQUEST_TIMEOUT_MS";
        let timeout_ms: u64 = source.or(timeout_key, "10000", "time a request has, in milliseconds, 1 to 30000");
        if !(1..=MAX_REQUEST_TIMEOUT_MS).contains(&timeout_ms) {
            source.problem(timeout_key, &format!("'{timeout_ms}' is not valid: use 1 to {MAX_REQUEST_TIMEOUT_MS}"));
        }
        let realtime_url = source.or("SOUK_REALTIME_URL", "memory://", "hub of live events: memory://");
        let request_timeout = Duration::from_millis(timeout_ms);
        Self { address, cors_origins: origins.0, workers, request_timeout, realtime_url }
    }
}

struct Origins(Vec<String>);

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        origins.map(parse_origin).collect::<Result<_, _>>().map(Self)
    }
}

/// An origin as browsers send it (RFC 6454 §6.2): scheme, host and port, nothing after.
fn parse_origin(origin: &str) -> Result<String, String> {
    let plain = |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@*".contains(&b));
    match origin.split_once("://") {
        Some(("http" | "https", host)) if plain(host) => Ok(origin.to_ascii_lowercase()),
        _ => Err(format!("'{origin}' is no origin such as https://shop.example")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let environment: BTreeMap<_, _> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut source = Source::new(None, &environment);
        let settings = Settings::load(&mut source, "127.0.0.1:8080");
        source.finish().map(|_| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn without_any_setting_it_listens_where_its_process_says_and_allows_no_origin() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.address.port(), 8080);
        assert!(settings.cors_origins.is_empty() && settings.workers.is_none());
        assert_eq!(settings.request_timeout, Duration::from_secs(10));
    }

    #[test]
    fn origins_are_a_list_without_paths_or_stars() {
        let settings = load(&[("SOUK_GATEWAY_CORS_ORIGINS", "https://Shop.example, http://localhost:3000,")]).unwrap();
        assert_eq!(settings.cors_origins, ["https://shop.example", "http://localhost:3000"]);
        for bad in ["*", "https://", "shop.example", "https://shop.example/", "ftp://x", "https://*.example"] {
            assert!(load(&[("SOUK_GATEWAY_CORS_ORIGINS", bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        for (key, value) in [
            ("SOUK_GATEWAY_WORKERS", "0"),
            ("SOUK_GATEWAY_REQUEST_TIMEOUT_MS", "0"),
            ("SOUK_GATEWAY_REQUEST_TIMEOUT_MS", "30001"),
            ("SOUK_GATEWAY_ADDR", "nowhere"),
        ] {
            let message = load(&[(key, value)]).unwrap_err();
            assert!(message.contains(key) && message.contains(value), "{message}");
        }
    }
}
