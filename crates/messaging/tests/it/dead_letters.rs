//! What every adapter of the operator's port at the dead letters must do.

use contracts::timestamp::SystemClock;
use contracts::{Clock as _, Event};
use messaging::bus::Deliveries;
use messaging::dead_letters::{Handled, LetterId, Pile, Which};
use messaging::{Broker, Verdict};
use tempfile::TempDir;

use crate::helpers::{event, expect_nothing, ids, memory_broker, next, sqlite_broker, subscription, take};

/// A consumer of group `a`, and these events given up by it one after the other.
async fn bury(broker: &Broker, events: &[Event]) -> Box<dyn Deliveries> {
    let mut queue = broker.bus.subscribe(subscription("a", &["#"])).await.unwrap();
    for event in events {
        broker.bus.publish(std::slice::from_ref(event)).await.unwrap();
        let letter = take(&mut queue, 1).await.remove(0);
        queue.settle(vec![(letter, Verdict::Dead(format!("no {}", event.subject)))]).await.unwrap();
    }
    queue
}

fn events(count: usize) -> Vec<Event> {
    (1..=count).map(|n| event("order.created", &n.to_string(), 1)).collect()
}

async fn left(broker: &Broker) -> Vec<uuid::Uuid> {
    let letters = broker.dead_letters.list("a", 100).await.unwrap();
    letters.iter().map(|letter| letter.event().unwrap().id).collect()
}

async fn letters_tell_what_happened_and_looking_changes_nothing(broker: Broker) {
    let begun = SystemClock.now();
    let events = events(3);
    let mut queue = bury(&broker, &events[..2]).await;
    // The third is tried twice.
    broker.bus.publish(&events[2..]).await.unwrap();
    for _ in 0..2 {
        let tired = take(&mut queue, 1).await.remove(0);
        queue.settle(vec![(tired, Verdict::Retry("not yet".to_owned()))]).await.unwrap();
    }
    let expected: Vec<_> = events.iter().map(|event| event.id).collect();
    let groups = ["a".to_owned(), "nobody".to_owned()];
    for _ in 0..3 {
        assert_eq!(left(&broker).await, expected, "in the order in which they were given up");
        let piles = broker.dead_letters.piles(&groups).await.unwrap();
        assert_eq!(piles, [Pile { group: "a".to_owned(), letters: 3 }]);
    }
    let letters = broker.dead_letters.list("a", 100).await.unwrap();
    let told: Vec<_> = letters.iter().map(|letter| (letter.attempts, letter.error.as_str())).collect();
    assert_eq!(told, [(1, "no 1"), (1, "no 2"), (2, "not yet")]);
    for (letter, event) in letters.iter().zip(&events) {
        let (first, last) = (letter.first_failed_at.unwrap(), letter.last_failed_at.unwrap());
        assert!(begun <= first && first <= last && last <= SystemClock.now(), "{letter:?}");
        assert_eq!((first == last, letter.group.as_str()), (letter.attempts == 1, "a"));
        assert_eq!(serde_json::to_string(&letter.event().unwrap()).unwrap(), serde_json::to_string(event).unwrap());
        assert_eq!(broker.dead_letters.find(&letter.id()).await.unwrap().as_ref(), Some(letter));
    }
    assert_eq!(broker.dead_letters.list("a", 2).await.unwrap(), letters[..2]);
    assert_eq!(left(&broker).await, expected);
    for unknown in ["a/nothing", "a/0", "nobody/1"] {
        assert_eq!(broker.dead_letters.find(&unknown.parse().unwrap()).await.unwrap(), None, "{unknown}");
    }
    assert!(broker.dead_letters.list("nobody", 10).await.unwrap().is_empty());
}

async fn a_replayed_letter_goes_to_its_own_group_alone_as_if_it_were_new(broker: Broker) {
    let mut other = broker.bus.subscribe(subscription("b", &["#"])).await.unwrap();
    let events = events(3);
    let mut queue = bury(&broker, &events).await;
    let seen = take(&mut other, 3).await;
    other.settle(seen.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect()).await.unwrap();

    let second = broker.dead_letters.list("a", 100).await.unwrap().remove(1);
    let which = Which::Keys(vec![second.key.clone(), "nothing".to_owned()]);
    let handled = broker.dead_letters.replay("a", &which).await.unwrap();
    assert_eq!(handled, Handled { done: 1, missing: vec!["nothing".to_owned()] });
    assert_eq!(left(&broker).await, [events[0].id, events[2].id], "the others are where they were");
    for attempt in 1..=2 {
        let delivery = next(&mut queue).await.remove(0);
        assert_eq!((delivery.attempt, delivery.event.as_ref().unwrap().id), (attempt, events[1].id));
        queue.settle(vec![(delivery, Verdict::Retry("still not".to_owned()))]).await.unwrap();
    }
    expect_nothing(&mut queue).await;
    expect_nothing(&mut other).await;
    let buried_again = broker.dead_letters.list("a", 100).await.unwrap().pop().unwrap();
    assert_eq!((buried_again.event().unwrap().id, buried_again.attempts), (events[1].id, 2));
}

async fn all_letters_of_a_group_can_be_replayed_at_once(broker: Broker) {
    // More than any adapter handles in one step.
    let events = events(70);
    let mut queue = bury(&broker, &events).await;
    let handled = broker.dead_letters.replay("a", &Which::All).await.unwrap();
    assert_eq!(handled, Handled { done: 70, missing: Vec::new() });
    let mut again = Vec::new();
    while again.len() < events.len() {
        let batch = next(&mut queue).await;
        again.extend(ids(&batch));
        queue.settle(batch.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect()).await.unwrap();
    }
    assert_eq!(again, events.iter().map(|event| event.id).collect::<Vec<_>>(), "in their order");
    assert!(left(&broker).await.is_empty());
    assert_eq!(broker.dead_letters.replay("a", &Which::All).await.unwrap(), Handled::default());
}

async fn a_discarded_letter_is_gone_and_the_others_stay(broker: Broker) {
    let events = events(4);
    let mut queue = bury(&broker, &events).await;
    let letters = broker.dead_letters.list("a", 100).await.unwrap();
    let two = Which::Keys(vec![letters[2].key.clone(), letters[0].key.clone()]);
    assert_eq!(broker.dead_letters.discard("a", &two).await.unwrap(), Handled { done: 2, missing: Vec::new() });
    assert_eq!(left(&broker).await, [events[1].id, events[3].id]);
    let LetterId { key, .. } = letters[0].id();
    let gone = broker.dead_letters.discard("a", &Which::Keys(vec![key.clone()])).await.unwrap();
    assert_eq!(gone, Handled { done: 0, missing: vec![key] });
    assert_eq!(broker.dead_letters.discard("nobody", &Which::All).await.unwrap(), Handled::default());
    assert_eq!(broker.dead_letters.discard("a", &Which::All).await.unwrap().done, 2);
    assert!(left(&broker).await.is_empty());
    expect_nothing(&mut queue).await;
}

macro_rules! dead_letters_contract {
    ($(#[$attribute:meta])* $adapter:ident, $open:path) => {
        dead_letters_contract!(
            [$(#[$attribute])*] $adapter, $open,
            letters_tell_what_happened_and_looking_changes_nothing
            a_replayed_letter_goes_to_its_own_group_alone_as_if_it_were_new
            all_letters_of_a_group_can_be_replayed_at_once
            a_discarded_letter_is_gone_and_the_others_stay
        );
    };
    ($attributes:tt $adapter:ident, $open:path, $($case:ident)*) => {
        mod $adapter {
            use super::*;
            $(dead_letters_contract!(@case $attributes $open, $case);)*
        }
    };
    (@case [$(#[$attribute:meta])*] $open:path, $case:ident) => {
        #[tokio::test]
        $(#[$attribute])*
        async fn $case() {
            let folder = TempDir::new().unwrap();
            super::$case($open(&folder).await).await;
        }
    };
}

dead_letters_contract!(memory, memory_broker);
dead_letters_contract!(sqlite, sqlite_broker);

#[cfg(feature = "amqp")]
dead_letters_contract!(
    #[ignore = "needs SOUK_TEST_AMQP_URL"]
    amqp,
    crate::amqp::broker_in
);
