//! `souk dlq` and `souk outbox status`, while Souk runs and while it does not.

use std::path::Path;
use std::process::Output;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{PATIENCE, Souk, eventually, souk};

fn run(folder: &Path, args: &[&str]) -> Output {
    souk().args(args).arg("--data-dir").arg(folder).output().unwrap()
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The code it ended with, and what it said.
fn refused(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = run(folder, args);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The events of a store of this folder, as their service wrote them.
fn events(folder: &Path, service: &str) -> Vec<String> {
    let connection = Connection::open(folder.join(format!("{service}.db"))).unwrap();
    let mut statement = connection.prepare("SELECT body FROM events ORDER BY position").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// As a consumer would have buried it.
fn bury(folder: &Path, group: &str, body: &str, why: &str) {
    let connection = Connection::open(folder.join("broker.db")).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    let sql = "INSERT INTO messages (queue, body, attempts, available_at, last_error, first_failed_at, last_failed_at)
                   VALUES (?1 || '.dead', ?2, 5, 0, ?3, 1000, 2000)";
    connection.execute(sql, (group, body, why)).unwrap();
}

fn ids(listed: &Value) -> Vec<String> {
    listed["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

fn listed(folder: &Path) -> Value {
    json(folder, &["dlq", "list", "--json"])
}

/// Registers a customer, and stops when everybody has heard of it.
async fn lived_in(folder: &Path) {
    let instance = Souk::start(folder).await;
    let client = reqwest::Client::new();
    instance.register(&client, "before").await;
    let stores = crate::audit::Stores::of(folder);
    eventually("everything owed is done", PATIENCE, || stores.settled()).await;
    assert_eq!(instance.stop().await, Some(0));
}

#[tokio::test]
async fn dead_letters_are_seen_replayed_and_dropped_while_souk_runs_and_while_it_does_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let (code, told) = refused(path, &["dlq", "list"]);
    assert!(code == Some(2) && told.contains("no broker"), "{told}");
    lived_in(path).await;
    let event = events(path, "users").pop().unwrap();
    let id: Value = serde_json::from_str(&event).unwrap();

    for running in [false, true] {
        let instance = if running { Some(Souk::start(path).await) } else { None };
        bury(path, "notification.events", &event, "the inbox\nwas away");
        bury(path, "orders.events", "no event", "no event: it is no JSON");
        let all = listed(path);
        let letters = ids(&all);
        assert_eq!(letters.len(), 2, "{all}");
        let letter = &all["letters"][0];
        assert_eq!(letter["event_id"], id["id"]);
        assert_eq!((letter["queue"].as_str(), letter["attempts"].as_u64()), (Some("notification.events"), Some(5)));
        assert_eq!(letter["first_failed_at"], "1970-01-01T00:00:01.000Z");
        let table = run(path, &["dlq", "list", "--queue", "notification.events"]);
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        assert!(table.contains("the inbox was away") && !table.contains("orders.events"), "{table}");
        let shown = json(path, &["dlq", "show", &letters[0], "--json"]);
        assert_eq!(shown["body"], id, "the whole event");

        let (code, told) = refused(path, &["dlq", "drop", &letters[1]]);
        assert!(code == Some(2) && told.contains("--yes") && told.contains(&letters[1]), "{told}");
        assert_eq!(ids(&listed(path)), letters, "nothing was done");
        json(path, &["dlq", "drop", &letters[1], "--yes", "--json"]);
        assert_eq!(ids(&listed(path)), letters[..1]);

        let replayed = json(path, &["dlq", "replay", &letters[0], "--json"]);
        assert_eq!(replayed["replayed"], 1);
        assert!(ids(&listed(path)).is_empty());
        let waits = || {
            let connection = Connection::open(path.join("broker.db")).unwrap();
            let sql = "SELECT count(*) FROM messages WHERE queue = 'notification.events'";
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        if running {
            // Its consumer is woken; it has used the event before, so that nothing comes of it.
            eventually("the letter is used", PATIENCE, || waits() == 0).await;
        } else {
            assert_eq!(waits(), 1, "it is there for the next start");
        }
        let (code, told) = refused(path, &["dlq", "show", &letters[0]]);
        assert!(code == Some(1) && told.contains("no dead letter"), "{told}");
        let (code, told) = refused(path, &["dlq", "replay", &letters[0], "orders.events/999"]);
        assert!(code == Some(1) && told.contains("not found") && told.contains("orders.events/999"), "{told}");
        if let Some(instance) = instance {
            assert_eq!(instance.stop().await, Some(0));
        }
    }
}

#[tokio::test]
async fn every_group_that_a_service_consumes_with_is_known_to_operators() {
    let folder = TempDir::new().unwrap();
    lived_in(folder.path()).await;
    let connection = Connection::open(folder.path().join("broker.db")).unwrap();
    let mut statement = connection.prepare("SELECT DISTINCT queue FROM bindings").unwrap();
    let bound: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let all = listed(folder.path());
    let known: Vec<_> = all["queues"].as_array().unwrap().iter().map(|pile| pile["queue"].as_str().unwrap()).collect();
    assert!(!bound.is_empty() && bound.iter().all(|queue| known.contains(&queue.as_str())), "{bound:?} {known:?}");
}

#[test]
fn what_is_asked_wrongly_is_refused_before_anything_is_opened() {
    let folder = TempDir::new().unwrap();
    for args in [
        &["dlq", "replay"][..],
        &["dlq", "replay", "a/1", "--all"],
        &["dlq", "drop", "--queue", "a", "--all"],
        &["dlq", "replay", "nonsense"],
        &["dlq", "show", "nonsense"],
        &["outbox"],
        &["outbox", "status", "--max-age", "soon"],
    ] {
        let (code, told) = refused(folder.path(), args);
        assert_eq!(code, Some(2), "{args:?}: {told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn outboxes_are_told_of_whether_souk_runs_or_not_and_nothing_is_made_by_looking() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let (code, told) = refused(path, &["outbox", "status"]);
    assert!(code == Some(1) && told.contains("users") && told.contains("notification"), "{told}");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0, "nothing was made");
    lived_in(path).await;
    let status = || json(path, &["outbox", "status", "--json"]);
    let services = ["users", "orders", "inventory", "payment", "notification"];
    let told = status();
    for (outbox, service) in told["outboxes"].as_array().unwrap().iter().zip(services) {
        assert_eq!((outbox["service"].as_str(), outbox["depth"].as_u64()), (Some(service), Some(0)));
    }
    let last = told["outboxes"][0]["published_to"].as_i64().unwrap();
    assert_eq!(last, events(path, "users").len() as i64);

    // As if the last event had not been published.
    let connection = Connection::open(path.join("users.db")).unwrap();
    connection.execute("INSERT INTO outbox VALUES (?1)", [last]).unwrap();
    let told = json(path, &["outbox", "status", "--json", "--max-age", "3600"]);
    let users = &told["outboxes"][0];
    assert_eq!((users["depth"].as_u64(), users["published_to"].as_i64()), (Some(1), Some(last - 1)));
    assert_eq!(users["oldest"]["position"], last);
    assert_eq!(users["oldest"]["type"], "user.registered");
    eventually("the event has waited", PATIENCE, || {
        refused(path, &["outbox", "status", "--max-age", "0"]).0 == Some(1)
    })
    .await;
    drop(connection);

    let instance = Souk::start(path).await;
    eventually("it is published", PATIENCE, || status()["outboxes"][0]["depth"] == 0).await;
    assert_eq!(instance.stop().await, Some(0));
    // A store that is away does not hide the others.
    let mut command = souk();
    command.args(["outbox", "status", "--json", "--data-dir"]).arg(path);
    let output = command.env("SOUK_PAYMENT_DATABASE_URL", "sqlite:///nowhere/payment.db").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["outboxes"][3]["unreachable"].is_string() && told["outboxes"][4]["depth"] == 0, "{told}");
}
