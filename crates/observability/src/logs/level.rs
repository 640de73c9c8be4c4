//! What became of lines, as metrics.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec};
use tracing::Level;

use crate::metrics;

/// Lines by level, as the filter let them through.
static LINES: LazyLock<IntCounterVec> =
    LazyLock::new(|| metrics::counter("log_lines_total", "Log lines by level.", &["level"]));

/// Lines that a transport lost: its queue was full, or it could not be written.
pub(super) static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::counter("log_lines_dropped_total", "Log lines that the console or the files lost.", &[])
        .with_label_values::<&str>(&[])
});

/// The levels as lines tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineLevel {
    Error,
    Warn,
    Info,
    Http,
    Debug,
    Trace,
}

static BY_LEVEL: LazyLock<[IntCounter; 6]> =
    LazyLock::new(|| LineLevel::ALL.map(|level| LINES.with_label_values(&[level.name()])));

impl LineLevel {
    /// In the order of their declaration, by which they are counted.
    const ALL: [Self; 6] = [Self::Error, Self::Warn, Self::Info, Self::Http, Self::Debug, Self::Trace];

    /// DEBUG of the access log is `http`.
    pub(super) fn of(level: Level, access: bool) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            Level::DEBUG if access => Self::Http,
            Level::DEBUG => Self::Debug,
            Level::TRACE => Self::Trace,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Http => "http",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    pub(super) fn count(self) {
        BY_LEVEL[self as usize].inc();
    }
}

/// Makes the metrics known before the first line, so that a scrape sees them at zero.
pub(super) fn register() {
    LazyLock::force(&BY_LEVEL);
    LazyLock::force(&DROPPED);
}
