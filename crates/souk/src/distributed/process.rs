//! One process, kept running.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use service_kit::backoff::Backoff;
use service_kit::host::GRACE;
use tokio_util::sync::CancellationToken;

use super::plan::Wanted;

/// How often it is looked whether a process still runs.
const LOOK: Duration = Duration::from_millis(50);
/// Waits before a process that ended is started again.
const RESTART: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(2) };
/// A process that ran this long did not fail at its start.
const RAN_WELL: Duration = Duration::from_secs(10);
/// What a gateway may take to move its clients elsewhere, by default; the others take no such time.
const DRAIN: Duration = Duration::from_secs(20);
/// Beyond its own grace period, before it is killed.
const KILL_AFTER: Duration = Duration::from_secs(1);
/// How long it may take to say whether it is ready: longer than its own checks may.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Exit code of a process that was not started rightly: starting it again changes nothing.
const EXIT_USAGE: i32 = 2;

/// A process; clones speak of the same one.
#[derive(Clone)]
pub(super) struct Process(Arc<Inner>);

struct Inner {
    wanted: Wanted,
    state: Mutex<State>,
    /// Cancelled when it is to end for good.
    stop: CancellationToken,
    /// Cancelled when it has.
    ended: CancellationToken,
    client: reqwest::Client,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    pid: u32,
    refused: bool,
}

impl Process {
    /// Starts it, and from then on again whenever it ends.
    pub(super) fn start(wanted: Wanted) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(PROBE_TIMEOUT).pool_max_idle_per_host(1).build()?;
        let process = Self(Arc::new(Inner {
            wanted,
            state: Mutex::default(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            client,
        }));
        process.spawn()?;
        tokio::spawn(process.clone().supervise());
        Ok(process)
    }

    pub(super) fn name(&self) -> &str {
        &self.0.wanted.name
    }

    pub(super) fn service(&self) -> &'static str {
        self.0.wanted.service
    }

    pub(super) fn internal(&self) -> SocketAddr {
        self.0.wanted.internal
    }

    pub(super) fn pid(&self) -> u32 {
        self.state().pid
    }

    /// Why it is not started again: it was told something that it can't use.
    pub(super) fn refused(&self) -> Option<String> {
        self.state().refused.then(|| format!("{} was not started rightly; it says above why", self.name()))
    }

    /// Whether it can be sent requests, and if not why.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let url = format!("http://{}/health/ready", self.internal());
        let response = self.0.client.get(url).send().await.map_err(|_| "it does not answer".to_owned())?;
        if response.status().is_success() {
            return Ok(());
        }
        let report: serde_json::Value = response.json().await.map_err(|error| error.to_string())?;
        let down = report["checks"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, check)| check["error"].as_str().map(|error| format!("{name}: {error}")));
        Err(down.collect::<Vec<_>>().join("; "))
    }

    /// Lets it finish what is in work; kills it when it takes longer than it may.
    pub(super) async fn stop(&self) {
        self.0.stop.cancel();
        self.state().stdin = None;
        if tokio::time::timeout(DRAIN + GRACE + KILL_AFTER, self.0.ended.cancelled()).await.is_err() {
            eprintln!("{} did not end in time and is killed", self.name());
            self.kill();
            self.0.ended.cancelled().await;
        }
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        self.0.stop.cancel();
        if let Some(child) = &mut self.state().child {
            let _ = child.kill();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> anyhow::Result<()> {
        let wanted = &self.0.wanted;
        let mut command = Command::new(&wanted.program);
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("SOUK_")) {
            command.env_remove(key);
        }
        let mut child = command
            .envs(&wanted.environment)
            // Ctrl-C goes to everyone in the terminal's group; who stops when is decided here.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be started", wanted.program.display()))?;
        forward(child.stdout.take(), &wanted.name);
        forward(child.stderr.take(), &wanted.name);
        let mut state = self.state();
        state.pid = child.id();
        state.stdin = child.stdin.take();
        state.child = Some(child);
        Ok(())
    }

    /// How it ended, if it did.
    fn look(&self) -> Option<ExitStatus> {
        let mut state = self.state();
        let status = state.child.as_mut()?.try_wait().ok()??;
        state.child = None;
        Some(status)
    }

    async fn supervise(self) {
        let mut failures = 0;
        let mut started = Instant::now();
        loop {
            let Some(status) = self.look() else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            let (name, pid) = (self.name(), self.pid());
            if self.0.stop.is_cancelled() {
                if !status.success() {
                    eprintln!("{name} (pid {pid}) ended with {status}");
                }
                break;
            }
            if status.code() == Some(EXIT_USAGE) {
                eprintln!("{name} (pid {pid}) ended with {status} and is not started again");
                self.state().refused = true;
                break;
            }
            failures = if started.elapsed() > RAN_WELL { 1 } else { failures + 1 };
            let wait = RESTART.wait(failures, u64::from(pid) * 7919);
            eprintln!("{name} (pid {pid}) ended with {status}; it is started again in {} ms", wait.as_millis());
            if tokio::time::timeout(wait, self.0.stop.cancelled()).await.is_ok() {
                break;
            }
            started = Instant::now();
            if let Err(error) = self.spawn() {
                eprintln!("{name}: {error:#}");
                break;
            }
            eprintln!("{name} is started again (pid {})", self.pid());
        }
        self.0.ended.cancel();
    }
}

/// Copies a process's lines to standard error, each with its name before it.
fn forward(output: Option<impl Read + Send + 'static>, name: &str) {
    let Some(output) = output else { return };
    let prefix = prefix(name, std::io::stderr().is_terminal());
    // A thread, not a task: reading from a pipe blocks. It ends with the pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let _ = writeln!(std::io::stderr().lock(), "{prefix}{line}");
        }
    });
}

/// The name in a column, in a colour of its own on a terminal.
fn prefix(name: &str, coloured: bool) -> String {
    if !coloured {
        return format!("{name:<14} | ");
    }
    let colour = 31 + name.bytes().fold(0, |sum, byte| (sum + u32::from(byte)) % 6);
    format!("\u{1b}[{colour}m{name:<14} |\u{1b}[0m ")
}
