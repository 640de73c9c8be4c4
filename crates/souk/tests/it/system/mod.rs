//! The six processes on real engines: a customer's journey, `kill -9` of every part under load, replicas, deliveries that are
//! doubled and out of order.
//!
//! Every test has engines of its own, started by the program that `SOUK_TEST_ENGINE` names (`scripts/engine`; `make test` sets
//! it), since it kills them. What came of it is read from the engines, not asked of the services.

mod books;
mod engines;
mod faults;
mod processes;
mod redelivery;
mod replicas;
mod shoppers;
mod tap;
mod trace;
mod world;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

/// One world at a time: its load is paced, and a busy machine would measure itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Waits for its turn.
async fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().await
}

/// The first of three ports that nothing listens on, below the range that the system hands out by itself.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 10_000 + (std::process::id() % 3000) as u16 * 3;
    loop {
        let port = start + NEXT.fetch_add(3, Ordering::Relaxed);
        if (port..port + 3).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
}

/// Sends a signal to a process, or to a group of processes when the number is negative.
fn signal(name: &str, process: i64) {
    Command::new("kill").args([&format!("-{name}"), "--", &process.to_string()]).status().unwrap();
}

/// Waits until `holds` says so; what it said last otherwise.
async fn eventually<F: Future<Output = Result<(), String>>>(
    what: &str,
    patience: Duration,
    mut holds: impl FnMut() -> F,
) {
    let started = Instant::now();
    loop {
        match holds().await {
            Ok(()) => return,
            Err(why) => assert!(started.elapsed() < patience, "{what}: not within {patience:?}: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The end of a log, for the message of a failed test.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
