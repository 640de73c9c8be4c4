//! What every store must do alike although the engines differ underneath: moments, pages, deliveries at the same time, and
//! what is left of a write that was refused.

use std::sync::Arc;
use std::time::Duration;

use contracts::Timestamp;
use notification::application::Cause;
use notification::application::deliver_emails::LEASE;
use notification::application::ports::{OrderChange, Recorded, RepositoryError};

use crate::builders::{START, new_order, new_user};
use crate::contract::{CONFIRMED, Fixture, NOTIFIED, change, contact, names, notify, record};

macro_rules! every_difference {
    ($($header:tt)*) => {
        store_contract! { $($header)*;
            moments_come_back_to_the_millisecond
            pages_neither_skip_nor_repeat_while_entries_are_added
            an_event_delivered_many_times_at_once_has_one_effect
            a_notification_whose_id_is_taken_is_a_conflict_and_leaves_nothing
            of_contacts_told_at_once_the_newest_stays
            no_answer_from_before_a_change_that_is_told_at_the_same_time_stays
        }
    };
}

every_difference!(memory, crate::memory::fixture(), cfg(test));
every_difference!(sqlite, crate::contract::sqlite(), cfg(test));
#[cfg(feature = "mongodb")]
every_difference!(mongo, crate::mongo_store::fixture(), ignore = "needs SOUK_TEST_MONGODB_URL");

async fn moments_come_back_to_the_millisecond(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    // Finer than any store keeps; what is cut is cut before it is stored, the same way everywhere.
    let fine = Timestamp::parse("2100-01-01T00:00:00.123999Z").unwrap();
    let millisecond = Duration::from_millis(1);
    assert_eq!(fine.unix_ms(), 4_102_444_800_123);
    record(store.as_ref(), OrderChange { now: fine, ..change(user_id, new_order(), CONFIRMED, 1) }).await;
    let page = store.list_inbox(user_id, 0, 9).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.created_at).collect::<Vec<_>>(), [fine; 3]);
    let id = store.list_notifications(user_id, false, None, 1).await.unwrap().remove(0).id;
    let read_at = fine.plus(millisecond);
    store.mark_read(user_id, id, read_at, Cause::default()).await.unwrap();
    let read = store.list_notifications(user_id, false, None, 1).await.unwrap().remove(0);
    assert_eq!((read.created_at, read.read_at), (fine, Some(read_at)));

    assert_eq!(store.next_due().await.unwrap(), Some(fine));
    assert_eq!(store.claim_due(fine.minus(millisecond), fine.plus(LEASE), 9).await.unwrap(), []);
    let due = store.claim_due(fine, fine.plus(LEASE), 9).await.unwrap();
    assert_eq!(due.iter().map(|email| email.created_at).collect::<Vec<_>>(), [fine]);
    let again = fine.plus(LEASE + millisecond);
    store.mark_failed(id, again).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(again));
}

async fn pages_neither_skip_nor_repeat_while_entries_are_added(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    notify(store.as_ref(), user_id, 6).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.list_notifications(user_id, false, before, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        seen.extend(page.iter().map(|notification| notification.seq));
        notify(store.as_ref(), user_id, 1).await;
    }
    assert_eq!(seen, [17, 14, 11, 8, 5, 2], "newest first as of the first page");
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let page = store.list_inbox(user_id, after, 5).await.unwrap();
        let Some(last) = page.entries.last() else { break };
        after = last.seq;
        seen.extend(page.entries.iter().map(|entry| entry.seq));
        if seen.len() <= 10 {
            notify(store.as_ref(), user_id, 1).await;
        }
    }
    assert_eq!(seen, (1..=33).collect::<Vec<_>>(), "onwards, with what was added meanwhile");
}

async fn an_event_delivered_many_times_at_once_has_one_effect(fixture: Fixture) {
    let store = fixture.store();
    let once = change(new_user(), new_order(), CONFIRMED, 1);
    let deliveries: Vec<_> = (0..5)
        .map(|_| {
            let (store, once) = (Arc::clone(&store), once.clone());
            tokio::spawn(async move { record(store.as_ref(), once).await })
        })
        .collect();
    let (mut used, mut duplicates) = (0, 0);
    for delivery in deliveries {
        match delivery.await.unwrap() {
            Recorded::Used { email_queued: true } => used += 1,
            Recorded::Duplicate => duplicates += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((used, duplicates), (1, 4));
    assert_eq!(names(store.as_ref(), once.user_id).await, NOTIFIED);
    assert_eq!(store.claim_due(START, START, 9).await.unwrap().len(), 1);
}

async fn a_notification_whose_id_is_taken_is_a_conflict_and_leaves_nothing(fixture: Fixture) {
    let store = fixture.store();
    let first = change(new_user(), new_order(), CONFIRMED, 1);
    record(store.as_ref(), first.clone()).await;
    let mut second = change(new_user(), new_order(), CONFIRMED, 1);
    let own_id = second.notification.as_ref().unwrap().id;
    second.notification.as_mut().unwrap().id = first.notification.unwrap().id;
    let refused = store.record_order_change(second.clone()).await;
    assert!(matches!(refused, Err(RepositoryError::Conflict)), "{refused:?}");
    let inbox = store.list_inbox(second.user_id, 0, 9).await.unwrap();
    assert_eq!((inbox.head_seq, inbox.entries.len()), (0, 0));
    // Neither the event nor the version counts as used: delivered again, it has its effect.
    second.notification.as_mut().unwrap().id = own_id;
    assert_eq!(record(store.as_ref(), second.clone()).await, Recorded::Used { email_queued: true });
    assert_eq!(names(store.as_ref(), second.user_id).await, NOTIFIED);
    assert_eq!(store.claim_due(START, START, 9).await.unwrap().len(), 2);
}

async fn of_contacts_told_at_once_the_newest_stays(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    let saves: Vec<_> = [3, 1, 6, 2, 5, 4]
        .map(|version| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.save_contact(contact(user_id, version)).await })
        })
        .into();
    for save in saves {
        save.await.unwrap().unwrap();
    }
    assert_eq!(store.find_contact(user_id).await.unwrap(), Some(contact(user_id, 6)));
}

async fn no_answer_from_before_a_change_that_is_told_at_the_same_time_stays(fixture: Fixture) {
    let store = fixture.store();
    for newest in [4, 5] {
        let user_id = new_user();
        let mut told = tokio::task::JoinSet::new();
        for version in 1..=newest {
            let store = Arc::clone(&store);
            told.spawn(async move { store.save_contact(contact(user_id, version)).await.map(drop) });
        }
        let events = Arc::clone(&store);
        told.spawn(async move { events.forget_contact(user_id, 5).await });
        for told in told.join_all().await {
            told.unwrap();
        }
        let current = (newest == 5).then(|| contact(user_id, 5));
        assert_eq!(store.find_contact(user_id).await.unwrap(), current);
    }
}
