//! A file of an earlier build is taken over as it is.

use std::sync::Arc;

use contracts::ids::UuidV7Generator;
use notification::adapters::persistence::sqlite::SqliteStore;
use notification::application::chat::ports::ChatRepository as _;
use notification::application::ports::{
    ContactRepository as _, EmailQueue as _, InboxRepository as _, PreferenceRepository as _,
};
use notification::domain::email_content::EmailContent;
use notification::domain::kind::NotificationKind;
use notification::domain::preference::Channels;
use rusqlite::Connection;
use sqlite::SqliteUrl;
use tempfile::TempDir;

use crate::builders::{START, new_order, new_user};
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

#[tokio::test]
async fn choices_and_queued_emails_of_earlier_builds_mean_what_they_meant() {
    let folder = TempDir::new().unwrap();
    let (file, user_id, id) = (folder.path().join("notification.db"), new_user(), uuid::Uuid::new_v4());
    let earlier = Connection::open(&file).unwrap();
    earlier.execute_batch(include_str!("../../migrations/sqlite/0001_notification.sql")).unwrap();
    earlier.execute_batch(include_str!("../../migrations/sqlite/0002_contacts_may_be_unknown.sql")).unwrap();
    earlier.execute_batch(include_str!("../../migrations/sqlite/0003_chat.sql")).unwrap();
    earlier
        .execute_batch(
            "CREATE TABLE schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             INSERT INTO schema_versions VALUES ('notification', 3);",
        )
        .unwrap();
    earlier.execute("INSERT INTO preferences VALUES (?1, 'order_shipped', 0)", [user_id.to_string()]).unwrap();
    let email = (id.to_string(), user_id.to_string());
    earlier
        .execute(
            "INSERT INTO emails (notification_id, user_id, subject, body, created_at, next_attempt_at)
             VALUES (?1, ?2, 'Subject', 'Text.', 0, 0)",
            email,
        )
        .unwrap();
    drop(earlier);
    let store = SqliteStore::open(&SqliteUrl::of(file), Arc::new(UuidV7Generator)).unwrap();
    let without_email = Channels { push: true, email: false };
    let chosen = store.list_preferences(user_id).await.unwrap();
    assert_eq!(chosen, [(NotificationKind::OrderShipped, without_email)]);
    let queued = store.claim_due(START, START, 9).await.unwrap().remove(0);
    assert_eq!(queued.content, EmailContent { text: "Text.".to_owned(), html: None });
    assert_eq!(store.list_inbox(user_id, 0, 9).await.unwrap().acked_seq, 0);
}

#[tokio::test]
async fn whose_orders_earlier_builds_used_is_found_in_the_inboxes_that_they_wrote() {
    let folder = TempDir::new().unwrap();
    let (file, [notified, shown]) = (folder.path().join("notification.db"), [new_user(), new_user()]);
    let orders = [new_order(), new_order(), new_order()];
    let earlier = Connection::open(&file).unwrap();
    earlier.execute_batch(include_str!("../../migrations/sqlite/0001_notification.sql")).unwrap();
    earlier.execute_batch(include_str!("../../migrations/sqlite/0002_contacts_may_be_unknown.sql")).unwrap();
    earlier
        .execute_batch(
            "CREATE TABLE schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             INSERT INTO schema_versions VALUES ('notification', 2);",
        )
        .unwrap();
    for order_id in orders {
        earlier.execute("INSERT INTO order_versions VALUES (?1, 1)", [order_id.to_string()]).unwrap();
    }
    let notification = (notified.to_string(), "n", "order_confirmed", "T", "B", orders[0].to_string());
    earlier.execute("INSERT INTO notifications VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, NULL, 0)", notification).unwrap();
    let entry = (shown.to_string(), format!(r#"{{"id":"{}"}}"#, orders[1]));
    earlier.execute("INSERT INTO inbox_entries VALUES (?1, 1, 'order_created', ?2, 'e', 0)", entry).unwrap();
    drop(earlier);
    let store = SqliteStore::open(&SqliteUrl::of(file), Arc::new(UuidV7Generator)).unwrap();
    for (order_id, owner) in [(orders[0], Some(notified)), (orders[1], Some(shown)), (orders[2], None)] {
        assert_eq!(store.find_order_owner(order_id).await.unwrap(), owner);
    }
}
