//! What every store must do about what users choose, and about how far they have their inbox.

use std::sync::Arc;

use contracts::ids::UserId;
use notification::application::Cause;
use notification::application::ports::Recorded;
use notification::domain::inbox::Acked;
use notification::domain::kind::NotificationKind;
use notification::domain::preference::{ChannelChange, Channels};

use crate::builders::{START, new_order, new_user};
use crate::contract::{CONFIRMED, Fixture, NOTIFIED, SHIPPED, Store, change, email, entries, names, notify, record};

macro_rules! every_choice {
    ($($header:tt)*) => {
        store_contract! { $($header)*;
            preferences_change_the_channels_that_are_named_and_nothing_else
            what_a_user_does_not_want_by_email_is_notified_without
            what_a_user_does_not_want_in_the_inbox_is_sent_by_email_alone_and_once
            what_a_user_wants_on_no_channel_is_not_told_and_its_order_is_shown_nevertheless
            an_outcome_that_was_muted_is_not_told_later
            the_count_of_unread_ones_is_told_whenever_it_changes_and_only_then
            an_acknowledgement_never_moves_back_nor_beyond_the_end
            of_acknowledgements_at_once_the_highest_stays
        }
    };
}

every_choice!(memory, crate::memory::fixture(), cfg(test));
every_choice!(sqlite, crate::contract::sqlite(), cfg(test));
#[cfg(feature = "mongodb")]
every_choice!(mongo, crate::mongo_store::fixture(), ignore = "needs SOUK_TEST_MONGODB_URL");

const ORDER_CONFIRMED: NotificationKind = NotificationKind::OrderConfirmed;
const ORDER_SHIPPED: NotificationKind = NotificationKind::OrderShipped;
const EMAIL_OFF: ChannelChange = ChannelChange { push: None, email: Some(false) };
const PUSH_OFF: ChannelChange = ChannelChange { push: Some(false), email: None };
const ALL_OFF: ChannelChange = ChannelChange { push: Some(false), email: Some(false) };

async fn choose(store: &dyn Store, user_id: UserId, kind: NotificationKind, change: ChannelChange) {
    store.save_preferences(user_id, vec![(kind, change)]).await.unwrap();
}

async fn preferences_change_the_channels_that_are_named_and_nothing_else(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    let store = store.as_ref();
    let saved = async || {
        let mut saved = store.list_preferences(user_id).await.unwrap();
        saved.sort_by_key(|(kind, _)| kind.as_str());
        saved
    };
    let channels = |push, email| Channels { push, email };
    assert_eq!(saved().await, []);
    store.save_preferences(user_id, vec![(ORDER_CONFIRMED, EMAIL_OFF), (ORDER_SHIPPED, PUSH_OFF)]).await.unwrap();
    assert_eq!(saved().await, [(ORDER_CONFIRMED, channels(true, false)), (ORDER_SHIPPED, channels(false, true))]);
    choose(store, user_id, ORDER_CONFIRMED, PUSH_OFF).await;
    assert_eq!(saved().await, [(ORDER_CONFIRMED, channels(false, false)), (ORDER_SHIPPED, channels(false, true))]);
    let on = ChannelChange { push: Some(true), email: Some(true) };
    choose(store, user_id, ORDER_CONFIRMED, on).await;
    choose(store, user_id, ORDER_SHIPPED, EMAIL_OFF).await;
    assert_eq!(saved().await, [(ORDER_CONFIRMED, channels(true, true)), (ORDER_SHIPPED, channels(false, false))]);
    assert_eq!(store.list_preferences(new_user()).await.unwrap(), []);
}

async fn what_a_user_does_not_want_by_email_is_notified_without(fixture: Fixture) {
    let (store, user_id, order_id) = (fixture.store(), new_user(), new_order());
    let store = store.as_ref();
    choose(store, user_id, ORDER_CONFIRMED, EMAIL_OFF).await;
    assert_eq!(record(store, change(user_id, order_id, CONFIRMED, 1)).await, Recorded::Used { email_queued: false });
    assert_eq!(record(store, change(user_id, order_id, SHIPPED, 2)).await, Recorded::Used { email_queued: true });
    assert_eq!(store.count_unread(user_id).await.unwrap(), 2);
    assert_eq!(store.claim_due(START, START, 9).await.unwrap().len(), 1);
}

async fn what_a_user_does_not_want_in_the_inbox_is_sent_by_email_alone_and_once(fixture: Fixture) {
    let (store, user_id, order_id) = (fixture.store(), new_user(), new_order());
    let store = store.as_ref();
    choose(store, user_id, ORDER_CONFIRMED, PUSH_OFF).await;
    assert_eq!(record(store, change(user_id, order_id, CONFIRMED, 1)).await, Recorded::Used { email_queued: true });
    assert_eq!(record(store, change(user_id, order_id, CONFIRMED, 2)).await, Recorded::Used { email_queued: false });
    assert_eq!(names(store, user_id).await, ["order_updated", "order_updated"]);
    assert_eq!(store.list_notifications(user_id, false, None, 9).await.unwrap(), []);
    assert_eq!(store.count_unread(user_id).await.unwrap(), 0);
    let queued = store.claim_due(START, START, 9).await.unwrap();
    assert_eq!(
        queued.iter().map(|queued| (queued.user_id, &queued.content)).collect::<Vec<_>>(),
        [(user_id, &email())]
    );
    // Other kinds and other users are told as before.
    record(store, change(user_id, order_id, SHIPPED, 3)).await;
    assert_eq!(store.count_unread(user_id).await.unwrap(), 1);
    let other = new_user();
    record(store, change(other, new_order(), CONFIRMED, 1)).await;
    assert_eq!(names(store, other).await, NOTIFIED);
}

async fn what_a_user_wants_on_no_channel_is_not_told_and_its_order_is_shown_nevertheless(fixture: Fixture) {
    let (store, user_id, order_id) = (fixture.store(), new_user(), new_order());
    let store = store.as_ref();
    choose(store, user_id, ORDER_CONFIRMED, ALL_OFF).await;
    record(store, change(user_id, order_id, None, 1)).await;
    assert_eq!(record(store, change(user_id, order_id, CONFIRMED, 2)).await, Recorded::Used { email_queued: false });
    assert_eq!(names(store, user_id).await, ["order_created", "order_updated"]);
    assert_eq!(store.next_due().await.unwrap(), None);
}

async fn an_outcome_that_was_muted_is_not_told_later(fixture: Fixture) {
    let (store, user_id, order_id) = (fixture.store(), new_user(), new_order());
    let store = store.as_ref();
    choose(store, user_id, ORDER_CONFIRMED, ALL_OFF).await;
    record(store, change(user_id, order_id, CONFIRMED, 1)).await;
    choose(store, user_id, ORDER_CONFIRMED, ChannelChange { push: Some(true), email: Some(true) }).await;
    assert_eq!(record(store, change(user_id, order_id, CONFIRMED, 2)).await, Recorded::Used { email_queued: false });
    assert_eq!(names(store, user_id).await, ["order_updated", "order_updated"]);
    record(store, change(user_id, new_order(), CONFIRMED, 1)).await;
    assert_eq!(names(store, user_id).await[2..], NOTIFIED);
}

async fn the_count_of_unread_ones_is_told_whenever_it_changes_and_only_then(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    let store = store.as_ref();
    notify(store, new_user(), 2).await;
    notify(store, user_id, 3).await;
    let newest = store.list_notifications(user_id, false, None, 1).await.unwrap().remove(0).id;
    for _ in 0..2 {
        store.mark_read(user_id, newest, START, Cause::default()).await.unwrap();
    }
    notify(store, user_id, 1).await;
    for _ in 0..2 {
        store.mark_all_read(user_id, START, Cause::default()).await.unwrap();
    }
    let all = entries(store, user_id).await;
    let counts: Vec<_> = all.iter().filter(|entry| entry.event.as_str() == "notification:unread").collect();
    let counts: Vec<u64> = counts
        .into_iter()
        .map(|entry| serde_json::from_str::<serde_json::Value>(&entry.data).unwrap()["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [1, 2, 3, 2, 3, 0]);
    assert_eq!(all.iter().filter(|entry| entry.event.as_str() == "notification:read").count(), 4);
}

async fn an_acknowledgement_never_moves_back_nor_beyond_the_end(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    let store = store.as_ref();
    let acked = async || store.list_inbox(user_id, 0, 1).await.unwrap().acked_seq;
    assert_eq!(store.acknowledge(user_id, 0).await.unwrap(), Acked::UpTo(0));
    assert_eq!(store.acknowledge(user_id, 1).await.unwrap(), Acked::BeyondHead { head_seq: 0 });
    notify(store, user_id, 2).await;
    assert_eq!(acked().await, 0);
    for (seq, kept) in [(4, 4), (4, 4), (2, 4), (0, 4), (6, 6)] {
        assert_eq!(store.acknowledge(user_id, seq).await.unwrap(), Acked::UpTo(kept), "{seq}");
        assert_eq!(acked().await, kept);
    }
    for beyond in [7, u64::MAX] {
        assert_eq!(store.acknowledge(user_id, beyond).await.unwrap(), Acked::BeyondHead { head_seq: 6 });
    }
    assert_eq!((acked().await, entries(store, user_id).await.len()), (6, 6), "nothing is appended");
    assert_eq!(store.list_inbox(new_user(), 0, 1).await.unwrap().acked_seq, 0);
}

async fn of_acknowledgements_at_once_the_highest_stays(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    notify(store.as_ref(), user_id, 4).await;
    let acks: Vec<_> = [3, 12, 7, 1, 11, 9]
        .map(|seq| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.acknowledge(user_id, seq).await })
        })
        .into();
    for ack in acks {
        ack.await.unwrap().unwrap();
    }
    assert_eq!(store.list_inbox(user_id, 0, 1).await.unwrap().acked_seq, 12);
}
