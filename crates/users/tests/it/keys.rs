//! The keys that sign access tokens.

use std::sync::Arc;
use std::time::Duration;

use contracts::timestamp::ManualClock;
use messaging::sqlite_bus::SqliteBus;
use sqlite::SqliteUrl;
use tempfile::TempDir;

use crate::helpers::{START, Souk, platform, user_of};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_sessions_and_keys_survive_a_restart() {
    let souk = Souk::start().await;
    let session = souk.register("ada@example.org", "Ada").await;
    let kids = souk.kids().await;
    assert_eq!(kids.len(), 1);
    let souk = souk.restart().await;
    assert_eq!(souk.kids().await, kids);
    assert!(souk.get_user(&session.access_token, &user_of(&session).id).await.is_ok());
    souk.refresh(&session.refresh_token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_thirty_days_gives_way_at_the_next_start_and_stays_published_for_its_tokens() {
    let souk = Souk::start().await;
    let old = souk.kids().await;
    souk.clock.advance(DAY * 29);
    let souk = souk.restart().await;
    assert_eq!(souk.kids().await, old, "not before its time");
    souk.clock.advance(DAY.saturating_sub(Duration::from_mins(1)));
    let session = souk.register("ada@example.org", "Ada").await;

    souk.clock.advance(Duration::from_mins(1));
    let souk = souk.restart().await;
    let kids = souk.kids().await;
    assert_eq!(kids.len(), 2);
    assert_eq!(kids[1], old[0]);
    assert!(souk.passes(&session.access_token).await, "signed by the key before");
    let refreshed = souk.refresh(&session.refresh_token).await.unwrap();
    assert!(souk.passes(&refreshed.access_token).await);
    souk.clock.advance(Duration::from_mins(16));
    assert_eq!(souk.kids().await, kids[..1]);
    let souk = souk.restart().await;
    assert_eq!(souk.kids().await, kids[..1]);
}

#[tokio::test]
async fn an_engine_that_this_build_lacks_is_named_with_its_setting() {
    let folder = TempDir::new().unwrap();
    let clock = ManualClock::starting_at(START);
    let platform = platform(&clock);
    for (url, named) in
        [("postgres://host/users", "postgres://"), ("users.db", "not valid"), ("sqlite://", "not valid")]
    {
        let bus =
            SqliteBus::open(&SqliteUrl::of(folder.path().join("broker.db")), Arc::new(clock.clone())).await.unwrap();
        let settings = users::settings::Settings { database_url: url.to_owned() };
        let Err(error) = users::bootstrap::build(&settings, &platform, Arc::new(bus)).await else {
            panic!("{url} was accepted");
        };
        let message = error.to_string();
        assert!(message.contains("SOUK_USERS_DATABASE_URL") && message.contains(named), "{message}");
    }
}
