//! What only SQLite can do wrong.

use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;
use sqlite::SqliteUrl;
use tempfile::TempDir;
use users::adapters::persistence::sqlite::SqliteStore;
use users::application::ports::{RepositoryError, UserRepository as _};

use crate::contract::{a_registration, a_user};

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named_and_does_not_pass_for_a_user() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.db");
    let store = SqliteStore::open(&SqliteUrl::of(&path)).unwrap();
    let user = a_user("ada");
    store.add(user.clone(), None, a_registration(&user)).await.unwrap();
    Connection::open(&path).unwrap().execute("UPDATE users SET roles = 'root'", []).unwrap();
    match store.find(user.id()).await {
        Err(RepositoryError::Corrupt { table: "users", row }) => assert_eq!(row, user.id().to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_store_that_fails_is_unavailable() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.db");
    let store = SqliteStore::open(&SqliteUrl::of(&path)).unwrap();
    Connection::open(&path).unwrap().execute_batch("ALTER TABLE users RENAME TO lost").unwrap();
    assert!(matches!(store.count_seeded().await, Err(RepositoryError::Unavailable(_))));
    let user = a_user("ada");
    let added = store.add(user.clone(), None, a_registration(&user)).await;
    assert!(matches!(added, Err(RepositoryError::Unavailable(_))), "{added:?}");
}

#[tokio::test]
async fn the_files_with_keys_and_hashes_are_readable_by_their_owner_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data").join("users.db");
    let store = SqliteStore::open(&SqliteUrl::of(&path)).unwrap();
    let user = a_user("ada");
    store.add(user.clone(), None, a_registration(&user)).await.unwrap();
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.file_name());
    }
}
