//! Everything at once: what a process calls first.

use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::logs::{self, LogControl, LogError, LogGuard, LogSettings};
use crate::trace::{ErrorsOnSpans, TraceSettings, Traces};

/// Logs and traces of a process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is logged, and where.
    pub logs: LogSettings,
    /// What is traced, and where it goes.
    pub traces: TraceSettings,
}

/// Keeps the telemetry of the process going. Dropped last, it writes and sends what is left.
pub struct Guard {
    /// Changes the log level.
    pub log_control: LogControl,
    _traces: Traces,
    // After the traces: what their end has to say is said.
    _logs: LogGuard,
}

/// Installs logs and traces for the whole process, once: a second call leaves the first installed.
///
/// # Errors
/// [`LogError`].
pub fn init(settings: &Settings) -> Result<Guard, LogError> {
    let (lines, log_control, logs) = logs::build(&settings.logs)?;
    let traces = Traces::install(&settings.traces);
    // Without an endpoint nobody sees what a span holds: what libraries have to say about themselves is not worked out.
    let spans = settings.traces.endpoint.is_some().then(|| {
        let of_macros = tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && *metadata.level() <= Level::INFO));
        of_macros.and_then(ErrorsOnSpans.with_filter(filter_fn(ErrorsOnSpans::wants)))
    });
    // Fails only when a subscriber is installed already, as in tests that share a process.
    let _ = tracing_subscriber::registry().with(lines).with(spans).try_init();
    Ok(Guard { log_control, _traces: traces, _logs: logs })
}
