//! A file that is closed when it is large, or when the day is over.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use time::{Date, OffsetDateTime};

use super::archive::Work;
use super::audit::Rotation;
use super::folder::{Folder, first_moment};
use super::name::{FileKind, parse_day};
use crate::logs::queue::{Batch, Kind};
use crate::logs::stamp::stamp_text;

/// One of the files that are written.
#[derive(Debug)]
pub(super) struct Rotating {
    kind: FileKind,
    folder: Arc<Folder>,
    work: Arc<Work>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Bytes of whole lines.
    size: u64,
    /// The day of its first line.
    day: Date,
    created: String,
}

impl Rotating {
    pub(super) fn new(kind: FileKind, folder: Arc<Folder>, work: Arc<Work>) -> Self {
        Self { kind, folder, work, open: None }
    }

    /// Opens the file and goes on where the last process stopped.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub(super) fn open(&mut self, now: OffsetDateTime) -> io::Result<()> {
        let path = self.folder.path(&self.kind.current());
        let mut file = File::options().create(true).read(true).append(true).open(&path)?;
        let mut size = file.metadata()?.len();
        if size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // A process that was killed left half a line: the next one is whole.
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        let created = if size > 0 { first_moment(&path) } else { None }.unwrap_or_else(|| stamp_text(now));
        let day = created.get(..10).and_then(parse_day).unwrap_or_else(|| now.date());
        self.open = Some(Open { file, size, day, created });
        // What is left of an earlier day is closed now, not at the next line, which may be long in coming.
        self.turn_day(now)
    }

    /// Writes the lines of a batch that belong here; returns how many it could not.
    pub(super) fn write(&mut self, batch: &Batch, now: OffsetDateTime) -> u64 {
        let mut start = 0;
        let (mut from, mut to, mut lines, mut lost) = (0, 0, 0, 0);
        for line in &batch.lines {
            let ours = match self.kind {
                FileKind::Combined => true,
                FileKind::Error => line.kind == Kind::Error,
                FileKind::Access => line.kind == Kind::Access,
            };
            let room = self.room(to - from);
            if lines > 0 && (!ours || ((line.end - start) as u64) > room) {
                lost += self.put(&batch.bytes[from..to], lines, now);
                (from, lines) = (to, 0);
            }
            if ours {
                if lines == 0 {
                    from = start;
                }
                (to, lines) = (line.end, lines + 1);
            }
            start = line.end;
        }
        if lines > 0 {
            lost += self.put(&batch.bytes[from..to], lines, now);
        }
        lost
    }

    /// Bytes that fit behind `more` in the file that `more` will be written to.
    fn room(&self, more: usize) -> u64 {
        let size = self.open.as_ref().map_or(0, |open| open.size);
        // What does not fit behind the lines there are gets a new file.
        let size = if size + more as u64 > self.folder.settings.max_bytes { 0 } else { size };
        self.folder.settings.max_bytes.saturating_sub(size + more as u64)
    }

    /// Writes lines that stay together; returns how many are lost.
    fn put(&mut self, bytes: &[u8], lines: u64, now: OffsetDateTime) -> u64 {
        match self.try_put(bytes, now) {
            Ok(()) => 0,
            Err(error) => {
                self.folder.complain(format_args!("{} can't be written: {error}", self.kind.current()));
                // Half a line is taken back; the next batch tries again from the start.
                if let Some(open) = self.open.take() {
                    let _ = open.file.set_len(open.size);
                }
                lines
            }
        }
    }

    fn try_put(&mut self, bytes: &[u8], now: OffsetDateTime) -> io::Result<()> {
        if self.open.is_none() {
            self.open(now)?;
        }
        self.turn_day(now)?;
        let max = self.folder.settings.max_bytes;
        if self.open.as_ref().is_some_and(|open| open.size > 0 && open.size + bytes.len() as u64 > max) {
            self.rotate(now)?;
        }
        let Some(open) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        if open.size == 0 {
            (open.day, open.created) = (now.date(), stamp_text(now));
        }
        open.file.write_all(bytes)?;
        open.size += bytes.len() as u64;
        Ok(())
    }

    fn turn_day(&mut self, now: OffsetDateTime) -> io::Result<()> {
        match &self.open {
            Some(open) if open.size > 0 && open.day < now.date() => self.rotate(now),
            _ => Ok(()),
        }
    }

    /// Closes the file under a name of its own and begins the next. Where it can't have one, it is written on: a file
    /// that is too large is better than none.
    fn rotate(&mut self, now: OffsetDateTime) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let current = self.folder.path(&self.kind.current());
        let name = match self.folder.next_name(self.kind, open.day).and_then(|name| {
            fs::rename(&current, self.folder.path(&name.to_string()))?;
            Ok(name)
        }) {
            Ok(name) => name,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody took it away.
                self.open = None;
                return self.open(now);
            }
            Err(error) => {
                self.folder.complain(format_args!("{} can't be closed: {error}", self.kind.current()));
                return Ok(());
            }
        };
        let rotation = Rotation {
            kind: self.kind.name().to_owned(),
            file: name.to_string(),
            created: open.created.clone(),
            closed: stamp_text(now),
            bytes: open.size,
            lines: None,
            archive: None,
            archive_bytes: None,
        };
        self.open = None;
        self.folder.record(|audit| audit.rotations.push(rotation));
        self.work.wake();
        let file = File::options().create(true).append(true).open(&current)?;
        self.open = Some(Open { file, size: 0, day: now.date(), created: stamp_text(now) });
        Ok(())
    }
}
