//! What is logged, where to and how.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;

/// How lines on the console look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Coloured on a terminal, for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Where the lines of the console go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Console {
    /// Standard error: standard output belongs to what a command answers.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
    /// Nowhere: files alone.
    Off,
}

/// What is logged, where to and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `http`, `debug`, `trace`, or a filter such as `http,orders=debug`; a list of targets alone has `info` for the others.
    pub filter: String,
    /// How lines on the console look; files are always JSON.
    pub format: LogFormat,
    /// Where the console is.
    pub console: Console,
    /// The name of the process: the `service` of lines that speak for no other.
    pub service: &'static str,
    /// Whose lines they are when several services share the process: the first segment of a target, such as `orders` of
    /// `orders::saga`, and the service it stands for. A request's own service goes before it.
    pub services: &'static [(&'static str, &'static str)],
    /// Log files, if there shall be any.
    pub files: Option<FileSettings>,
    /// How much waits for a slow transport.
    pub queue: QueueLimits,
    /// Names of fields whose values are never told, beside those of [`crate::redact::is_secret_name`].
    pub secret_names: Vec<String>,
    /// What time it is.
    pub clock: Clock,
}

impl LogSettings {
    /// Lines of this process at level `info`, as JSON on standard error, and no files.
    pub fn new(service: &'static str) -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Json,
            console: Console::default(),
            service,
            services: &[],
            files: None,
            queue: QueueLimits::default(),
            secret_names: Vec::new(),
            clock: Clock::default(),
        }
    }
}

/// Log files: where, how large, how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The folder: made when it is not there, and this process's own while it runs.
    pub dir: PathBuf,
    /// Bytes at which a file is closed; a line is never split, and a longer one gets a file of its own.
    pub max_bytes: u64,
    /// Days that a closed file is kept.
    pub keep_days: u32,
    /// Closed files kept of each kind (`combined`, `error`, `access`).
    pub keep_files: usize,
}

impl FileSettings {
    /// Files of 100 MB in `dir`, kept for 30 days, at most 100 of each kind.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), max_bytes: 100_000_000, keep_days: 30, keep_files: 100 }
    }
}

/// How much may wait for a transport; as much again may be in its hands.
///
/// The last eighth of both is kept for warnings and errors, so that a flood of lesser lines does not push them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Lines.
    pub lines: usize,
    /// Bytes of those lines.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { lines: 8192, bytes: 16 * 1024 * 1024 }
    }
}

/// What time it is: the system's, unless a test knows better.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl Clock {
    /// A clock that tells what `now` returns, which must be in UTC.
    pub fn new(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present moment, in UTC.
    pub fn now(&self) -> OffsetDateTime {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(OffsetDateTime::now_utc)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
