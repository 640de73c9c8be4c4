//! Whatever the bus does to the events of an order, its owner is told of each outcome exactly once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use contracts::Event;
use contracts::event_data::{OrderData, OrderStatus};
use contracts::ids::{UserId, UuidV7Generator};
use contracts::timestamp::ManualClock;
use messaging::{ConsumeError, EventHandler as _};
use notification::adapters::persistence::sqlite::SqliteStore;
use notification::api::consumers::Events;
use notification::application::MailSignal;
use notification::application::forget_contact::ForgetContact;
use notification::application::ports::{EmailQueue as _, InboxRepository as _};
use notification::application::record_order_event::RecordOrderEvent;
use notification::domain::inbox::InboxEvent;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlite::SqliteUrl;
use tempfile::TempDir;

use crate::builders::{START, history, new_order, new_user};

const HISTORIES: &[&[OrderStatus]] = &[
    &[
        OrderStatus::Pending,
        OrderStatus::Confirmed,
        OrderStatus::Shipped,
        OrderStatus::Delivered,
        OrderStatus::Refunded,
    ],
    &[OrderStatus::Pending, OrderStatus::Confirmed, OrderStatus::Shipped, OrderStatus::Delivered],
    &[OrderStatus::Pending, OrderStatus::Confirmed, OrderStatus::Refunded],
    &[OrderStatus::Pending, OrderStatus::Confirmed, OrderStatus::Cancelled],
    &[OrderStatus::Pending, OrderStatus::Confirmed],
    &[OrderStatus::Pending, OrderStatus::Rejected],
    &[OrderStatus::Pending, OrderStatus::Cancelled],
];

/// What the bus does to a history: which, every delivery of its events in order of arrival, and how many seconds pass
/// before each delivery.
#[derive(Clone, Debug)]
struct Disorder {
    history: &'static [OrderStatus],
    deliveries: Vec<usize>,
    pauses: Vec<u64>,
}

/// Every event arrives, some of them several times, in any order.
fn any_disorder(longest_pause: u64) -> impl Strategy<Value = Disorder> {
    prop::sample::select(HISTORIES).prop_flat_map(move |history| {
        let duplicates = prop::collection::vec(0..history.len(), 0..5);
        let deliveries =
            duplicates.prop_map(|duplicates| (0..history.len()).chain(duplicates).collect::<Vec<_>>()).prop_shuffle();
        let pauses = prop::collection::vec(0..=longest_pause, 8);
        (deliveries, pauses).prop_map(move |(deliveries, pauses)| Disorder { history, deliveries, pauses })
    })
}

struct Consumer {
    store: Arc<SqliteStore>,
    _folder: TempDir,
}

impl Consumer {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let url = SqliteUrl::of(folder.path().join("notification.db"));
        Self { store: Arc::new(SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap()), _folder: folder }
    }

    fn handler(&self, clock: &ManualClock) -> Events {
        let (clock, ids, signal) =
            (Arc::new(clock.clone()), Arc::new(UuidV7Generator), Arc::new(MailSignal::default()));
        let orders = Arc::new(RecordOrderEvent::new(self.store.clone(), clock, ids, signal));
        Events { orders, users: Arc::new(ForgetContact::new(self.store.clone())) }
    }

    /// Delivers as a bus does: what could not be used yet comes again after the others.
    async fn deliver(&self, events: &[Event], disorder: &Disorder) {
        let clock = ManualClock::starting_at(START);
        let handler = self.handler(&clock);
        let mut queue: VecDeque<usize> = disorder.deliveries.iter().copied().collect();
        let mut pauses = disorder.pauses.iter().cycle();
        // Each round uses at least the oldest missing event: this many deliveries always suffice.
        for _ in 0..queue.len() * queue.len() {
            let Some(index) = queue.pop_front() else { return };
            clock.advance(Duration::from_secs(*pauses.next().unwrap()));
            match handler.handle(&events[index]).await {
                Ok(()) => {}
                Err(ConsumeError::Transient(_) | ConsumeError::Early(_)) => queue.push_back(index),
                Err(ConsumeError::Poison(why)) => panic!("{why}"),
            }
        }
        assert!(queue.is_empty(), "events wait for ever: {queue:?}");
    }

    /// The inbox as (name, version of the order, kind of the notification or count of unread ones).
    async fn inbox(&self, user_id: UserId) -> Vec<(InboxEvent, String)> {
        let page = self.store.list_inbox(user_id, 0, 500).await.unwrap();
        let seqs: Vec<_> = page.entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, (1..=page.head_seq).collect::<Vec<_>>(), "positions have a gap");
        let member = |data: &str, name: &str| serde_json::from_str::<serde_json::Value>(data).unwrap()[name].clone();
        let summary = |data: &str, event| match event {
            InboxEvent::Notification => member(data, "kind").as_str().unwrap().to_owned(),
            InboxEvent::NotificationUnread => member(data, "count").to_string(),
            _ => serde_json::from_str::<OrderData>(data).unwrap().version.to_string(),
        };
        page.entries.iter().map(|entry| (entry.event, summary(&entry.data, entry.event))).collect()
    }
}

fn texts(inbox: &[(InboxEvent, String)], event: InboxEvent) -> Vec<&str> {
    inbox.iter().filter(|(name, _)| *name == event).map(|(_, text)| text.as_str()).collect()
}

fn expected_kinds(history: &[OrderStatus]) -> Vec<String> {
    history[1..].iter().map(|status| format!("order_{}", status.as_str())).collect()
}

fn check(longest_pause: u64, verify: impl Fn(&Disorder, &[(InboxEvent, String)])) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let consumer = Consumer::new();
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    runner
        .run(&any_disorder(longest_pause), |disorder| {
            runtime.block_on(async {
                let user_id = new_user();
                let events = history(new_order(), user_id, disorder.history);
                consumer.deliver(&events, &disorder).await;
                let inbox = consumer.inbox(user_id).await;
                verify(&disorder, &inbox);

                let emails = consumer
                    .store
                    .claim_due(START.plus(Duration::from_hours(9)), START.plus(Duration::from_hours(9)), u32::MAX)
                    .await
                    .unwrap();
                let emails = emails.iter().filter(|email| email.user_id == user_id).count();
                assert_eq!(emails, disorder.history.len() - 1, "one email for each outcome");

                // Everything once more, much later, changes nothing.
                consumer.deliver(&events, &Disorder { pauses: vec![9999], ..disorder.clone() }).await;
                assert_eq!(consumer.inbox(user_id).await, inbox);
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn each_outcome_is_notified_once_however_events_are_delayed_repeated_and_reordered() {
    check(40, |disorder, inbox| {
        let mut kinds = texts(inbox, InboxEvent::Notification);
        let mut expected = expected_kinds(disorder.history);
        kinds.sort_unstable();
        expected.sort();
        assert_eq!(kinds, expected);
        let versions: Vec<u64> =
            texts(inbox, InboxEvent::OrderUpdated).into_iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "the order went back: {versions:?}");
        assert_eq!(versions.last(), Some(&(disorder.history.len() as u64)), "the newest state is missing");
        assert!(texts(inbox, InboxEvent::OrderCreated).len() <= 1);
    });
}

#[test]
fn within_the_time_that_a_gap_is_waited_for_disorder_leaves_no_trace() {
    check(0, |disorder, inbox| {
        let mut expected = vec![(InboxEvent::OrderCreated, "1".to_owned())];
        for (version, kind) in (2..).zip(expected_kinds(disorder.history)) {
            expected.push((InboxEvent::OrderUpdated, format!("{version}")));
            expected.push((InboxEvent::Notification, kind));
            expected.push((InboxEvent::NotificationUnread, format!("{}", version - 1)));
        }
        assert_eq!(inbox, expected);
    });
}
