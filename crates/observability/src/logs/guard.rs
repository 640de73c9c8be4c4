//! The end of the log output.

use std::time::{Duration, Instant};

use super::files::archive::Archivist;
use super::writer::Writer;

/// How long the last lines may take to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Held while the process logs. Dropped, it waits until all lines are written, at most five seconds, and lets go of the
/// files. Lines after that go straight to the console, and to no file.
///
/// Drop it last: what is told while the rest ends is told too.
#[derive(Debug, Default)]
#[must_use = "dropping it ends the log output"]
pub struct LogGuard {
    writers: Vec<Writer>,
    archivist: Option<Archivist>,
}

impl LogGuard {
    pub(super) fn keep_writer(&mut self, writer: Writer) {
        self.writers.push(writer);
    }

    pub(super) fn keep_archivist(&mut self, archivist: Archivist) {
        self.archivist = Some(archivist);
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for writer in &self.writers {
            writer.close();
        }
        for writer in &mut self.writers {
            writer.finish(deadline);
        }
        if let Some(archivist) = &mut self.archivist {
            archivist.finish(deadline);
        }
    }
}
