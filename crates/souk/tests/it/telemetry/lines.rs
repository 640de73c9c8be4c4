//! What a process writes, line by line.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

/// Files that take the output of a process.
pub(crate) struct Output {
    folder: PathBuf,
}

impl Output {
    pub(crate) fn to(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Takes one stream, by its name.
    pub(crate) fn file(&self, stream: &str) -> Stdio {
        File::options().create(true).append(true).open(self.folder.join(stream)).unwrap().into()
    }

    /// The folder for log files of the process's own.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Whole texts by the name of the file that holds them: both streams, and log files if there are any.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for folder in [self.folder.clone(), self.log_dir()] {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.map(Result::unwrap).filter(|entry| entry.path().is_file()) {
                let name = entry.file_name().into_string().unwrap();
                texts.push((name, std::fs::read_to_string(entry.path()).unwrap()));
            }
        }
        texts
    }

    /// The lines on standard error, each of which must be JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("stderr")).unwrap();
        // The last line may be in the making.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        whole.lines().map(read).collect()
    }

    /// Those that a search for this text finds, as `grep` does.
    pub(crate) fn grep(&self, text: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.to_string().contains(text)).collect()
    }
}
