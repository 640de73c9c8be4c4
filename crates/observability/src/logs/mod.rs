//! Log output: lines for people and for machines, on the console and in files.
//!
//! Nobody who logs waits for a disk or a terminal: lines go through bounded queues, one for the console and one for the
//! files, each with a thread that writes. When a transport can't follow, lines are dropped, counted in
//! `log_lines_dropped_total`, and the count is told by a line of level `warn` once there is room again. The last eighth
//! of a queue takes warnings and errors alone; when that is full too, they are dropped and counted like the others.
//!
//! A line of JSON has `timestamp`, `level`, `service` and `message`, inside a request `request_id`, `trace_id` and `span_id`,
//! then the fields of the event. Values pass through [`crate::redact`].
//!
//! Files are closed at the end of the day (UTC, by the writer's clock) and at a size, named
//! `combined-2026-11-22.1.log`, compressed, listed in `audit.json` and in time deleted.

mod colour;
mod console;
mod control;
mod fields;
mod files;
mod filter;
mod guard;
mod json;
mod layer;
mod level;
mod pretty;
mod queue;
mod service;
mod settings;
mod stamp;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tracing_subscriber::{Layer, Registry, reload};

pub use self::control::LogControl;
pub use self::filter::{InvalidFilter, check_filter};
pub use self::guard::LogGuard;
pub use self::settings::{Clock, Console, FileSettings, LogFormat, LogSettings, QueueLimits};
pub(crate) use self::stamp::now;

use self::console::ConsoleSink;
use self::json::Head;
use self::layer::{ConsoleLines, Lines};
use self::level::LineLevel;
use self::queue::Queue;
use self::writer::{Notice, Sink, Writer};
use crate::redact;

/// The target of access-log lines: its DEBUG is shown as level `http`.
pub const ACCESS_TARGET: &str = "access";

/// Why the log output can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No filter.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// The log folder can't be made, read or written.
    #[error("the log folder {} can't be used", .dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two processes would write the same files.
    #[error("the log folder {} is in use by another process", .dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The system has no thread to give.
    #[error("a thread for the log output can't be started")]
    Thread(#[source] io::Error),
}

/// The log output, for a subscriber that has other layers too. It has its filter with it: others see what it does not.
pub type LogLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Makes the log output: opens the files, starts the threads.
///
/// # Errors
/// [`LogError`].
pub fn build(settings: &LogSettings) -> Result<(LogLayer, LogControl, LogGuard), LogError> {
    let filter = filter::parse(&settings.filter)?;
    let mut outputs = Outputs::new(settings);
    if settings.console != Console::Off {
        outputs.add_console(ConsoleSink::new(settings.console))?;
    }
    if let Some(files) = &settings.files {
        outputs.add_files(files)?;
    }
    Ok(outputs.assemble(filter))
}

/// The log output while it is put together.
struct Outputs<'a> {
    settings: &'a LogSettings,
    lines: Lines,
    queues: Vec<Arc<Queue>>,
    guard: LogGuard,
}

impl<'a> Outputs<'a> {
    fn new(settings: &'a LogSettings) -> Self {
        level::register();
        if !settings.secret_names.is_empty() {
            redact::also_secret(&settings.secret_names);
        }
        let services = service::Services::new(settings);
        let lines = Lines { services, clock: settings.clock.clone(), console: None, files: None };
        Self { settings, lines, queues: Vec::new(), guard: LogGuard::default() }
    }

    fn add_console(&mut self, sink: impl Sink) -> Result<(), LogError> {
        let LogSettings { console, format, .. } = *self.settings;
        let ansi = format == LogFormat::Pretty && console::is_terminal(console);
        let queue = self.start("console", sink, format, ansi)?;
        self.lines.console = Some(ConsoleLines { queue, console, format, ansi });
        Ok(())
    }

    fn add_files(&mut self, files: &FileSettings) -> Result<(), LogError> {
        let (sink, archivist) = files::open(files.clone(), &self.settings.clock)?;
        self.guard.keep_archivist(archivist);
        self.lines.files = Some(self.start("files", sink, LogFormat::Json, false)?);
        Ok(())
    }

    fn start(&mut self, name: &str, sink: impl Sink, format: LogFormat, ansi: bool) -> Result<Arc<Queue>, LogError> {
        let queue = Arc::new(Queue::new(self.settings.queue));
        let notice = notice(self.settings, format, ansi);
        let writer = Writer::start(name, Arc::clone(&queue), sink, notice).map_err(LogError::Thread)?;
        self.guard.keep_writer(writer);
        self.queues.push(Arc::clone(&queue));
        Ok(queue)
    }

    fn assemble(self, filter: tracing_subscriber::EnvFilter) -> (LogLayer, LogControl, LogGuard) {
        let (filter, handle) = reload::Layer::new(filter);
        let control =
            LogControl { handle, filter: Arc::new(Mutex::new(self.settings.filter.clone())), queues: self.queues };
        (self.lines.with_filter(filter).boxed(), control, self.guard)
    }
}

/// The line of a writer that has to tell of dropped ones.
fn notice(settings: &LogSettings, format: LogFormat, ansi: bool) -> Notice {
    let (service, clock) = (settings.service, settings.clock.clone());
    Box::new(move |dropped| {
        let (at, mut line) = (stamp::stamp(clock.now()), Vec::new());
        let message = format!("{dropped} log lines were dropped");
        let head = Head { at: &at, level: LineLevel::Warn, service, message: &message, ids: None };
        match format {
            LogFormat::Json => json::line(&head, format!(",\"dropped\":{dropped}").as_bytes(), &mut line),
            LogFormat::Pretty => pretty::line(&head, b"", ansi, &mut line),
        }
        line
    })
}

/// An error and its causes in one line, outermost first.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
