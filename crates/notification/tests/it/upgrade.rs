//! A file of an earlier build is taken over as it is.

use std::sync::Arc;

use contracts::ids::UuidV7Generator;
use notification::adapters::persistence::sqlite::SqliteStore;
use notification::application::ports::ContactRepository as _;
use rusqlite::Connection;
use sqlite::SqliteUrl;
use tempfile::TempDir;

use crate::builders::new_user;
use crate::contract::contact;

#[tokio::test]
async fn contacts_told_by_events_of_earlier_builds_are_known_until_they_change() {
    let folder = TempDir::new().unwrap();
    let (file, user_id) = (folder.path().join("notification.db"), new_user());
    let earlier = Connection::open(&file).unwrap();
    earlier.execute_batch(include_str!("../../migrations/sqlite/0001_notification.sql")).unwrap();
    earlier
        .execute_batch(
            "CREATE TABLE schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             INSERT INTO schema_versions VALUES ('notification', 1);",
        )
        .unwrap();
    let told = contact(user_id, 2);
    let row = (user_id.to_string(), &told.email, &told.name, 2);
    earlier.execute("INSERT INTO contacts VALUES (?1, ?2, ?3, ?4)", row).unwrap();
    drop(earlier);
    let store = SqliteStore::open(&SqliteUrl::of(file), Arc::new(UuidV7Generator)).unwrap();
    assert_eq!(store.find_contact(user_id).await.unwrap(), Some(told));
    store.forget_contact(user_id, 3).await.unwrap();
    assert_eq!(store.find_contact(user_id).await.unwrap(), None);
}
