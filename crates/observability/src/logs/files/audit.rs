//! `audit.json`: the closed files of the folder, when they were closed and what became of them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file's name.
pub(super) const AUDIT: &str = "audit.json";
const AUDIT_TMP: &str = "audit.json.tmp";

/// One closed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rotation {
    /// `combined`, `error` or `access`.
    pub(super) kind: String,
    /// Its name when it was closed; gone once there is an archive.
    pub(super) file: String,
    /// When its first line was written (RFC 3339).
    pub(super) created: String,
    /// When it was closed (RFC 3339).
    pub(super) closed: String,
    /// Its size.
    pub(super) bytes: u64,
    /// Its lines; counted when it is compressed.
    pub(super) lines: Option<u64>,
    /// The name of its archive, once that is whole.
    pub(super) archive: Option<String>,
    /// The archive's size.
    pub(super) archive_bytes: Option<u64>,
}

/// The files there are; deleted ones are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Audit {
    pub(super) rotations: Vec<Rotation>,
}

impl Audit {
    /// Reads it; `None` when there is none, or none that can be read: it can be made again from the files.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(AUDIT)).ok()?).ok()
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        text.push(b'\n');
        let unfinished = dir.join(AUDIT_TMP);
        let mut file = File::create(&unfinished)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(unfinished, dir.join(AUDIT))
    }

    pub(super) fn find(&mut self, file: &str) -> Option<&mut Rotation> {
        self.rotations.iter_mut().find(|rotation| rotation.file == file)
    }

    pub(super) fn forget(&mut self, file: &str) {
        self.rotations.retain(|rotation| rotation.file != file);
    }
}
