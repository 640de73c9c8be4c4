//! Closed files are compressed and, in time, deleted: by a thread of its own, which nobody waits for.
//!
//! What is to be done is read from the folder, not from a list: so whatever a killed process left undone is done by the next.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::folder::{Folder, Forms};
use super::name::ClosedName;

/// How often old files are looked for when none is closed.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// Compressed in one go; between two it is seen whether the process ends.
const PIECE: usize = 256 * 1024;
/// The end of the name of an archive that is not whole.
const UNFINISHED: &str = ".gz.tmp";

/// What the archivist is told.
#[derive(Debug, Default)]
pub(super) struct Work {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: u64,
    done: u64,
    stop: bool,
    ended: bool,
}

impl Work {
    /// There is a closed file.
    pub(super) fn wake(&self) {
        self.lock().wanted += 1;
        self.told.notify_all();
    }

    fn stopped(&self) -> bool {
        self.lock().stop
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.told.wait_timeout_while(state, patience, |state| !until(state)).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until everything closed before is compressed; whether it was in time.
    #[cfg(test)]
    pub(super) fn settle(&self, patience: Duration) -> bool {
        let wanted = self.lock().wanted;
        self.wait(patience, |state| state.done >= wanted).done >= wanted
    }
}

/// The thread.
#[derive(Debug)]
pub(in crate::logs) struct Archivist {
    work: Arc<Work>,
    thread: Option<JoinHandle<()>>,
}

impl Archivist {
    /// Starts it; it looks through the folder at once.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(folder: Arc<Folder>, work: Arc<Work>) -> io::Result<Self> {
        work.wake();
        let told = Arc::clone(&work);
        let thread = std::thread::Builder::new().name("log-archive".to_owned()).spawn(move || {
            let ending = Ending(told);
            run(&folder, &ending.0);
            drop(folder);
        })?;
        Ok(Self { work, thread: Some(thread) })
    }

    /// Ends it, within a moment: what is half done is done by the next process.
    pub(in crate::logs) fn finish(&mut self, deadline: Instant) {
        self.work.lock().stop = true;
        self.work.told.notify_all();
        let ended = self.work.wait(deadline.saturating_duration_since(Instant::now()), |state| state.ended).ended;
        if ended && let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tells of the end, however it came.
struct Ending(Arc<Work>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.told.notify_all();
    }
}

fn run(folder: &Folder, work: &Work) {
    loop {
        let wanted = work.lock().wanted;
        tidy(folder, &|| work.stopped());
        let mut state = work.lock();
        state.done = wanted;
        work.told.notify_all();
        drop(state);
        if work.wait(LOOK_EVERY, |state| state.stop || state.wanted > wanted).stop {
            return;
        }
    }
}

/// Compresses what is closed, oldest first, and deletes what is too old or too many.
pub(super) fn tidy(folder: &Folder, stopped: &dyn Fn() -> bool) {
    if let Err(error) = try_tidy(folder, stopped) {
        folder.complain(format_args!("closed files can't be compressed or deleted: {error}"));
    }
}

fn try_tidy(folder: &Folder, stopped: &dyn Fn() -> bool) -> io::Result<()> {
    remove_unfinished(folder)?;
    // Before the work of compressing: a full disk gets room first.
    remove_old(folder)?;
    for (name, forms) in folder.closed()? {
        if stopped() {
            return Ok(());
        }
        match forms {
            Forms { plain: true, archive: true } => fs::remove_file(folder.path(&name.to_string()))?,
            Forms { plain: true, archive: false } => compress(folder, name, stopped)?,
            Forms { plain: false, .. } => {}
        }
    }
    Ok(())
}

/// An archive gets its name when it is whole: what has not was left by a process that was killed.
fn remove_unfinished(folder: &Folder) -> io::Result<()> {
    for entry in fs::read_dir(&folder.settings.dir)? {
        let entry = entry?;
        let ours =
            entry.file_name().to_str().and_then(|name| name.strip_suffix(UNFINISHED)).and_then(ClosedName::parse);
        if ours.is_some() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn compress(folder: &Folder, name: ClosedName, stopped: &dyn Fn() -> bool) -> io::Result<()> {
    let plain = folder.path(&name.to_string());
    let unfinished = folder.path(&format!("{name}{UNFINISHED}"));
    let mut source = BufReader::with_capacity(PIECE, File::open(&plain)?);
    let mut archive = GzEncoder::new(File::create(&unfinished)?, Compression::default());
    let mut piece = vec![0; PIECE];
    let (mut lines, mut bytes) = (0, 0);
    loop {
        if stopped() {
            return fs::remove_file(&unfinished);
        }
        let length = source.read(&mut piece)?;
        if length == 0 {
            break;
        }
        bytes += length as u64;
        lines += piece[..length].split(|byte| *byte == b'\n').count() as u64 - 1;
        archive.write_all(&piece[..length])?;
    }
    let archive = archive.finish()?;
    // The name promises that it is whole, even after a power failure.
    archive.sync_all()?;
    let archive_bytes = archive.metadata()?.len();
    fs::rename(&unfinished, folder.path(&name.archive()))?;
    folder.record(|audit| {
        if let Some(rotation) = audit.find(&name.to_string()) {
            rotation.bytes = bytes;
            rotation.lines = Some(lines);
            rotation.archive = Some(name.archive());
            rotation.archive_bytes = Some(archive_bytes);
        }
    });
    fs::remove_file(plain)
}

/// Deletes files that were closed too long ago, and the oldest of a kind when there are too many.
fn remove_old(folder: &Folder) -> io::Result<()> {
    let files = folder.closed()?;
    let oldest = folder.clock.now() - time::Duration::days(i64::from(folder.settings.keep_days));
    let audit = folder.audit();
    let is_old = |name: &ClosedName| {
        let file = name.to_string();
        let closed = audit.rotations.iter().find(|rotation| rotation.file == file);
        let closed = closed.and_then(|rotation| OffsetDateTime::parse(&rotation.closed, &Rfc3339).ok());
        closed.unwrap_or_else(|| name.day.midnight().assume_utc()) < oldest
    };
    for (index, (name, forms)) in files.iter().enumerate() {
        let newer = files.keys().skip(index + 1).filter(|other| other.kind == name.kind).count();
        if newer < folder.settings.keep_files && !is_old(name) {
            continue;
        }
        if forms.plain {
            fs::remove_file(folder.path(&name.to_string()))?;
        }
        if forms.archive {
            fs::remove_file(folder.path(&name.archive()))?;
        }
        folder.record(|audit| audit.forget(&name.to_string()));
    }
    Ok(())
}
