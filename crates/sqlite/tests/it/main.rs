//! The embedded store as its users see it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use rusqlite::Connection;
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};
use tempfile::TempDir;

const SCHEMA: &[Migration] = &[Migration {
    component: "test",
    version: 1,
    sql: "CREATE TABLE entries (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
}];

fn open(folder: &TempDir) -> Database {
    Database::open(&SqliteUrl::of(folder.path().join("test.db")), Durability::Full, SCHEMA).unwrap()
}

fn insert(name: String, value: i64) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send {
    move |connection| {
        connection.prepare_cached("INSERT INTO entries VALUES (?1, ?2)")?.execute((name, value))?;
        Ok(())
    }
}

async fn count(database: &Database) -> i64 {
    database
        .read("test", |c| Ok::<_, StoreError>(c.query_row("SELECT count(*) FROM entries", [], |row| row.get(0))?))
        .await
        .unwrap()
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let folder = TempDir::new().unwrap();
    open(&folder).write("insert", insert("a".into(), 1)).await.unwrap();
    assert_eq!(count(&open(&folder)).await, 1);
}

#[tokio::test]
async fn a_clean_close_leaves_one_file_with_everything_in_it() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder);
    database.write("insert", insert("a".into(), 1)).await.unwrap();
    assert_eq!(count(&database).await, 1);
    drop(database);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["test.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writes_at_once_a_failing_one_undoes_only_itself() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder);
    let writes = (0..200).map(|n| {
        let database = database.clone();
        // Every fourth name is taken by the one before.
        tokio::spawn(async move { database.write("insert", insert(format!("{}", n - i64::from(n % 4 == 3)), n)).await })
    });
    let results: Vec<_> = futures_all(writes.collect()).await;
    let failed = results.iter().filter(|result| result.is_err()).count();
    assert_eq!(failed, 50);
    assert_eq!(count(&database).await, 150);
}

#[tokio::test]
async fn a_panicking_write_is_undone_and_later_ones_succeed() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder);
    let refused = database
        .write("test", |connection| {
            insert("a".into(), 1)(connection)?;
            if connection.is_autocommit() { Ok(()) } else { panic!("on purpose") }
        })
        .await;
    assert!(matches!(refused, Err::<(), _>(StoreError::Dropped)), "{refused:?}");
    database.write("insert", insert("a".into(), 2)).await.unwrap();
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn a_panicking_read_holds_no_old_state_for_the_next() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder);
    for _ in 0..8 {
        let panicked = database
            .read("test", |c| {
                c.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0))?;
                if c.is_autocommit() { Ok(()) } else { panic!("on purpose") }
            })
            .await;
        assert!(matches!(panicked, Err::<(), _>(StoreError::Dropped)), "{panicked:?}");
    }
    database.write("insert", insert("a".into(), 1)).await.unwrap();
    for _ in 0..8 {
        assert_eq!(count(&database).await, 1);
    }
}

#[tokio::test]
async fn a_read_sees_one_state_while_others_write() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder);
    database.write("insert", insert("a".into(), 1)).await.unwrap();
    let (started, wait_started) = std::sync::mpsc::channel();
    let (written, wait_written) = std::sync::mpsc::channel::<()>();
    let reader = database.clone();
    let read = tokio::spawn(async move {
        reader
            .read("test", move |c| {
                let count =
                    |c: &Connection| c.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0));
                let before = count(c)?;
                started.send(()).unwrap();
                wait_written.recv().unwrap();
                Ok::<_, StoreError>((before, count(c)?))
            })
            .await
            .unwrap()
    });
    tokio::task::spawn_blocking(move || wait_started.recv().unwrap()).await.unwrap();
    database.write("insert", insert("b".into(), 1)).await.unwrap();
    written.send(()).unwrap();
    assert_eq!(read.await.unwrap(), (1, 1));
    assert_eq!(count(&database).await, 2);
}

#[tokio::test]
async fn a_write_whose_caller_is_gone_still_happens_as_a_whole() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder);
    let mut write = Box::pin(database.write("insert", insert("a".into(), 1)));
    let _ = futures_poll_once(&mut write).await;
    drop(write);
    // The next write comes after it in the same queue.
    database.write("insert", insert("b".into(), 1)).await.unwrap();
    assert_eq!(count(&database).await, 2);
}

#[test]
fn a_file_from_a_newer_build_is_refused() {
    let folder = TempDir::new().unwrap();
    let url = SqliteUrl::of(folder.path().join("test.db"));
    let newer = [SCHEMA[0], Migration { component: "test", version: 2, sql: "SELECT 1" }];
    drop(Database::open(&url, Durability::Full, &newer).unwrap());
    let refused = Database::open(&url, Durability::Full, SCHEMA).unwrap_err();
    assert!(matches!(refused, OpenError::Migration { .. }), "{refused:?}");
}

#[test]
fn a_failing_migration_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let url = SqliteUrl::of(folder.path().join("test.db"));
    let broken = [Migration { component: "test", version: 1, sql: "CREATE TABLE half (a); CREATE BROKEN" }];
    assert!(Database::open(&url, Durability::Full, &broken).is_err());
    drop(Database::open(&url, Durability::Full, SCHEMA).unwrap());
    let tables: i64 = Connection::open(url.path())
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_master WHERE name = 'half'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 0);
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("test.db");
    std::fs::write(&path, "this is not a database, however long it may be".repeat(100)).unwrap();
    let refused = Database::open(&SqliteUrl::of(&path), Durability::Full, SCHEMA).unwrap_err();
    assert!(refused.to_string().contains("test.db"), "{refused}");
}

async fn futures_all<T>(handles: Vec<tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(handles.len());
    for handle in handles {
        results.push(handle.await.unwrap());
    }
    results
}

async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// How often an operation on the file of [`open`] was observed.
fn observed(operation: &str) -> Option<u64> {
    let text = String::from_utf8(observability::metrics::render()).unwrap();
    let line = format!(
        "db_client_operation_duration_seconds_count{{operation=\"{operation}\",service=\"test\",system=\"sqlite\"}} "
    );
    text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok())
}

#[tokio::test]
async fn each_operation_is_observed_once_and_the_readers_are_told() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder);
    database.write("observed write", insert("a".into(), 1)).await.unwrap();
    database.write("observed write", insert("a".into(), 2)).await.unwrap_err();
    database.read("observed read", |c| Ok::<_, StoreError>(c.query_row("SELECT 1", [], |_| Ok(()))?)).await.unwrap();
    assert_eq!((observed("observed write"), observed("observed read")), (Some(2), Some(1)));
    let metrics = String::from_utf8(observability::metrics::render()).unwrap();
    assert!(metrics.contains("db_pool_connections{service=\"test\",state=\"idle\",system=\"sqlite\"}"), "{metrics}");
    assert!(metrics.contains("db_pool_wait_seconds_count{service=\"test\",system=\"sqlite\"}"), "{metrics}");
}

#[tokio::test]
async fn what_a_request_waits_for_the_file_is_its_own() {
    let folder = TempDir::new().unwrap();
    let database = open(&folder);
    let request = observability::RequestContext::background();
    request.clone().scope(database.write("insert", insert("a".into(), 1))).await.unwrap();
    let (time, calls) = request.spent().on(observability::spent::Dependency::Sql);
    assert_eq!(calls, 1);
    assert!(!time.is_zero());
}
