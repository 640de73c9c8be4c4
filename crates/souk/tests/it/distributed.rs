//! Souk as six processes on real engines. The programs of the services lie beside `souk`: `cargo build --workspace`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::postgres_fixture::Schema;
use crate::process::{eventually, souk};

/// Engines start nothing here, but MongoDB's stand-in takes its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Stores and a broker of the test's own on the engines that the environment names.
struct Engines {
    orders: Schema,
    payment: Schema,
    id: String,
}

impl Engines {
    async fn new() -> Self {
        let id = format!("distributed-{}", uuid::Uuid::new_v4().simple());
        Self { orders: Schema::create().await, payment: Schema::create().await, id }
    }

    fn urls(&self) -> [(&'static str, String); 7] {
        let of = |key: &str| std::env::var(key).unwrap_or_else(|_| panic!("{key} names an engine for tests"));
        let id = &self.id;
        let mongodb = |name: &str| {
            let server = of("SOUK_TEST_MONGODB_URL");
            let (hosts, options) = server.split_once('?').unwrap_or((&server, ""));
            format!("{}/{}_{name}?{options}", hosts.trim_end_matches('/'), id.replace('-', "_"))
        };
        let broker = of("SOUK_TEST_AMQP_URL");
        let redis = of("SOUK_TEST_REDIS_URL");
        [
            ("SOUK_BROKER_URL", format!("{}/%2f?prefix={id}", broker.trim_end_matches("/%2f").trim_end_matches('/'))),
            ("SOUK_USERS_DATABASE_URL", mongodb("users")),
            ("SOUK_NOTIFICATION_DATABASE_URL", mongodb("notification")),
            ("SOUK_ORDERS_DATABASE_URL", self.orders.url()),
            ("SOUK_PAYMENT_DATABASE_URL", self.payment.url()),
            ("SOUK_INVENTORY_DATABASE_URL", format!("{}/0?prefix={id}", redis.trim_end_matches('/'))),
            ("SOUK_REALTIME_URL", format!("{}/1?prefix={id}", redis.trim_end_matches('/'))),
        ]
    }
}

/// `souk up --distributed`, killed when dropped; its children go with it.
struct Distributed {
    souk: Child,
    gateway: String,
    health: String,
    pids: BTreeMap<String, u32>,
}

impl Drop for Distributed {
    fn drop(&mut self) {
        let _ = self.souk.kill();
        let _ = self.souk.wait();
    }
}

impl Distributed {
    /// Returns once everything is ready.
    fn start(engines: &Engines, folder: &Path) -> Self {
        let mut command = souk();
        command.args(["up", "--distributed", "--free-ports", "--seed", "--data-dir"]).arg(folder).envs(engines.urls());
        let mut souk = command.stdout(Stdio::piped()).spawn().unwrap();
        let (mut gateway, mut health, mut pids) = (String::new(), String::new(), BTreeMap::new());
        for line in BufReader::new(souk.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["API", url, ..] => url.trim_end_matches("/api").clone_into(&mut gateway),
                ["Health", url, ..] => url.clone_into(&mut health),
                [name, pid, url] if url.starts_with("http://") => {
                    pids.insert(name.to_owned(), pid.parse().unwrap());
                }
                ["Stop:", ..] => break,
                _ => {}
            }
        }
        assert_eq!(pids.len(), 6, "it ended before all were ready: {pids:?}");
        Self { souk, gateway, health, pids }
    }

    fn demo(&self) {
        let output = souk().args(["demo", "--url", &self.gateway]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn is_ready(&self) -> bool {
        reqwest::get(&self.health).await.is_ok_and(|response| response.status().is_success())
    }

    async fn until_ready(&self, wanted: bool) {
        let started = std::time::Instant::now();
        while self.is_ready().await != wanted {
            assert!(started.elapsed() < Duration::from_secs(10), "ready: never {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Whether the process is there and is no zombie that nobody has buried yet.
fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs all SOUK_TEST_<ENGINE>_URL"]
async fn six_processes_serve_the_whole_journey_take_up_a_killed_one_and_leave_none_behind() {
    let (engines, folder) = (Engines::new().await, TempDir::new().unwrap());
    let mut running = Distributed::start(&engines, folder.path());
    running.demo();

    let killed = running.pids["orders"];
    signal(killed, "-KILL");
    running.until_ready(false).await;
    // Orders can't be had, the rest can, and whoever asks for orders is told so at once.
    let started = std::time::Instant::now();
    let catalogue = reqwest::get(format!("{}/api/products", running.gateway)).await.unwrap();
    assert_eq!(catalogue.status(), 200);
    assert!(started.elapsed() < Duration::from_secs(1));
    running.until_ready(true).await;
    running.demo();

    // Asked to stop, it stops what it started.
    signal(running.souk.id(), "-TERM");
    eventually("souk ends", PATIENCE, || running.souk.try_wait().unwrap().is_some()).await;
    assert_eq!(running.souk.wait().unwrap().code(), Some(0));
    assert!(!running.pids.values().any(|pid| lives(*pid)), "{:?}", running.pids);

    // On the same stores again; killed, it takes its processes along.
    let mut again = Distributed::start(&engines, folder.path());
    let pids: Vec<_> = again.pids.values().copied().collect();
    assert!(pids.iter().all(|pid| lives(*pid)));
    again.souk.kill().unwrap();
    eventually("no process is left", PATIENCE, || !pids.iter().any(|pid| lives(*pid))).await;
}
