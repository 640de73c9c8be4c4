//! What the gateway may be told.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use observability::access_log::{Format, Skip};
use service_kit::settings::Source;

use crate::realtime::drain::Pace;

use crate::middleware::forwarded::TrustedProxies;
use crate::realtime::presence::Timing;

/// The longest that a service works on a call, whatever its caller allows; a longer request timeout would promise more.
const MAX_REQUEST_TIMEOUT_MS: u64 = 30_000;

/// The shortest stream that makes sense: a burst of broadcasts must not push out what was not read.
const MIN_STREAM_LENGTH: usize = 1_000;
/// The longest: some gigabytes.
const MAX_STREAM_LENGTH: usize = 10_000_000;

/// Settings of the gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes any free one.
    pub address: SocketAddr,
    /// Origins whose pages may call it from a browser.
    pub cors_origins: Vec<String>,
    /// Proxies that are believed when they name the client.
    pub trusted_proxies: TrustedProxies,
    /// Threads that serve requests; the number of cores when absent.
    pub workers: Option<NonZeroUsize>,
    /// The time a request has, with everything that is asked for it.
    pub request_timeout: Duration,
    /// How its clients are moved elsewhere when it stops.
    pub drain: Pace,
    /// What connects the gateways: `memory://` for one alone, `redis://…` for several.
    pub realtime_url: String,
    /// About how many events the stream in Redis keeps for gateways and clients that have yet to read them.
    pub realtime_stream_length: usize,
    /// How long presence takes to notice what; no setting of the environment.
    pub presence: Timing,
    /// What the access log writes for each request.
    pub access_log: Format,
    /// The paths that it leaves out.
    pub access_log_skip: Skip,
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
        let trusted_proxies = source.or(
            "SOUK_GATEWAY_TRUSTED_PROXIES",
            "",
            "proxies whose X-Forwarded-For and -Proto are believed, comma-separated: addresses, networks such as \
             10.0.0.0/8, or loopback; empty for none",
        );
        let workers =
            source.optional("SOUK_GATEWAY_WORKERS", "threads that serve HTTP; the number of cores when not set");
        let timeout_key = "SOUK_GATEWAY_REQUEST_TIMEOUT_MS";
        let timeout_ms: u64 = source.or(timeout_key, "10000", "time a request has, in milliseconds, 1 to 30000");
        if !(1..=MAX_REQUEST_TIMEOUT_MS).contains(&timeout_ms) {
            source.problem(timeout_key, &format!("'{timeout_ms}' is not valid: use 1 to {MAX_REQUEST_TIMEOUT_MS}"));
        }
        let drain = drain_pace(source);
        let realtime_url = source.or(
            "SOUK_REALTIME_URL",
            "memory://",
            "what connects several gateways: redis://[user:password@]host[:port][/database][?prefix=…]; memory:// for one alone",
        );
        let length_key = "SOUK_REALTIME_STREAM_LENGTH";
        let realtime_stream_length = source.or(
            length_key,
            "100000",
            "events that the stream in Redis keeps, about: those of two minutes, for clients that come back",
        );
        if !(MIN_STREAM_LENGTH..=MAX_STREAM_LENGTH).contains(&realtime_stream_length) {
            source.problem(
                length_key,
                &format!("'{realtime_stream_length}' is not valid: use {MIN_STREAM_LENGTH} to {MAX_STREAM_LENGTH}"),
            );
        }
        let request_timeout = Duration::from_millis(timeout_ms);
        let pretty = are_logs_pretty(source);
        let access_log: Format = source.or(
            "SOUK_GATEWAY_ACCESS_LOG",
            if pretty { "dev" } else { "json" },
            "tiny, dev, short, common, combined, json, or tokens such as ':method :url :status :response-time ms'; \
             shown where SOUK_LOG shows http",
        );
        let access_log_skip =
            source.or("SOUK_GATEWAY_ACCESS_LOG_SKIP", "/health/*", "paths without an access log line, comma-separated");
        Self {
            address,
            cors_origins: origins.0,
            trusted_proxies,
            workers,
            request_timeout,
            drain,
            realtime_url,
            realtime_stream_length,
            presence: Timing::DEFAULT,
            access_log: access_log.coloured(pretty && std::io::stderr().is_terminal()),
            access_log_skip,
        }
    }
}

fn drain_pace(source: &mut Source) -> Pace {
    let usual = Pace::default();
    let per_second = source.or(
        "SOUK_GATEWAY_DRAIN_PER_SECOND",
        &usual.per_second.to_string(),
        "live clients moved elsewhere in a second, at most, when the gateway stops",
    );
    let delay_ms: u64 = source.or(
        "SOUK_GATEWAY_DRAIN_DELAY_MS",
        "0",
        "wait before the first is moved, so that balancers learn that this gateway is not ready",
    );
    let key = "SOUK_GATEWAY_DRAIN_TIMEOUT_MS";
    let longest_ms: u64 = source.or(key, "20000", "all of that, in milliseconds; who is left then is disconnected");
    if longest_ms < delay_ms.saturating_add(1000) {
        source.problem(key, &format!("'{longest_ms}' is not valid: use at least a second more than the delay"));
    }
    Pace { per_second, delay: Duration::from_millis(delay_ms), longest: Duration::from_millis(longest_ms) }
}

/// Whether the process's logs are for people. They are read before any service's own settings; as JSON if they were not.
fn are_logs_pretty(source: &Source) -> bool {
    source.effective().iter().any(|setting| setting.key == "SOUK_LOG_FORMAT" && setting.value == "pretty")
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
    fn the_access_log_is_json_unless_the_logs_are_for_people() {
        use service_kit::process::{Environment, ProcessSettings};

        assert_eq!(load(&[]).unwrap().access_log.to_string(), "json");
        for (environment, log_format, wanted) in [
            (Environment::Development, None, "dev"),
            (Environment::Production, None, "json"),
            (Environment::Development, Some("json"), "json"),
            (Environment::Production, Some("pretty"), "dev"),
        ] {
            let values =
                log_format.map(|format| ("SOUK_LOG_FORMAT".to_owned(), format.to_owned())).into_iter().collect();
            let mut source = Source::new(None, &values);
            ProcessSettings::load(&mut source, environment);
            let settings = Settings::load(&mut source, "127.0.0.1:8080");
            assert_eq!(settings.access_log.to_string(), wanted, "{environment} {log_format:?}");
        }
    }

    #[test]
    fn an_access_log_of_unknown_tokens_is_refused_with_the_list_of_those_there_are() {
        let format = load(&[("SOUK_GATEWAY_ACCESS_LOG", ":method :path")]).unwrap_err();
        assert!(format.contains("there is no token :path") && format.contains(":remote-addr"), "{format}");
        let skip = load(&[("SOUK_GATEWAY_ACCESS_LOG_SKIP", "health")]).unwrap_err();
        assert!(skip.contains("SOUK_GATEWAY_ACCESS_LOG_SKIP") && skip.contains("/health/*"), "{skip}");
        assert!(load(&[("SOUK_GATEWAY_ACCESS_LOG", ":id :method :url :status :response-time ms")]).is_ok());
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        for (key, value) in [
            ("SOUK_GATEWAY_WORKERS", "0"),
            ("SOUK_GATEWAY_REQUEST_TIMEOUT_MS", "0"),
            ("SOUK_GATEWAY_REQUEST_TIMEOUT_MS", "30001"),
            ("SOUK_GATEWAY_ADDR", "nowhere"),
            ("SOUK_GATEWAY_TRUSTED_PROXIES", "10.0.0.0/40"),
            ("SOUK_REALTIME_STREAM_LENGTH", "999"),
            ("SOUK_REALTIME_STREAM_LENGTH", "10000001"),
        ] {
            let message = load(&[(key, value)]).unwrap_err();
            assert!(message.contains(key) && message.contains(value), "{message}");
        }
    }
}
