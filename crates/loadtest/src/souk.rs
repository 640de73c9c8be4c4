//! A Souk of our own, on a data folder of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::bound;
use crate::error::Error;
use crate::http::{Connection, Request, Url};

/// How long seeding and starting may take: a debug build on a busy machine hashes passwords slowly.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How long it may take to finish what is in work and to hand over its last spans: its own grace period and a little.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// Of its output, what is shown when it does not start.
const SHOWN_BYTES: usize = 4000;

/// Environment settings of a process.
pub type Settings = BTreeMap<&'static str, String>;

/// Finds the binary: the one named, else the one beside this binary.
///
/// # Errors
/// [`Error::Usage`] with how to build it.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    let beside = || std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("souk")));
    let path = named.map(Path::to_owned).or_else(beside).unwrap_or_else(|| PathBuf::from("souk"));
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::Usage(format!(
        "there is no souk binary at {}; build it with\n  cargo build --release -p souk -p loadtest\n\
         and run target/release/loadtest, or name it with --souk",
        path.display()
    )))
}

/// Which of these settings the binary does not know.
///
/// # Errors
/// When it refuses them for another reason, or can't be run.
pub fn unknown_settings(program: &Path, settings: &Settings) -> Result<Vec<&'static str>, Error> {
    let folder = TempDir::new().map_err(Error::io("no temporary folder"))?;
    let mut command = Command::new(program);
    clean(&mut command, settings);
    command.arg("config").arg("--data-dir").arg(folder.path().join("data")).current_dir(folder.path());
    let output = command.output().map_err(Error::io(format!("{} can't be run", program.display())))?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let unknown: Vec<_> = settings.keys().copied().filter(|key| calls_unknown(&said, key)).collect();
    if unknown.is_empty() {
        return Err(Error::Failed(format!("souk refuses the settings of the measurement:\n{said}")));
    }
    Ok(unknown)
}

fn calls_unknown(said: &str, key: &str) -> bool {
    said.lines().any(|line| line.contains(&format!("{key} ")) && line.contains("is no setting"))
}

/// Only what is given here counts, not what happens to be set around us.
fn clean(command: &mut Command, settings: &Settings) {
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("SOUK_")) {
        command.env_remove(key);
    }
    command.envs(settings).stdin(Stdio::null());
}

/// What a Souk writes into its data folder once it serves.
#[derive(Deserialize)]
struct Running {
    pid: u32,
    gateway: SocketAddr,
    internal: SocketAddr,
}

/// A running Souk with the demo catalogue. Killed when it is dropped, and with this process however that ends.
pub struct Souk {
    child: Child,
    folder: TempDir,
    gateway: SocketAddr,
}

impl Drop for Souk {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Souk {
    /// Starts it in `folder`, on free ports, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, takes too long, or `stop` is cancelled.
    pub async fn start(
        program: &Path,
        folder: TempDir,
        settings: &Settings,
        stop: &CancellationToken,
    ) -> Result<Self, Error> {
        let output = File::create(output_of(folder.path())).map_err(Error::io("no file for souk's output"))?;
        let errors = output.try_clone().map_err(Error::io("no file for souk's output"))?;
        let program = program.canonicalize().map_err(Error::io(format!("{} is not there", program.display())))?;
        let mut command = bound::command(&program).map_err(Error::io("loadtest does not find itself"))?;
        clean(&mut command, settings);
        command
            .args(["up", "--seed", "--host", "127.0.0.1", "--port", "0", "--internal-port", "0", "--data-dir"])
            .arg(data_of(folder.path()))
            // A souk.toml where we happen to be run is not meant.
            .current_dir(folder.path())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C goes to everyone in the terminal's group; who stops when is decided here.
            .process_group(0);
        let child = command.spawn().map_err(Error::io(format!("{} can't be started", program.display())))?;
        let mut souk = Self { child, folder, gateway: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let running = souk.wait_until_it_serves(stop).await?;
        souk.gateway = running.gateway;
        souk.wait_until_ready(running.internal, stop).await?;
        Ok(souk)
    }

    /// Where clients reach it.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes it has written to standard output and standard error.
    pub fn output_bytes(&self) -> u64 {
        fs::metadata(output_of(self.folder.path())).map_or(0, |file| file.len())
    }

    /// Asks it to stop, and waits until it has written and sent all it had to.
    ///
    /// # Errors
    /// When it takes too long; it is killed then.
    pub async fn finish(&mut self) -> Result<(), Error> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| Error::Failed(format!("souk could not be asked to stop: {error}")))?;
        let asked = Instant::now();
        while self.child.try_wait().map_err(Error::io("souk can't be waited for"))?.is_none() {
            if asked.elapsed() > STOP_PATIENCE {
                let _ = self.child.kill();
                return Err(Error::Failed("souk did not stop in time and was killed".to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn wait_until_it_serves(&mut self, stop: &CancellationToken) -> Result<Running, Error> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().map_err(Error::io("souk can't be waited for"))? {
                return Err(self.failed(&format!("souk ended with {status} instead of serving")));
            }
            let text = fs::read_to_string(data_of(self.folder.path()).join("souk.lock")).unwrap_or_default();
            match serde_json::from_str::<Running>(&text) {
                Ok(running) if running.pid == self.pid() => return Ok(running),
                _ => self.wait(started, stop).await?,
            }
        }
    }

    async fn wait_until_ready(&self, internal: SocketAddr, stop: &CancellationToken) -> Result<(), Error> {
        let started = Instant::now();
        let request = Request::default().to_bytes(&Url::of(internal).at("/health/ready"));
        let mut connection = Connection::to(internal);
        loop {
            let answer = tokio::time::timeout(START_PATIENCE, connection.send(&request, false)).await;
            if matches!(answer, Ok(Ok(ref answer)) if answer.status == 200) {
                return Ok(());
            }
            self.wait(started, stop).await?;
        }
    }

    async fn wait(&self, since: Instant, stop: &CancellationToken) -> Result<(), Error> {
        if since.elapsed() > START_PATIENCE {
            return Err(self.failed("souk is not ready after a minute"));
        }
        tokio::select! {
            () = stop.cancelled() => Err(Error::Interrupted),
            () = tokio::time::sleep(LOOK) => Ok(()),
        }
    }

    fn failed(&self, what: &str) -> Error {
        let said = fs::read(output_of(self.folder.path())).unwrap_or_default();
        let end = String::from_utf8_lossy(&said[said.len().saturating_sub(SHOWN_BYTES)..]).into_owned();
        Error::Failed(format!("{what}; it said:\n{end}"))
    }
}

fn output_of(folder: &Path) -> PathBuf {
    folder.join("output.log")
}

fn data_of(folder: &Path) -> PathBuf {
    folder.join("data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_is_told_with_how_to_build_it() {
        let error = find(Some(Path::new("/no/such/souk"))).unwrap_err();
        assert!(matches!(error, Error::Usage(_)));
        assert!(error.to_string().contains("cargo build --release -p souk -p loadtest"), "{error}");
    }

    #[test]
    fn a_setting_is_unknown_when_souk_says_so_of_it() {
        let said = "souk: the settings are not valid:\n  - SOUK_LOG_DIR (from environment) is no setting of Souk\n";
        assert!(calls_unknown(said, "SOUK_LOG_DIR"));
        assert!(!calls_unknown(said, "SOUK_LOG"));
        assert!(!calls_unknown("  - SOUK_LOG (from environment) is no level\n", "SOUK_LOG"));
    }
}
