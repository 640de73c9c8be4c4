//! The real binary and what it starts: a script in place of souk.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test says that it does not happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn telemetry(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command
        .args(["telemetry", "--souk", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fake-souk")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn eventually<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// Starts a measurement whose souk stays without serving; the measurement, and the process of souk.
fn start(folder: &Path) -> (Child, PathBuf) {
    let pid_file = folder.join("pid");
    let child = telemetry(&[]).env("FAKE_PID_FILE", &pid_file).spawn().unwrap();
    let pid = eventually("the script starts", || std::fs::read_to_string(&pid_file).ok());
    (child, Path::new("/proc").join(pid.trim()))
}

#[test]
fn a_missing_binary_is_a_wrong_question() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let output = command.args(["telemetry", "--souk", "/no/such/souk"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("cargo build --release -p souk -p loadtest"), "{}", said(&output));
}

#[test]
fn a_build_without_a_setting_is_not_judged() {
    let output = telemetry(&["--at-least", "0.85"]).env("FAKE_UNKNOWN", "SOUK_METRICS").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("does not know SOUK_METRICS"), "{}", said(&output));
}

#[test]
fn a_souk_that_ends_at_start_is_heard() {
    let output = telemetry(&[]).env("FAKE_SAYS", "the shelves are on fire").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the shelves are on fire"), "{}", said(&output));
}

#[test]
fn ended_by_a_signal_it_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let folder = tempfile::TempDir::new().unwrap();
        let (mut child, souk) = start(folder.path());
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal:?}");
        assert!(!souk.exists(), "{signal:?}: souk still runs");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn killed_it_takes_souk_along() {
    let folder = tempfile::TempDir::new().unwrap();
    let (mut child, souk) = start(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    // Whoever adopted it may take a while to bury it; a process that ended has no memory any more.
    eventually("souk ends", || {
        let gone = std::fs::read_to_string(souk.join("statm")).map_or(true, |memory| memory.starts_with("0 "));
        gone.then_some(())
    });
}
