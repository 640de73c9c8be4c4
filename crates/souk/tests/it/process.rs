//! A Souk process, and customers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take before the test says that it does not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test, with an environment of its own.
pub(crate) fn souk() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_souk"));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("SOUK_")) {
        command.env_remove(key);
    }
    command.env("SOUK_LOG", "warn").stdin(Stdio::null());
    command
}

/// A running Souk; killed when dropped.
pub(crate) struct Souk {
    child: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) folder: PathBuf,
}

impl Drop for Souk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Souk {
    /// Starts on a folder and waits until it says where it is.
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[]).await
    }

    /// The same with these settings in its environment.
    pub(crate) async fn start_with(folder: &Path, settings: &[(&str, String)]) -> Self {
        Self::start_telling(folder, settings, Stdio::null(), Stdio::inherit()).await
    }

    /// The same with what it tells going there.
    pub(crate) async fn start_telling(
        folder: &Path,
        settings: &[(&str, String)],
        stdout: Stdio,
        stderr: Stdio,
    ) -> Self {
        let mut command = souk();
        command
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .args(["up", "--seed", "--port", "0", "--internal-port", "0", "--data-dir"])
            .arg(folder);
        let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        let pid = child.id();
        let started = Instant::now();
        let running = loop {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("souk ended with {status} instead of serving");
            }
            let text = std::fs::read_to_string(folder.join("souk.lock")).unwrap_or_default();
            match serde_json::from_str::<Value>(&text) {
                Ok(running) if running["pid"] == pid => break running,
                _ => assert!(started.elapsed() < PATIENCE, "souk does not say where it is"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let address = |name: &str| running[name].as_str().unwrap().parse().unwrap();
        Self { child, gateway: address("gateway"), internal: address("internal"), folder: folder.to_owned() }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits until it has; its exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "souk does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway)
    }

    /// Registers a customer; the access token.
    pub(crate) async fn register(&self, client: &reqwest::Client, name: &str) -> String {
        let account = json!({ "email": format!("{name}@souk.test"), "password": "a-long-password", "name": name });
        let response = client.post(self.url("/api/auth/register")).json(&account).send().await.unwrap();
        assert_eq!(response.status(), 201);
        let session: Value = response.json().await.unwrap();
        session["access_token"].as_str().unwrap().to_owned()
    }

    /// Logs in; the access token.
    pub(crate) async fn log_in(&self, client: &reqwest::Client, email: &str, password: &str) -> String {
        let account = json!({ "email": email, "password": password });
        let response = client.post(self.url("/api/auth/login")).json(&account).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let session: Value = response.json().await.unwrap();
        session["access_token"].as_str().unwrap().to_owned()
    }
}

/// Waits until `holds` says so.
pub(crate) async fn eventually(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
