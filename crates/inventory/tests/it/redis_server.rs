//! A Redis of a test's own, to be killed, and to be made to forget. Needs the server's program.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::helpers::DEADLINE;

/// Killed when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder: TempDir::new().unwrap(), port, process: None };
        server.bring_back();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn bring_back(&mut self) {
        let program = std::env::var("SOUK_TEST_REDIS_SERVER").expect("SOUK_TEST_REDIS_SERVER is not set");
        let folder: &Path = self.folder.path();
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--daemonize", "no", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder);
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        // It takes connections while it still loads what it has.
        let answers = || {
            let mut connection = redis::Client::open(self.url()).and_then(|client| client.get_connection())?;
            redis::cmd("PING").query::<String>(&mut connection)
        };
        while answers().is_err() {
            assert!(begun.elapsed() < DEADLINE, "the server did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is on its disk now: all that it answered, since it writes before it answers.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = TempDir::new().unwrap();
        copy_files(self.folder.path(), copy.path());
        copy
    }

    /// Killed and brought back with what was on its disk then: it forgot everything since.
    pub(crate) fn fall_back_to(&mut self, copy: TempDir) {
        self.kill();
        self.folder = copy;
        self.bring_back();
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_files(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
