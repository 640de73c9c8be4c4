//! Where the examples get their settings from.

use observability::Settings;
use observability::logs::LogSettings;
use observability::trace::TraceSettings;

/// `LOG` is the level or filter, `OTLP_ENDPOINT` where traces go.
pub(crate) fn from_environment(service: &'static str) -> Result<Settings, Box<dyn std::error::Error>> {
    let endpoint = match std::env::var("OTLP_ENDPOINT") {
        Ok(endpoint) => Some(endpoint.parse()?),
        Err(_) => None,
    };
    Ok(Settings {
        logs: LogSettings {
            filter: std::env::var("LOG").unwrap_or_else(|_| "info".to_owned()),
            ..LogSettings::new(service)
        },
        traces: TraceSettings { service, endpoint, ..TraceSettings::default() },
    })
}
