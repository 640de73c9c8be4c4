//! The data folder: one Souk at a time, and where to find the one that has it.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::UsageError;

/// Who serves a folder, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Its process.
    pub(crate) pid: u32,
    /// Where clients reach it.
    pub(crate) gateway: SocketAddr,
    /// Where operators reach it.
    pub(crate) internal: SocketAddr,
}

/// A folder that this process has for itself, until it is dropped or dies.
#[derive(Debug)]
pub(crate) struct DataDir {
    // Locked as long as it is open; the kernel lets go of it whatever becomes of the process.
    lock: File,
}

fn lock_path(folder: &Path) -> PathBuf {
    folder.join("souk.lock")
}

impl DataDir {
    /// Takes the folder, making it if need be.
    pub(crate) fn take(folder: &Path) -> anyhow::Result<Self> {
        // Orders, emails and signing keys concern nobody else on the machine.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| UsageError(format!("the data folder {} can't be made: {error}", folder.display())))?;
        let path = lock_path(folder);
        let lock =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(|error| {
                UsageError(format!("the data folder {} can't be written: {error}", folder.display()))
            })?;
        match lock.try_lock() {
            Ok(()) => {
                lock.set_len(0).context("the lock file can't be written")?;
                Ok(Self { lock })
            }
            Err(TryLockError::WouldBlock) => {
                let by = find_running(folder).map_or_else(String::new, |running| {
                    format!(" (process {}, http://{})", running.pid, running.gateway)
                });
                let folder = folder.display();
                Err(UsageError(format!(
                    "the data folder {folder} is in use by another Souk{by}; stop it or give --data-dir"
                ))
                .into())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} can't be locked", path.display()))
            }
        }
    }

    /// Tells others where this Souk is.
    pub(crate) fn announce(&mut self, running: &Running) -> anyhow::Result<()> {
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(serde_json::to_string(running)?.as_bytes())?;
        Ok(())
    }
}

/// The Souk that has this folder now, if one does.
pub(crate) fn find_running(folder: &Path) -> Option<Running> {
    let mut file = File::open(lock_path(folder)).ok()?;
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_souk_at_a_time_which_others_can_find() {
        let folder = tempfile::TempDir::new().unwrap();
        assert!(find_running(folder.path()).is_none());
        let mut first = DataDir::take(folder.path()).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        first.announce(&Running { pid: 7, gateway: address, internal: address }).unwrap();
        let refused = DataDir::take(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("process 7"), "{refused}");
        assert_eq!(find_running(folder.path()).unwrap().pid, 7);
        drop(first);
        assert!(find_running(folder.path()).is_none(), "a Souk that ended is not found");
        DataDir::take(folder.path()).unwrap();
    }
}
