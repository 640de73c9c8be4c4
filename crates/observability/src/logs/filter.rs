//! Which lines are written: levels by module.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Libraries speak at their own level; below WARN only the program's own lines are wanted unless a library is named.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,tower=warn,tonic=warn,actix_server=warn,mio=warn,reqwest=warn";

/// To actix every caller who sends what is no HTTP is an error; an error in a service's log is something to look into.
/// A broker that is away is an error to its driver at every attempt; the adapter says it once.
const SILENT: &str = "actix_http=off,lapin=off";

/// What holds for targets that a list of targets does not name: to look closer at one is not to stop hearing of the others.
const BASE: &str = "info";

/// Why a filter was refused.
#[derive(Debug, thiserror::Error)]
#[error("'{filter}' is no log filter: use error, warn, info, http, debug, trace or a list such as http,orders=debug")]
pub struct InvalidFilter {
    filter: String,
}

/// Checks a filter without installing it.
///
/// # Errors
/// [`InvalidFilter`].
pub fn check_filter(filter: &str) -> Result<(), InvalidFilter> {
    parse(filter).map(drop)
}

/// `http` is the DEBUG of access lines beside INFO. A list without a level of its own has [`BASE`].
pub(super) fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    let invalid = || InvalidFilter { filter: filter.to_owned() };
    let known = ["error", "warn", "info", "http", "debug", "trace", "off"];
    let word = filter.trim();
    if word.is_empty() || (!word.contains(['=', ',']) && !known.contains(&word)) {
        return Err(invalid());
    }
    let parts: Vec<&str> = word.split(',').map(str::trim).collect();
    // The parser takes `orders=` for every line of `orders`.
    if parts.iter().any(|part| part.starts_with('=') || part.ends_with('=')) {
        return Err(invalid());
    }
    let base = if parts.iter().any(|part| is_level(part)) { "" } else { BASE };
    let directives: Vec<&str> =
        parts.into_iter().map(|part| if part == "http" { "info,access=debug" } else { part }).collect();
    EnvFilter::try_new(format!("{QUIET},{SILENT},{base},{}", directives.join(","))).map_err(|_| invalid())
}

/// Whether this holds for all targets.
fn is_level(part: &str) -> bool {
    part == "http" || (!part.is_empty() && part.parse::<LevelFilter>().is_ok())
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn levels_and_lists_are_filters_and_typos_are_not() {
        for good in ["error", "warn", "info", "http", "debug", "trace", "off", "info,orders=debug", "http,h2=debug"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "inof", "orders=loud", "orders=", "info,orders= ", "=debug"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_without_a_level_of_its_own_is_info_beside_what_it_names() {
        for (filter, info, debug) in [
            ("nosuch=debug", true, false),
            ("shop=debug,nosuch=warn", true, true),
            ("nosuch=debug,warn", false, false),
            ("nosuch=debug, WARN", false, false),
            ("off,nosuch=debug", false, false),
            ("nosuch=debug,http", true, false),
        ] {
            let subscriber = tracing_subscriber::registry().with(parse(filter).unwrap());
            tracing::subscriber::with_default(subscriber, || {
                assert_eq!(tracing::enabled!(target: "shop", Level::INFO), info, "{filter}");
                assert_eq!(tracing::enabled!(target: "shop", Level::DEBUG), debug, "{filter}");
            });
        }
    }

    #[test]
    fn what_callers_send_that_is_no_http_is_no_error_of_ours_unless_the_library_is_named() {
        for (filter, heard) in [("info", false), ("trace", false), ("info,actix_http=error", true)] {
            let subscriber = tracing_subscriber::registry().with(parse(filter).unwrap());
            tracing::subscriber::with_default(subscriber, || {
                let enabled = tracing::enabled!(target: "actix_http::h1::dispatcher", Level::ERROR);
                assert_eq!(enabled, heard, "{filter}");
                assert!(tracing::enabled!(target: "shop", Level::ERROR), "{filter}");
            });
        }
    }
}
