//! The clients that docs/realtime.md shows, as a reader would run them: against a Souk of their own, to their end.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Souk;

/// How long a client may take, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/realtime")
}

/// Runs a client; gives what it printed.
async fn run(program: &str, script: &str) -> String {
    let data = TempDir::new().unwrap();
    let souk = Souk::start(data.path()).await;
    let mut command = Command::new(program);
    command.arg(script).current_dir(folder()).env("BASE_URL", format!("http://{}", souk.gateway)).kill_on_drop(true);
    let running = tokio::time::timeout(PATIENCE, command.output()).await;
    let Output { status, stdout, stderr } = running.unwrap_or_else(|_| panic!("{script} did not end")).unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{script}: {status}\n{stdout}\n{stderr}");
    assert_eq!(stdout.lines().last(), Some("done"), "{stdout}\n{stderr}");
    stdout
}

#[tokio::test]
#[ignore = "needs Node, and npm ci in examples/realtime: SOUK_TEST_NODE_MODULES"]
async fn node_clients_hear_an_order_by_socket_io() {
    let told = run("node", "socket.js").await;
    for line in [
        "order_created pending",
        "order_updated confirmed",
        "is confirmed, version 2",
        "refused: INVALID_REQUEST",
        "in tea: hello",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
}

#[tokio::test]
#[ignore = "needs Node, and npm ci in examples/realtime: SOUK_TEST_NODE_MODULES"]
async fn node_clients_hear_an_order_by_event_source() {
    let told = run("node", "events.js").await;
    assert!(told.contains("order_created") && told.contains("order_updated confirmed"), "{told}");
}

#[tokio::test]
#[ignore = "needs a Python with python-socketio: SOUK_TEST_PYTHON"]
async fn python_client_hears_an_order_by_socket_io() {
    let python = std::env::var("SOUK_TEST_PYTHON").expect("SOUK_TEST_PYTHON names a Python");
    let told = run(&python, "socket_client.py").await;
    assert!(told.contains("order_updated confirmed") && told.contains("acknowledged up to"), "{told}");
}

#[tokio::test]
async fn curl_polls_and_listens() {
    let told = run("sh", "curl.sh").await;
    assert!(told.contains("polled up to") && told.contains("event: order_created"), "{told}");
}
