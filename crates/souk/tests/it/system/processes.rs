//! The services, each a process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{free_ports, tail};

/// How long a service may take to be ready.
const START: Duration = Duration::from_secs(30);

/// One instance of a service; killed when dropped.
pub(crate) struct Instance {
    pub(crate) service: &'static str,
    /// Of its public or gRPC port; the internal one is the next.
    pub(crate) port: u16,
    log: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Instance {
    /// An instance with ports of its own, not yet started.
    pub(crate) fn new(service: &'static str, number: usize, folder: &Path) -> Self {
        let log = folder.join(format!("{service}-{number}.log"));
        Self { service, port: free_ports(), log, environment: Vec::new(), child: None }
    }

    /// Starts it with these settings.
    pub(crate) fn start(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
        self.restart();
    }

    /// Starts it again, as it was.
    pub(crate) fn restart(&mut self) {
        // Cargo builds the binaries of all services for the tests of the workspace, side by side.
        let program = Path::new(env!("CARGO_BIN_EXE_souk")).with_file_name(format!("souk-{}", self.service));
        assert!(program.exists(), "{} is not built: cargo build --workspace --bins", program.display());
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let upper = self.service.to_uppercase();
        let mut command = Command::new(program);
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("SOUK_")) {
            command.env_remove(key);
        }
        let address = if self.service == "gateway" { "SOUK_GATEWAY_ADDR" } else { &format!("SOUK_{upper}_GRPC_ADDR") };
        command.env(address, format!("127.0.0.1:{}", self.port));
        command.env(format!("SOUK_{upper}_INTERNAL_ADDR"), format!("127.0.0.1:{}", self.port + 1));
        command.envs(self.environment.iter().cloned());
        command.current_dir(self.log.parent().unwrap());
        // Of the test's own process group: what ends the test ends them.
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// How many calls it has answered.
    pub(crate) async fn calls(&self, client: &reqwest::Client) -> f64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.port + 1);
        let metrics = client.get(url).send().await.unwrap().text().await.unwrap();
        let counts = metrics.lines().filter(|line| {
            ["http_request_duration_seconds_count", "grpc_request_duration_seconds_count"]
                .iter()
                .any(|name| line.starts_with(name))
        });
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Whether it is ready; why not otherwise.
    pub(crate) async fn readiness(&self, client: &reqwest::Client) -> Result<(), String> {
        let url = format!("http://127.0.0.1:{}/health/ready", self.port + 1);
        let name = self.service;
        let response = client.get(url).timeout(Duration::from_secs(3)).send().await;
        let response = response.map_err(|error| format!("{name}: {error}"))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(format!("{name}: {}", response.text().await.unwrap_or_default()))
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self, client: &reqwest::Client) {
        let started = Instant::now();
        while let Err(why) = self.readiness(client).await {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", self.service, tail(&self.log));
            }
            assert!(started.elapsed() < START, "{why}:\n{}", tail(&self.log));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}
