//! What every realtime hub must do.

use contracts::ids::UserId;
use futures::FutureExt as _;
use gateway::live::entry::Entry;
use gateway::live::hub::{Heard, LiveMessage};
use gateway::live::memory_hub::CAPACITY;
use gateway::live::{MemoryHub, RealtimeHub};
use uuid::Uuid;

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(n))
}

fn entry(seq: u64) -> LiveMessage {
    LiveMessage::Entry(Entry::new(seq, "a", "{}", None))
}

async fn listeners_of_a_user_hear_everything_in_order_and_others_nothing(hub: &dyn RealtimeHub) {
    hub.publish(user(1), entry(1));
    let (mut first, mut second, mut other) = (hub.subscribe(user(1)), hub.subscribe(user(1)), hub.subscribe(user(2)));
    hub.publish(user(1), entry(2));
    hub.publish(user(1), LiveMessage::AccessChanged);
    for listener in [&mut first, &mut second] {
        assert_eq!(listener.next().await, Some(Heard::Message(entry(2))));
        assert_eq!(listener.next().await, Some(Heard::Message(LiveMessage::AccessChanged)));
    }
    assert!(other.next().now_or_never().is_none());
}

async fn what_all_are_told_every_listener_hears(hub: &dyn RealtimeHub) {
    let mut listeners = [hub.subscribe(user(1)), hub.subscribe(user(1)), hub.subscribe(user(2))];
    hub.tell_all(&LiveMessage::Missed);
    for listener in &mut listeners {
        assert_eq!(listener.next().await, Some(Heard::Message(LiveMessage::Missed)));
    }
}

async fn a_slow_listener_is_told_that_it_missed_something_and_goes_on(hub: &dyn RealtimeHub) {
    let mut slow = hub.subscribe(user(1));
    let last = CAPACITY as u64 + 10;
    for seq in 1..=last {
        hub.publish(user(1), entry(seq));
    }
    assert_eq!(slow.next().await, Some(Heard::Lagged));
    let mut newest = None;
    while let Some(Some(Heard::Message(message))) = slow.next().now_or_never() {
        newest = Some(message);
    }
    assert_eq!(newest, Some(entry(last)));
}

async fn whether_anybody_listens_is_known_and_nothing_is_left_behind(hub: &dyn RealtimeHub) {
    assert!(!hub.is_heard(user(1)));
    let (first, second) = (hub.subscribe(user(1)), hub.subscribe(user(1)));
    assert!(hub.is_heard(user(1)) && !hub.is_heard(user(2)));
    drop(first);
    assert!(hub.is_heard(user(1)));
    drop(second);
    assert!(!hub.is_heard(user(1)));
}

macro_rules! realtime_hub_contract {
    ($adapter:ident, $hub:expr => $($case:ident)*) => {
        mod $adapter {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(&$hub).await;
                }
            )*
        }
    };
}

realtime_hub_contract!(memory, MemoryHub::default() =>
    listeners_of_a_user_hear_everything_in_order_and_others_nothing
    what_all_are_told_every_listener_hears
    a_slow_listener_is_told_that_it_missed_something_and_goes_on
    whether_anybody_listens_is_known_and_nothing_is_left_behind
);
