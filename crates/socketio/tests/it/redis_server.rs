//! A Redis of a test's own, to be killed, frozen, and to be made to forget. Needs the server's program.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::DEADLINE;

const PROGRAM: &str = "SOUK_TEST_REDIS_SERVER";

/// Killed when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut server = Self::not_started();
        server.bring_back();
        server
    }

    pub(crate) fn not_started() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder: TempDir::new().unwrap(), port, process: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn bring_back(&mut self) {
        let program = std::env::var(PROGRAM).unwrap_or_else(|_| panic!("{PROGRAM} is not set"));
        let folder: &Path = self.folder.path();
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--daemonize", "no", "--save", ""]);
        // It answers for what is on its disk only.
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

    /// Killed, and all that it had is lost.
    pub(crate) fn kill_and_forget(&mut self) {
        self.kill();
        self.folder = TempDir::new().unwrap();
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// It answers nobody, keeps its connections and what is sent on them.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// It goes on where it was.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
