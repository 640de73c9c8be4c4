//! What every store of this service must do: each case is written once, each adapter gets a named test for it.

use std::sync::Arc;
use std::time::Duration;

use ::sqlite::SqliteUrl;
use contracts::event_data::InboxAppended;
use contracts::ids::UuidV7Generator;
use contracts::ids::{NotificationId, OrderId, UserId};
use contracts::timestamp::ManualClock;
use contracts::{Event, Timestamp};
use messaging::bus::Deliveries;
use messaging::outbox::OutboxSource;
use messaging::{EventBus, Subscription, Verdict};
use notification::adapters::persistence::sqlite::SqliteStore;
use notification::application::Cause;
use notification::application::chat::ports::ChatRepository;
use notification::application::deliver_emails::LEASE;
use notification::application::ports::{
    ContactRepository, EmailQueue, Housekeeping, InboxRepository, NotificationDraft, OrderChange, PreferenceRepository,
    Recorded, RepositoryError,
};
use notification::domain::contact::Contact;
use notification::domain::email_content::EmailContent;
use notification::domain::inbox::{InboxEntry, InboxEvent};
use notification::domain::kind::NotificationKind;
use notification::domain::message::Message;
use notification::domain::ordering::{Arrival, PATIENCE};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::builders::{START, new_order, new_user};
use crate::two_replicas::{
    each_email_is_sent_by_one_of_them, what_one_had_claimed_when_it_died_is_sent_by_the_other_when_the_lease_is_over,
};

pub(crate) trait Store:
    InboxRepository + PreferenceRepository + ContactRepository + EmailQueue + Housekeeping + ChatRepository
{
}
impl Store for SqliteStore {}
impl Store for crate::memory::InMemoryStore {}
#[cfg(feature = "mongodb")]
impl Store for notification::adapters::persistence::mongo::MongoStore {}

/// A store of one test, and what it publishes.
pub(crate) struct Fixture {
    store: Arc<dyn Store>,
    published: Box<dyn Deliveries>,
    stop: CancellationToken,
    _owned: Box<dyn Send>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn sqlite() -> Fixture {
    let folder = TempDir::new().unwrap();
    let url = SqliteUrl::of(folder.path().join("notification.db"));
    let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
    let outbox = store.outbox();
    Fixture::of(store, outbox, folder).await
}

impl Fixture {
    /// The store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// What was published, as soon as it is this many events.
    pub(crate) async fn published(&mut self, count: usize) -> Vec<Event> {
        let mut published: Vec<Event> = Vec::new();
        while published.len() < count {
            let batch = tokio::time::timeout(Duration::from_secs(10), self.published.next()).await.unwrap().unwrap();
            published.extend(batch.iter().map(|delivery| delivery.event.clone().unwrap()));
            let verdicts = batch.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect();
            self.published.settle(verdicts).await.unwrap();
        }
        published
    }

    /// A store, relayed to a bus of its own; what it owns is dropped at the end.
    pub(crate) async fn of(
        store: impl Store + 'static,
        outbox: impl OutboxSource + 'static,
        owned: impl Send + 'static,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::starting_at(START));
        let broker = format!("sqlite://{}", folder.path().join("broker.db").display());
        let bus: Arc<dyn EventBus> = messaging::connect(&broker, clock).await.unwrap();
        let published = bus.subscribe(Subscription::new("test", &["#"])).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(messaging::relay::run(outbox, bus, stop.clone()));
        Self { store: Arc::new(store), published, stop, _owned: Box::new((folder, owned)) }
    }
}

/// Gives each case a named test for an adapter, with an attribute of that adapter.
macro_rules! store_contract {
    ($adapter:ident, $fixture:expr, $attribute:meta; $($case:ident)*) => {
        mod $adapter {
            $(#[tokio::test]
            #[$attribute]
            async fn $case() {
                super::$case($fixture.await).await;
            })*
        }
    };
}

macro_rules! every_case {
    ($($header:tt)*) => {
        store_contract! { $($header)*;
            positions_are_gapless_for_each_user_under_concurrent_writers
            every_entry_is_published_as_it_is_stored
            an_event_that_comes_again_changes_nothing
            an_event_before_its_predecessor_changes_nothing_until_patience_ends
            a_late_outcome_is_notified_although_its_order_is_not_shown
            an_outcome_is_notified_once_whatever_event_tells_of_it
            an_inbox_is_read_onwards_from_a_cursor_with_its_head
            a_page_of_large_entries_is_cut_but_never_empty
            notifications_are_listed_newest_first_and_paged_by_position
            reading_one_notification_is_told_once_and_only_to_its_owner
            reading_all_tells_of_each_and_only_of_unread_ones
            the_newest_contact_wins
            a_contact_that_changed_is_unknown_until_it_is_told_as_it_is_now
            a_change_of_somebody_unknown_is_remembered_against_older_answers
            emails_wait_for_their_moment_and_leave_the_queue_when_sent_or_given_up
            an_email_that_was_claimed_by_someone_who_died_is_due_again_when_the_lease_ends
            of_many_claiming_at_once_each_email_is_given_to_one
            what_is_old_and_done_is_forgotten_without_notifying_again
            each_email_is_sent_by_one_of_them
            what_one_had_claimed_when_it_died_is_sent_by_the_other_when_the_lease_is_over
        }
    };
}

every_case!(memory, crate::memory::fixture(), cfg(test));
every_case!(sqlite, super::sqlite(), cfg(test));
#[cfg(feature = "mongodb")]
every_case!(mongo, crate::mongo_store::fixture(), ignore = "needs SOUK_TEST_MONGODB_URL");

/// What each email says.
pub(crate) fn email() -> EmailContent {
    EmailContent { text: "Text.".to_owned(), html: Some("<p>Text.</p>".to_owned()) }
}

/// A change as the use case makes it: one of a pending order has no notification.
pub(crate) fn change(user_id: UserId, order_id: OrderId, kind: Option<NotificationKind>, version: u64) -> OrderChange {
    let message = Message { title: "Title".to_owned(), body: "Body.".to_owned() };
    let id = || NotificationId::from_uuid(Uuid::new_v4());
    OrderChange {
        event_id: Uuid::new_v4(),
        user_id,
        order_id,
        arrival: Arrival { version, opens: kind.is_none(), age: Duration::ZERO },
        entry: if kind.is_none() { InboxEvent::OrderCreated } else { InboxEvent::OrderUpdated },
        order_json: format!(r#"{{"version":{version}}}"#),
        notification: kind.map(|kind| NotificationDraft { id: id(), kind, message, email: email() }),
        now: START,
        cause: Cause { request_id: Some("r-1".to_owned()), traceparent: None },
    }
}

/// What an outcome adds to an inbox.
pub(crate) const NOTIFIED: [&str; 3] = ["order_updated", "notification", "notification:unread"];
pub(crate) const CONFIRMED: Option<NotificationKind> = Some(NotificationKind::OrderConfirmed);
pub(crate) const SHIPPED: Option<NotificationKind> = Some(NotificationKind::OrderShipped);

pub(crate) async fn record(store: &dyn Store, change: OrderChange) -> Recorded {
    store.record_order_change(change).await.unwrap()
}

/// Gives the user `count` notifications, each of an order of its own, in inbox positions 2, 5, 8…
pub(crate) async fn notify(store: &dyn Store, user_id: UserId, count: u64) {
    for _ in 0..count {
        record(store, change(user_id, new_order(), CONFIRMED, 1)).await;
    }
}

pub(crate) async fn entries(store: &dyn Store, user_id: UserId) -> Vec<InboxEntry> {
    let page = store.list_inbox(user_id, 0, 500).await.unwrap();
    let positions: Vec<_> = page.entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(positions, (1..=page.head_seq).collect::<Vec<_>>());
    page.entries
}

pub(crate) async fn names(store: &dyn Store, user_id: UserId) -> Vec<&'static str> {
    entries(store, user_id).await.iter().map(|entry| entry.event.as_str()).collect()
}

async fn positions_are_gapless_for_each_user_under_concurrent_writers(fixture: Fixture) {
    let users = [new_user(), new_user(), new_user()];
    let writes: Vec<_> = (0..60)
        .map(|n| {
            let (store, user_id) = (Arc::clone(&fixture.store), users[n % users.len()]);
            tokio::spawn(async move { record(store.as_ref(), change(user_id, new_order(), CONFIRMED, 1)).await })
        })
        .collect();
    for write in writes {
        assert_eq!(write.await.unwrap(), Recorded::Used { email_queued: true });
    }
    for user_id in users {
        assert_eq!(entries(fixture.store.as_ref(), user_id).await.len(), 60);
    }
}

async fn every_entry_is_published_as_it_is_stored(mut fixture: Fixture) {
    let (user_id, order_id) = (new_user(), new_order());
    record(fixture.store.as_ref(), change(user_id, order_id, None, 1)).await;
    record(fixture.store.as_ref(), change(user_id, order_id, CONFIRMED, 2)).await;
    fixture.store.mark_all_read(user_id, START, Cause::default()).await.unwrap();
    let stored = entries(fixture.store.as_ref(), user_id).await;
    let published = fixture.published(stored.len()).await;
    assert_eq!(published.len(), 6);
    assert_eq!(published[0].requestid.as_deref(), Some("r-1"));
    for (event, entry) in published.iter().zip(stored) {
        let data: InboxAppended = event.data().unwrap();
        assert_eq!((event.event_type.as_str(), event.subject.clone()), ("inbox.appended", user_id.to_string()));
        assert_eq!((event.aggregateversion, data.seq, data.user_id), (entry.seq, entry.seq, user_id));
        assert_eq!((data.event.as_str(), data.data.get()), (entry.event.as_str(), entry.data.as_str()));
    }
}

async fn an_event_that_comes_again_changes_nothing(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let once = change(new_user(), new_order(), CONFIRMED, 1);
    assert_eq!(record(store, once.clone()).await, Recorded::Used { email_queued: true });
    let again = OrderChange { now: START.plus(Duration::from_hours(1)), ..once.clone() };
    assert_eq!(record(store, again).await, Recorded::Duplicate);
    assert_eq!(names(store, once.user_id).await, NOTIFIED);
    assert_eq!(store.claim_due(START, START, 9).await.unwrap().len(), 1);
}

async fn an_event_before_its_predecessor_changes_nothing_until_patience_ends(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let (user_id, order_id) = (new_user(), new_order());
    record(store, change(user_id, order_id, None, 1)).await;
    let mut early = change(user_id, order_id, SHIPPED, 3);
    for _ in 0..2 {
        assert_eq!(record(store, early.clone()).await, Recorded::Waits { missing: 2 });
    }
    assert_eq!(names(store, user_id).await, ["order_created"]);
    assert_eq!(store.next_due().await.unwrap(), None);
    early.arrival.age = PATIENCE + Duration::from_millis(1);
    assert_eq!(record(store, early).await, Recorded::Used { email_queued: true });
    assert_eq!(names(store, user_id).await, ["order_created", "order_updated", "notification", "notification:unread"]);
}

async fn a_late_outcome_is_notified_although_its_order_is_not_shown(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let (user_id, order_id) = (new_user(), new_order());
    let mut skipping = change(user_id, order_id, SHIPPED, 3);
    skipping.arrival.age = Duration::from_hours(1);
    record(store, skipping).await;
    assert_eq!(record(store, change(user_id, order_id, CONFIRMED, 2)).await, Recorded::Late { email_queued: true });
    assert_eq!(record(store, change(user_id, order_id, None, 1)).await, Recorded::Late { email_queued: false });
    let notified = ["notification", "notification:unread"];
    assert_eq!(names(store, user_id).await, [&["order_updated"], &notified[..], &notified[..]].concat());
    let found = store.list_notifications(user_id, false, None, 9).await.unwrap();
    let kinds: Vec<_> = found.iter().map(|notification| Some(notification.kind)).collect();
    assert_eq!(kinds, [CONFIRMED, SHIPPED]);
}

async fn an_outcome_is_notified_once_whatever_event_tells_of_it(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let (user_id, order_id) = (new_user(), new_order());
    record(store, change(user_id, order_id, CONFIRMED, 1)).await;
    assert_eq!(record(store, change(user_id, order_id, CONFIRMED, 2)).await, Recorded::Used { email_queued: false });
    assert_eq!(names(store, user_id).await, [&NOTIFIED[..], &["order_updated"]].concat());
    assert_eq!(store.claim_due(START, START, 9).await.unwrap().len(), 1);
}

async fn an_inbox_is_read_onwards_from_a_cursor_with_its_head(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let user_id = new_user();
    let empty = store.list_inbox(user_id, 0, 10).await.unwrap();
    assert_eq!((empty.entries.len(), empty.head_seq), (0, 0));
    notify(store, user_id, 3).await;
    notify(store, new_user(), 1).await;
    let page = store.list_inbox(user_id, 2, 3).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!((page.head_seq, page.entries[0].created_at), (9, START));
    assert_eq!(page.entries[0].data, r#"{"count":1,"request_id":"r-1"}"#);
    assert_eq!(page.entries[1].data, r#"{"version":1,"request_id":"r-1"}"#, "with the request that caused it");
    let beyond = store.list_inbox(user_id, u64::MAX, 10).await.unwrap();
    assert_eq!((beyond.entries.len(), beyond.head_seq), (0, 9));
}

async fn a_page_of_large_entries_is_cut_but_never_empty(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let user_id = new_user();
    for kilobytes in [2000, 600, 600] {
        let mut large = change(user_id, new_order(), None, 1);
        large.order_json = format!(r#"{{"note":"{}"}}"#, "x".repeat(kilobytes * 1000));
        record(store, large).await;
    }
    for after in 0..3 {
        let page = store.list_inbox(user_id, after, 500).await.unwrap();
        assert_eq!((page.entries.len(), page.entries[0].seq, page.head_seq), (1, after + 1, 3));
    }
}

async fn notifications_are_listed_newest_first_and_paged_by_position(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let user_id = new_user();
    notify(store, user_id, 4).await;
    notify(store, new_user(), 1).await;
    let seqs = async |unread_only, before| {
        let found = store.list_notifications(user_id, unread_only, before, 2).await.unwrap();
        found.iter().map(|notification| notification.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(false, None).await, [11, 8]);
    assert_eq!(seqs(false, Some(8)).await, [5, 2]);
    assert_eq!(seqs(false, Some(2)).await, [0; 0]);
    let third = store.list_notifications(user_id, false, Some(9), 1).await.unwrap().remove(0);
    store.mark_read(user_id, third.id, START, Cause::default()).await.unwrap();
    assert_eq!(seqs(true, None).await, [11, 5]);
    assert_eq!(seqs(true, Some(5)).await, [2]);
}

async fn reading_one_notification_is_told_once_and_only_to_its_owner(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let user_id = new_user();
    notify(store, user_id, 2).await;
    let id = store.list_notifications(user_id, false, None, 1).await.unwrap()[0].id;
    assert_eq!(store.mark_read(new_user(), id, START, Cause::default()).await.unwrap(), None);
    assert_eq!(store.count_unread(user_id).await.unwrap(), 2);
    let read_at = START.plus(Duration::from_secs(1));
    let first = store.mark_read(user_id, id, read_at, Cause::default()).await.unwrap().unwrap();
    assert_eq!((first.id, first.read_at), (id, Some(read_at)));
    let later = read_at.plus(Duration::from_secs(1));
    assert_eq!(store.mark_read(user_id, id, later, Cause::default()).await.unwrap(), Some(first));
    assert_eq!(store.count_unread(user_id).await.unwrap(), 1);
    let told: Vec<_> = entries(store, user_id).await.split_off(6);
    let told: Vec<_> = told.iter().map(|entry| (entry.event.as_str(), entry.data.clone())).collect();
    let read = ("notification:read", format!(r#"{{"id":"{id}"}}"#));
    assert_eq!(told, [read, ("notification:unread", r#"{"count":1}"#.to_owned())]);
}

async fn reading_all_tells_of_each_and_only_of_unread_ones(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let (user_id, other) = (new_user(), new_user());
    notify(store, user_id, 3).await;
    notify(store, other, 1).await;
    let found = store.list_notifications(user_id, false, None, 3).await.unwrap();
    store.mark_read(user_id, found[1].id, START, Cause::default()).await.unwrap();
    assert_eq!(store.mark_all_read(user_id, START, Cause::default()).await.unwrap(), 2);
    assert_eq!(store.mark_all_read(user_id, START, Cause::default()).await.unwrap(), 0);
    let told: Vec<_> = entries(store, user_id).await.split_off(11);
    let told: Vec<_> = told.iter().map(|entry| (entry.event.as_str(), entry.data.clone())).collect();
    let read = |id| ("notification:read", format!(r#"{{"id":"{id}"}}"#));
    let unread = ("notification:unread", r#"{"count":0}"#.to_owned());
    assert_eq!(told, [read(found[2].id), read(found[0].id), unread]);
    assert_eq!((store.count_unread(user_id).await.unwrap(), store.count_unread(other).await.unwrap()), (0, 1));
}

pub(crate) fn contact(user_id: UserId, version: u64) -> Contact {
    Contact { user_id, email: format!("v{version}@souk.test"), name: format!("Name {version}"), version }
}

async fn the_newest_contact_wins(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let user_id = new_user();
    assert_eq!(store.find_contact(user_id).await.unwrap(), None);
    for (version, newest) in [(2, true), (3, true), (1, false), (3, true)] {
        assert_eq!(store.save_contact(contact(user_id, version)).await.unwrap(), newest, "{version}");
    }
    let found = store.find_contact(user_id).await.unwrap().unwrap();
    assert_eq!((found.email.as_str(), found.name.as_str(), found.version), ("v3@souk.test", "Name 3", 3));
}

async fn a_contact_that_changed_is_unknown_until_it_is_told_as_it_is_now(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let (user_id, other) = (new_user(), new_user());
    let known = async |of| store.find_contact(of).await.unwrap();
    assert!(store.save_contact(contact(other, 1)).await.unwrap());
    assert!(store.save_contact(contact(user_id, 2)).await.unwrap());
    // Late, or told by the answer already.
    store.forget_contact(user_id, 1).await.unwrap();
    store.forget_contact(user_id, 2).await.unwrap();
    assert_eq!(known(user_id).await, Some(contact(user_id, 2)));
    store.forget_contact(user_id, 4).await.unwrap();
    store.forget_contact(user_id, 3).await.unwrap();
    assert_eq!(known(user_id).await, None);
    // An answer from before the change.
    assert!(!store.save_contact(contact(user_id, 3)).await.unwrap());
    assert_eq!(known(user_id).await, None);
    assert!(store.save_contact(contact(user_id, 4)).await.unwrap());
    assert_eq!(known(user_id).await, Some(contact(user_id, 4)));
    assert_eq!(known(other).await, Some(contact(other, 1)));
}

async fn a_change_of_somebody_unknown_is_remembered_against_older_answers(fixture: Fixture) {
    let (store, user_id) = (fixture.store.as_ref(), new_user());
    store.forget_contact(user_id, 2).await.unwrap();
    assert!(!store.save_contact(contact(user_id, 1)).await.unwrap());
    assert_eq!(store.find_contact(user_id).await.unwrap(), None);
    assert!(store.save_contact(contact(user_id, 3)).await.unwrap());
    assert_eq!(store.find_contact(user_id).await.unwrap(), Some(contact(user_id, 3)));
}

async fn emails_wait_for_their_moment_and_leave_the_queue_when_sent_or_given_up(fixture: Fixture) {
    let store = fixture.store.as_ref();
    assert_eq!(store.next_due().await.unwrap(), None);
    let user_id = new_user();
    notify(store, user_id, 3).await;
    let after = |seconds| START.plus(Duration::from_secs(seconds));
    let claim = async |now: Timestamp, limit| store.claim_due(now, now.plus(LEASE), limit).await.unwrap();
    assert_eq!(claim(START.minus(Duration::from_millis(1)), 9).await, []);
    let mut due = claim(START, 2).await;
    assert_eq!(due.len(), 2);
    due.extend(claim(START, 9).await);
    assert_eq!((due.len(), claim(after(59), 9).await), (3, Vec::new()), "each is given to one caller");
    let first = &due[0];
    assert_eq!((first.user_id, first.subject.as_str(), &first.content), (user_id, "Title", &email()));
    assert_eq!((first.request_id.as_deref(), first.failures, first.created_at), (Some("r-1"), 0, START));
    store.mark_sent(&[due[0].notification_id], after(1)).await.unwrap();
    store.mark_given_up(due[1].notification_id).await.unwrap();
    store.mark_failed(due[2].notification_id, after(5)).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(after(5)));
    assert_eq!(claim(after(4), 9).await, []);
    let due_again = claim(after(5), 9).await;
    assert_eq!((due_again.len(), due_again[0].notification_id, due_again[0].failures), (1, due[2].notification_id, 1));
    store.mark_sent(&[due[2].notification_id], after(6)).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), None);
    // Whose lease ended may say so too late.
    store.mark_failed(due[2].notification_id, after(7)).await.unwrap();
    store.mark_given_up(due[2].notification_id).await.unwrap();
    assert_eq!((store.next_due().await.unwrap(), claim(after(99), 9).await), (None, Vec::new()));
}

async fn an_email_that_was_claimed_by_someone_who_died_is_due_again_when_the_lease_ends(fixture: Fixture) {
    let store = fixture.store.as_ref();
    notify(store, new_user(), 1).await;
    let claimed = store.claim_due(START, START.plus(LEASE), 9).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(START.plus(LEASE)));
    let later = START.plus(LEASE);
    assert_eq!(store.claim_due(later.minus(Duration::from_millis(1)), later, 9).await.unwrap(), []);
    assert_eq!(store.claim_due(later, later.plus(LEASE), 9).await.unwrap(), claimed);
}

async fn of_many_claiming_at_once_each_email_is_given_to_one(fixture: Fixture) {
    let store = fixture.store.as_ref();
    notify(store, new_user(), 8).await;
    let claims = (0..4).map(|_| store.claim_due(START, START.plus(LEASE), 3));
    let first: Vec<_> = futures::future::join_all(claims).await.into_iter().flat_map(Result::unwrap).collect();
    // Who was too late for its share finds what is left.
    let rest = store.claim_due(START, START.plus(LEASE), 8).await.unwrap();
    let given: Vec<_> = first.iter().chain(&rest).map(|email| email.notification_id).collect();
    let distinct: std::collections::HashSet<_> = given.iter().collect();
    assert_eq!((given.len(), distinct.len()), (8, 8));
}

async fn what_is_old_and_done_is_forgotten_without_notifying_again(fixture: Fixture) {
    let store = fixture.store.as_ref();
    let (user_id, order_id) = (new_user(), new_order());
    let once = change(user_id, order_id, CONFIRMED, 1);
    record(store, once.clone()).await;
    store.forget_before(START.plus(Duration::from_millis(1))).await.unwrap();
    // Forgotten as an event, or not; known as a version and as an outcome.
    let again = record(store, once).await;
    assert!(matches!(again, Recorded::Late { email_queued: false } | Recorded::Duplicate), "{again:?}");
    assert_eq!(names(store, user_id).await, NOTIFIED);
    // An email that still waits is kept however old it is.
    assert_eq!(
        store.claim_due(Timestamp::from_unix_ms(i64::MAX), Timestamp::from_unix_ms(i64::MAX), 9).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_store_that_was_closed_is_read_again_as_it_was() {
    let folder = TempDir::new().unwrap();
    let url = SqliteUrl::of(folder.path().join("notification.db"));
    let user_id = new_user();
    let before = {
        let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
        notify(&store, user_id, 2).await;
        entries(&store, user_id).await
    };
    let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
    assert_eq!(entries(&store, user_id).await, before);
    assert_eq!(store.claim_due(START, START, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn sent_emails_are_forgotten_in_time_and_not_before() {
    let folder = TempDir::new().unwrap();
    let url = SqliteUrl::of(folder.path().join("notification.db"));
    let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
    let reader = rusqlite::Connection::open(url.path()).unwrap();
    let kept = |table: &str| -> i64 {
        reader.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    notify(&store, new_user(), 1).await;
    let id = store.claim_due(START, START, 1).await.unwrap()[0].notification_id;
    store.mark_sent(&[id], START).await.unwrap();
    store.forget_before(START).await.unwrap();
    assert_eq!((kept("emails"), kept("consumed_events"), kept("notifications")), (1, 1, 1));
    store.forget_before(START.plus(Duration::from_millis(1))).await.unwrap();
    assert_eq!((kept("emails"), kept("consumed_events"), kept("notifications")), (0, 0, 1));
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    let folder = TempDir::new().unwrap();
    let url = SqliteUrl::of(folder.path().join("notification.db"));
    let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
    let user_id = new_user();
    notify(&store, user_id, 1).await;
    let other = rusqlite::Connection::open(url.path()).unwrap();
    other.execute("UPDATE notifications SET kind = 'gossip'", []).unwrap();
    other.execute("UPDATE inbox_entries SET event = 'gossip'", []).unwrap();
    for error in
        [store.list_notifications(user_id, false, None, 9).await.err(), store.list_inbox(user_id, 0, 9).await.err()]
    {
        assert!(matches!(error, Some(RepositoryError::Corrupt { .. })), "{error:?}");
    }
}
