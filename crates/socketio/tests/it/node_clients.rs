//! The real JavaScript clients, and the protocols as Node speaks them: the suites of `tests/js` against this crate's
//! examples, and against a cluster of one of them and the original.
//!
//! `SOUK_TEST_NODE_MODULES` is the folder of the suites with their packages installed (`npm ci`). The examples have to be
//! built: `cargo build -p socketio --examples`, unless Cargo did it along with the tests.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(30);
/// How long a suite may take: several times what it needs on a busy machine.
const SUITE: Duration = Duration::from_secs(150);

const FOLDER: &str = "SOUK_TEST_NODE_MODULES";

fn suites() -> PathBuf {
    std::env::var(FOLDER).unwrap_or_else(|_| panic!("{FOLDER} is not set")).into()
}

/// One of this crate's examples, which lie beside the tests: `target/<profile>/examples`.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "{} is not there: cargo build -p socketio --examples", program.display());
    Command::new(program)
}

/// A server of the original.
fn original(name: &str) -> Command {
    let mut command = Command::new("node");
    command.current_dir(suites()).arg(format!("reference/{name}.js"));
    command
}

/// A process that is killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that listens.
struct Server {
    process: Process,
    url: String,
}

impl Server {
    /// Starts it on a free port and waits until it says where it listens.
    fn start(mut command: Command) -> Self {
        command.env("PORT", "0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let output = BufReader::new(process.0.stdout.take().unwrap());
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on ") {
                    // Once is enough; what follows is read so that the server never waits for a reader.
                    let _ = found.send(address.trim_start_matches("http://").to_owned());
                }
            }
        });
        let address = address.recv_timeout(START).unwrap_or_else(|_| panic!("{command:?} does not listen"));
        Self { process, url: format!("http://{address}") }
    }
}

/// Runs a suite. What it says is this test's output.
fn run<'a>(suite: &str, settings: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut command = Command::new("node");
    command.current_dir(suites()).arg(format!("{suite}.test.js")).envs(settings).stdin(Stdio::null());
    let mut node = Process(command.spawn().unwrap());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = node.0.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < SUITE, "{suite} does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{suite} failed: see its output");
}

/// Runs a suite against one server, in one of the modes of the clients.
fn run_against(server: Command, suite: &str, mode: &str) {
    let server = Server::start(server);
    run(suite, [("SERVER_URL", &*server.url), ("MODE", mode)]);
}

fn engine() -> Command {
    let mut command = example("conformance");
    command.env("ENGINE_ONLY", "1").env_remove("PING_TIMEOUT");
    command
}

/// One that has patience with a client on a busy machine.
fn patient_engine() -> Command {
    let mut command = engine();
    command.env("PING_TIMEOUT", "2000");
    command
}

fn testbed() -> Command {
    let mut command = example("testbed");
    for name in ["REDIS_URL", "RECOVERY", "PING_INTERVAL", "PING_TIMEOUT"] {
        command.env_remove(name);
    }
    command
}

fn recovering() -> Command {
    let mut command = testbed();
    command.env("RECOVERY", "1");
    command
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn the_engine_speaks_its_protocol() {
    run_against(engine(), "engine-protocol", "");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn the_server_speaks_its_protocol() {
    let mut server = example("conformance");
    server.env_remove("ENGINE_ONLY").env_remove("PING_TIMEOUT");
    run_against(server, "socket-protocol", "");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn engine_io_client_is_served_by_polling() {
    run_against(patient_engine(), "engine-client", "polling");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn engine_io_client_is_served_by_websocket() {
    run_against(patient_engine(), "engine-client", "websocket");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn engine_io_client_is_served_with_an_upgrade() {
    run_against(patient_engine(), "engine-client", "upgrade");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn socket_io_client_is_served_by_polling() {
    run_against(testbed(), "client", "polling");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn socket_io_client_is_served_by_websocket() {
    run_against(testbed(), "client", "websocket");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn socket_io_client_is_served_with_an_upgrade() {
    run_against(testbed(), "client", "upgrade");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn a_session_is_recovered_by_polling() {
    run_against(recovering(), "recovery", "polling");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn a_session_is_recovered_by_websocket() {
    run_against(recovering(), "recovery", "websocket");
}

#[test]
#[ignore = "needs SOUK_TEST_NODE_MODULES"]
fn a_session_is_recovered_with_an_upgrade() {
    run_against(recovering(), "recovery", "upgrade");
}

#[cfg(feature = "redis")]
mod on_redis {
    use std::process::Command;

    use super::{Server, example, original, run, testbed};
    use crate::redis::Names;

    /// Two servers as nodes of one cluster, called a and b.
    fn cluster(names: &Names, a: Command, b: Command) -> [Server; 2] {
        [("a", a), ("b", b)].map(|(name, mut node)| {
            node.env("REDIS_URL", &names.url).env("STREAM", names.stream()).env("NODE_NAME", name);
            Server::start(node)
        })
    }

    fn run_against([a, b]: &[Server; 2], suite: &str, same_order: bool) {
        let killed = a.process.0.id().to_string();
        let settings = [
            ("NODE_A_URL", &*a.url),
            ("NODE_B_URL", &*b.url),
            ("NODE_A_PID", &*killed),
            ("SAME_ORDER", if same_order { "1" } else { "" }),
        ];
        run(suite, settings);
    }

    #[test]
    #[ignore = "needs SOUK_TEST_NODE_MODULES and SOUK_TEST_REDIS_URL"]
    fn two_nodes_are_one_server() {
        let names = Names::new();
        run_against(&cluster(&names, testbed(), testbed()), "cluster", true);
    }

    #[test]
    #[ignore = "needs SOUK_TEST_NODE_MODULES and SOUK_TEST_REDIS_URL"]
    fn a_node_and_one_of_the_original_are_one_server() {
        let names = Names::new();
        run_against(&cluster(&names, original("testbed"), testbed()), "cluster", false);
    }

    #[test]
    #[ignore = "needs SOUK_TEST_NODE_MODULES and SOUK_TEST_REDIS_URL"]
    fn clients_of_a_drained_node_go_on_at_the_other() {
        let names = Names::new();
        run_against(&cluster(&names, example("cluster"), example("cluster")), "drain", true);
    }

    #[test]
    #[ignore = "needs SOUK_TEST_NODE_MODULES and SOUK_TEST_REDIS_URL"]
    fn clients_of_a_killed_node_go_on_at_the_other() {
        let names = Names::new();
        run_against(&cluster(&names, example("cluster"), example("cluster")), "cluster-recovery", true);
    }
}
