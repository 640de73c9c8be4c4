//! The console: standard error or standard output.

use std::io::{self, IsTerminal as _, Write as _};

use super::queue::Batch;
use super::settings::Console;
use super::writer::{Complaints, Sink};

/// The console as a transport. Once closed, as by a reader of a pipe that went away, it takes everything and says nothing.
#[derive(Debug)]
pub(super) struct ConsoleSink {
    console: Console,
    gone: bool,
    complaints: Complaints,
}

impl ConsoleSink {
    pub(super) fn new(console: Console) -> Self {
        Self { console, gone: false, complaints: Complaints::default() }
    }
}

impl Sink for ConsoleSink {
    fn write(&mut self, batch: &Batch) -> u64 {
        if self.gone {
            return 0;
        }
        match write(self.console, &batch.bytes) {
            Ok(()) => 0,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                0
            }
            Err(error) => {
                self.complaints.tell(format_args!("the console can't be written: {error}"));
                batch.lines.len() as u64
            }
        }
    }
}

/// Writes lines at once, beside the thread: after the end of the log output.
pub(super) fn write(console: Console, lines: &[u8]) -> io::Result<()> {
    match console {
        Console::Stderr => io::stderr().lock().write_all(lines),
        Console::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(lines).and_then(|()| out.flush())
        }
        Console::Off => Ok(()),
    }
}

pub(super) fn is_terminal(console: Console) -> bool {
    match console {
        Console::Stderr => io::stderr().is_terminal(),
        Console::Stdout => io::stdout().is_terminal(),
        Console::Off => false,
    }
}
