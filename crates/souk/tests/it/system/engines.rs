//! Engines that a test may kill.

use std::fs::File;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use messaging::postgres::sql::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

use super::{free_ports, signal, tail};

/// How long an engine may take to start.
const START: Duration = Duration::from_mins(1);

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Mongo,
    Redis,
    Rabbit,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Postgres, Self::Mongo, Self::Redis, Self::Rabbit];

    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mongo => "mongodb",
            Self::Redis => "redis",
            Self::Rabbit => "rabbitmq",
        }
    }
}

/// A running engine with its data; ended when dropped.
pub(crate) struct Engine {
    kind: Kind,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Engine {
    /// Begins to start it; [`Engine::ready`] waits until it serves.
    pub(crate) fn begin(kind: Kind, folder: &Path) -> Self {
        let mut engine = Self { kind, folder: folder.join(kind.name()), port: free_ports(), child: None };
        std::fs::create_dir_all(&engine.folder).unwrap();
        engine.restart();
        engine
    }

    /// Starts it again, on the same data and port.
    pub(crate) fn restart(&mut self) {
        let program = std::env::var("SOUK_TEST_ENGINE").expect("SOUK_TEST_ENGINE names scripts/engine");
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new(program);
        command.arg(self.kind.name()).arg(&self.folder).arg(self.port.to_string());
        // A group of its own, to be killed as a whole.
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.child = Some(command.spawn().unwrap());
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("KILL", -i64::from(child.id()));
            child.wait().unwrap();
        }
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&mut self) {
        let started = Instant::now();
        while !self.answers().await {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", self.kind.name(), tail(&self.log()));
            }
            assert!(started.elapsed() < START, "{} does not start:\n{}", self.kind.name(), tail(&self.log()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn answers(&self) -> bool {
        match self.kind {
            Kind::Postgres => PgConnection::connect(&self.url("postgres")).await.is_ok(),
            _ => TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
        }
    }

    /// Makes databases, for engines that do not make them by themselves.
    pub(crate) async fn make_databases(&self, names: &[&str]) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        for name in names {
            raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        }
    }

    /// The address of a database in it.
    pub(crate) fn url(&self, database: &str) -> String {
        let port = self.port;
        match self.kind {
            Kind::Postgres => format!("postgres://souk@127.0.0.1:{port}/{database}"),
            Kind::Mongo => format!("mongodb://127.0.0.1:{port}/{database}?directConnection=true"),
            Kind::Redis => format!("redis://127.0.0.1:{port}"),
            Kind::Rabbit => format!("amqp://guest:guest@127.0.0.1:{port}"),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
        if self.kind == Kind::Rabbit {
            // The port mapper that it started is a daemon and outlives it.
            let port = (self.port + 2).to_string();
            let ended = || {
                let mut end = Command::new("epmd");
                end.arg("-kill").env("ERL_EPMD_PORT", &port).stdout(Stdio::null()).stderr(Stdio::null());
                end.status().is_ok_and(|status| status.success())
            };
            // It refuses while it believes the node to be alive.
            let started = Instant::now();
            while !ended() && started.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}
