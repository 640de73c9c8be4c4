//! The service as a process: what operators see while it starts, serves and stops.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use contracts::grpc::users::RegisterRequest;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use futures::future::join_all;
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    grpc: SocketAddr,
    internal: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Process {
    fn start(folder: &Path, database: &str) -> Self {
        let (grpc, internal) = (free_address(), free_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_souk-users"));
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("SOUK_")) {
            command.env_remove(key);
        }
        command
            .current_dir(folder)
            .env("SOUK_USERS_DATABASE_URL", database)
            .env("SOUK_BROKER_URL", format!("sqlite://{}", folder.join("broker.db").display()))
            .env("SOUK_SERVICE_SECRET", "a secret that services of a test share")
            .env("SOUK_USERS_GRPC_ADDR", grpc.to_string())
            .env("SOUK_USERS_INTERNAL_ADDR", internal.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), grpc, internal }
    }

    /// Status and body; `None` while nobody listens.
    async fn health(&self, which: &str) -> Option<(u16, Value)> {
        let response = reqwest::get(format!("http://{}/health/{which}", self.internal)).await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.ok()?))
    }

    async fn ready_when(&self, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            if let Some((status, body)) = self.health("ready").await
                && wanted(status, &body)
            {
                return body;
            }
            assert!(started.elapsed() < PATIENCE, "never as wanted: {:?}", self.health("ready").await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn terminate(&self) {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
    }

    async fn ended(&mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, started.elapsed());
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn connect(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.unwrap()
    }
}

#[cfg(feature = "mongodb")]
#[tokio::test]
async fn while_it_waits_for_its_store_it_lives_says_so_and_takes_no_calls() {
    let folder = TempDir::new().unwrap();
    let nobody = free_address();
    let url = format!("mongodb://{nobody}/users?serverSelectionTimeoutMS=200&connectTimeoutMS=200");
    let mut process = Process::start(folder.path(), &url);
    let told =
        process.ready_when(|_, body| body["checks"]["starting"]["error"].to_string().contains("DATABASE_URL")).await;
    assert_eq!(told["checks"]["starting"]["status"], "down", "{told}");
    assert_eq!(told["checks"]["starting.broker"]["status"], "up", "{told}");
    assert_eq!(process.health("ready").await.unwrap().0, 503);
    assert_eq!(process.health("live").await.unwrap().0, 200);
    let refused = tokio::net::TcpStream::connect(process.grpc).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    process.terminate();
    let (status, took) = process.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(2), "ended only after {took:?}");
}

#[tokio::test]
async fn asked_to_stop_it_answers_the_calls_in_work_and_ends_cleanly() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("users.db").display());
    let mut process = Process::start(folder.path(), &url);
    process.ready_when(|status, _| status == 200).await;
    let channel = process.connect().await;
    let mut probe = HealthClient::new(channel.clone());
    let mut watched = probe.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let (first, answered) = tokio::sync::oneshot::channel();
    let first = std::sync::Mutex::new(Some(first));
    let registrations = join_all((0..8).map(|n| {
        let (mut users, first) = (UsersServiceClient::new(channel.clone()), &first);
        async move {
            let request = RegisterRequest {
                email: format!("drained{n}@souk.test"),
                password: "a-long-password".to_owned(),
                name: "Drained".to_owned(),
            };
            let answer = users.register(request).await;
            if let Some(first) = first.lock().unwrap().take() {
                first.send(()).unwrap();
            }
            answer
        }
    }));
    let stopping = async {
        answered.await.unwrap();
        process.terminate();
    };
    let (answers, ()) = tokio::join!(registrations, stopping);
    for answer in answers {
        answer.unwrap();
    }
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let (status, _) = process.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(!folder.path().join("users.db-wal").exists(), "the store was closed");
    let broker = rusqlite::Connection::open(folder.path().join("users.db")).unwrap();
    let left: i64 = broker.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "what the last calls wrote was published");
}
