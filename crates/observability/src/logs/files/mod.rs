//! Log files: `combined.log` with every line, `error.log` and `access.log` with theirs.

pub(in crate::logs) mod archive;
mod audit;
mod folder;
mod name;
mod rotating;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::archive::{Archivist, Work};
use self::folder::Folder;
use self::name::FileKind;
use self::rotating::Rotating;
use super::LogError;
use super::queue::Batch;
use super::settings::{Clock, FileSettings};
use super::writer::Sink;

/// The files as a transport.
#[derive(Debug)]
pub(super) struct FilesSink {
    files: [Rotating; 3],
    clock: Clock,
}

impl Sink for FilesSink {
    fn write(&mut self, batch: &Batch) -> u64 {
        let now = self.clock.now();
        // A line that is missing in two files is one line lost.
        self.files.iter_mut().map(|file| file.write(batch, now)).max().unwrap_or(0)
    }
}

/// Takes the folder, opens the files, and starts the thread that looks after those that are closed.
///
/// # Errors
/// [`LogError::Folder`], [`LogError::InUse`], [`LogError::Thread`].
pub(super) fn open(settings: FileSettings, clock: &Clock) -> Result<(FilesSink, Archivist), LogError> {
    let (sink, folder, work) = open_quietly(settings, clock)?;
    let archivist = Archivist::start(folder, work).map_err(LogError::Thread)?;
    Ok((sink, archivist))
}

fn open_quietly(settings: FileSettings, clock: &Clock) -> Result<(FilesSink, Arc<Folder>, Arc<Work>), LogError> {
    let dir = settings.dir.clone();
    let folder = Arc::new(Folder::open(settings, clock.clone())?);
    let work = Arc::<Work>::default();
    let mut files = FileKind::ALL.map(|kind| Rotating::new(kind, Arc::clone(&folder), Arc::clone(&work)));
    for file in &mut files {
        file.open(clock.now()).map_err(|source| LogError::Folder { dir: dir.clone(), source })?;
    }
    Ok((FilesSink { files, clock: clock.clone() }, folder, work))
}
