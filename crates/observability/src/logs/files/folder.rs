//! The folder of log files: one process's own.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::{Date, OffsetDateTime};

use super::audit::{Audit, Rotation};
use super::name::{ClosedName, FileKind, parse_day};
use crate::logs::LogError;
use crate::logs::settings::{Clock, FileSettings};
use crate::logs::stamp::stamp_text;
use crate::logs::writer::Complaints;

const LOCK: &str = "log.lock";

/// How a closed file is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forms {
    pub(super) plain: bool,
    pub(super) archive: bool,
}

/// Locked as long as it is held.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) settings: FileSettings,
    pub(super) clock: Clock,
    audit: Mutex<Audit>,
    complaints: Mutex<Complaints>,
    /// The kernel lets go of it whatever becomes of the process.
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, takes it for this process, and brings its audit in line with its files.
    ///
    /// # Errors
    /// [`LogError::Folder`] when it can't be made or written, [`LogError::InUse`] when another process has it.
    pub(super) fn open(settings: FileSettings, clock: Clock) -> Result<Self, LogError> {
        let dir = settings.dir.clone();
        let unusable = |source| LogError::Folder { dir: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(unusable)?;
        let lock = File::options().create(true).truncate(false).write(true).open(dir.join(LOCK)).map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LogError::InUse { dir: dir.clone() },
            TryLockError::Error(error) => unusable(error),
        })?;
        let audit = Mutex::new(Audit::read(&dir).unwrap_or_default());
        let folder = Self { settings, clock, audit, complaints: Mutex::default(), _lock: lock };
        folder.reconcile().map_err(unusable)?;
        Ok(folder)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.settings.dir.join(name)
    }

    /// The closed files there are.
    pub(super) fn closed(&self) -> io::Result<BTreeMap<ClosedName, Forms>> {
        let mut files = BTreeMap::<ClosedName, Forms>::new();
        for entry in fs::read_dir(&self.settings.dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(closed) = ClosedName::parse(name) {
                files.entry(closed).or_default().plain = true;
            } else if let Some(closed) = name.strip_suffix(".gz").and_then(ClosedName::parse) {
                files.entry(closed).or_default().archive = true;
            }
        }
        Ok(files)
    }

    /// A name for the file of `kind` that holds the lines of `day`, after those there are.
    pub(super) fn next_name(&self, kind: FileKind, day: Date) -> io::Result<ClosedName> {
        let taken = self.closed()?;
        let last = taken.keys().filter(|name| name.kind == kind && name.day == day).map(|name| name.number).max();
        Ok(ClosedName { kind, day, number: last.unwrap_or(0) + 1 })
    }

    /// Changes the audit and writes it; a failure is told, and mended by the next change.
    pub(super) fn record(&self, change: impl FnOnce(&mut Audit)) {
        let mut audit = lock(&self.audit);
        change(&mut audit);
        if let Err(error) = audit.write(&self.settings.dir) {
            self.complain(format_args!("{} can't be written: {error}", super::audit::AUDIT));
        }
    }

    pub(super) fn audit(&self) -> Audit {
        lock(&self.audit).clone()
    }

    /// Tells standard error, at most once a minute.
    pub(super) fn complain(&self, what: std::fmt::Arguments<'_>) {
        lock(&self.complaints).tell(format_args!("{}: {what}", self.settings.dir.display()));
    }

    /// Forgets what somebody deleted, and notes what a process that was killed had no time to note.
    fn reconcile(&self) -> io::Result<()> {
        let files = self.closed()?;
        let mut audit = lock(&self.audit);
        let known = audit.clone();
        audit
            .rotations
            .retain(|rotation| ClosedName::parse(&rotation.file).is_some_and(|name| files.contains_key(&name)));
        for (name, forms) in &files {
            let file = name.to_string();
            if audit.find(&file).is_none() {
                let rotation = self.describe(*name, *forms)?;
                audit.rotations.push(rotation);
            }
            if let Some(rotation) = audit.find(&file)
                && forms.archive
                && rotation.archive.is_none()
            {
                rotation.archive = Some(name.archive());
                rotation.archive_bytes = Some(self.path(&name.archive()).metadata()?.len());
            }
        }
        // Written in any case: this is where a folder that can't be written is found out.
        if *audit != known || !audit.rotations.is_empty() {
            audit.rotations.sort_by(|one, other| one.closed.cmp(&other.closed));
        }
        audit.write(&self.settings.dir)
    }

    /// What can be told of a file by itself: its first line has the time it was made, and it was closed by the day's end.
    fn describe(&self, name: ClosedName, forms: Forms) -> io::Result<Rotation> {
        let plain = self.path(&name.to_string());
        let end = name.day.next_day().unwrap_or(name.day).midnight().assume_utc();
        let created = if forms.plain { first_moment(&plain) } else { None };
        Ok(Rotation {
            kind: name.kind.name().to_owned(),
            file: name.to_string(),
            created: created.unwrap_or_else(|| stamp_text(name.day.midnight().assume_utc())),
            closed: stamp_text(end.min(self.clock.now())),
            bytes: if forms.plain { plain.metadata()?.len() } else { 0 },
            lines: None,
            archive: None,
            archive_bytes: None,
        })
    }
}

/// The time of a file's first line, if it is a line of ours.
pub(super) fn first_moment(path: &Path) -> Option<String> {
    const HEAD: &str = "{\"timestamp\":\"";
    let mut line = Vec::new();
    let start = (HEAD.len() + super::super::stamp::stamp(OffsetDateTime::UNIX_EPOCH).len()) as u64;
    BufReader::new(File::open(path).ok()?.take(start)).read_until(b'\n', &mut line).ok()?;
    let moment = String::from_utf8(line).ok()?.strip_prefix(HEAD)?.to_owned();
    parse_day(moment.get(..10)?).map(|_| moment)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
