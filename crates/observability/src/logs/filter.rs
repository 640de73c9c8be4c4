//! Which lines are written: levels by module.

use tracing_subscriber::EnvFilter;

/// Libraries speak at their own level; below WARN only the program's own lines are wanted unless a library is named.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,tower=warn,tonic=warn,actix_server=warn,mio=warn,reqwest=warn";

/// To actix every caller who sends what is no HTTP is an error; an error in a service's log is something to look into.
/// A broker that is away is an error to its driver at every attempt; the adapter says it once.
const SILENT: &str = "actix_http=off,lapin=off";

/// Why a filter was refused.
#[derive(Debug, thiserror::Error)]
#[error("'{filter}' is no log filter: use error, warn, info, http, debug, trace or a list such as info,orders=debug")]
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

/// `http` is the DEBUG of access lines beside INFO.
pub(super) fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    let invalid = || InvalidFilter { filter: filter.to_owned() };
    let known = ["error", "warn", "info", "http", "debug", "trace", "off"];
    let word = filter.trim();
    if word.is_empty() || (!word.contains(['=', ',']) && !known.contains(&word)) {
        return Err(invalid());
    }
    let directives = word
        .split(',')
        .map(|part| if part.trim() == "http" { "info,access=debug" } else { part.trim() })
        .collect::<Vec<_>>()
        .join(",");
    EnvFilter::try_new(format!("{QUIET},{SILENT},{directives}")).map_err(|_| invalid())
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
        for bad in ["", "loud", "inof", "orders=loud"] {
            assert!(check_filter(bad).is_err(), "{bad}");
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
