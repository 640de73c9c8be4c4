//! What every order store must do, written once, run against each.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use contracts::event_data::OrderStatus;
use contracts::ids::{OrderId, UuidV7Generator};
use contracts::money::Currency;
use contracts::{IdGenerator as _, Money, Quantity, Timestamp};
use observability::{Cause, RequestContext};
use orders::adapters::persistence::sqlite::SqliteOrderRepository;
use orders::application::ports::{
    Change, ChangedOrders, IdempotencyRecord, OrderFilter, OrderRepository, RepositoryError, Unfinished,
};
use orders::domain::{Draft, Order, OrderEvent, PricedProduct, Refused, Saga, SagaState};
use tempfile::TempDir;

use crate::helpers::{sku, sqlite_repository, start_of_time, user};

pub(crate) fn an_order(owner: u128) -> (Order, OrderEvent, Saga) {
    order_made_at(owner, start_of_time())
}

fn order_made_at(owner: u128, now: Timestamp) -> (Order, OrderEvent, Saga) {
    let mut draft = Draft::new(user(owner)).with_details(Some("1 Bazaar Lane\nIstanbul".to_owned()), None);
    draft.add(sku("A"), Quantity::try_from(2).unwrap()).unwrap();
    let price = Money::new(250, Currency::USD).unwrap();
    let catalogue = [PricedProduct { sku: sku("A"), name: "Ä \"quoted\" name".to_owned(), price }];
    let id = OrderId::from_uuid(UuidV7Generator.new_uuid());
    let (order, event) = draft.place(id, &catalogue, now).unwrap();
    (order, event, Saga::new(id, "card_ok".to_owned(), "owner".to_owned(), now.plus(Duration::from_secs(10))))
}

fn a_key(order: &Order, key: &str, fingerprint: &str, created_at: Timestamp) -> IdempotencyRecord {
    let (user_id, order_id) = (order.user_id(), order.id());
    IdempotencyRecord { user_id, key: key.to_owned(), fingerprint: fingerprint.to_owned(), order_id, created_at }
}

pub(crate) async fn placed(repository: &dyn OrderRepository, owner: u128) -> (Order, Saga) {
    let (order, event, saga) = an_order(owner);
    assert!(repository.place(order.clone(), event, saga.clone(), None).await.unwrap().is_none());
    (order, saga)
}

pub(crate) fn confirmed(order: &mut Order, saga: &mut Saga) -> Change {
    let event = order.confirm(start_of_time().plus(Duration::from_millis(7))).unwrap();
    saga.next_version();
    Change { order: Some((order.clone(), event)), saga: saga.clone() }
}

async fn the_request_that_placed_an_order_is_remembered(repository: Arc<dyn OrderRepository>) {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = RequestContext::accept(Some("r-1"), Some(trace));
    let (order, mut saga) = request.scope(placed(repository.as_ref(), 1)).await;
    let cause = Cause { request_id: "r-1".to_owned(), traceparent: Some(trace.to_owned()) };
    assert_eq!(repository.find_cause(order.id()).await.unwrap(), Some(cause.clone()));
    // What comes later, and for whom, changes nothing of that.
    let change = confirmed(&mut order.clone(), &mut saga);
    RequestContext::accept(Some("r-2"), None).scope(repository.save(change)).await.unwrap();
    assert_eq!(repository.find_cause(order.id()).await.unwrap(), Some(cause));
    let (unasked, _) = placed(repository.as_ref(), 1).await;
    assert_eq!(repository.find_cause(unasked.id()).await.unwrap(), None);
    assert_eq!(repository.find_cause(an_order(1).0.id()).await.unwrap(), None);
}

async fn what_was_placed_is_found_exactly(repository: Arc<dyn OrderRepository>) {
    let (order, saga) = placed(repository.as_ref(), 1).await;
    assert_eq!(repository.find(order.id()).await.unwrap(), Some(order.clone()));
    assert_eq!(repository.find_with_saga(order.id()).await.unwrap(), Some((order.clone(), saga)));
    assert_eq!(repository.timeline(order.id()).await.unwrap(), [order.to_data()]);
    let unknown = an_order(1).0.id();
    assert_eq!(repository.find(unknown).await.unwrap(), None);
    assert!(repository.timeline(unknown).await.unwrap().is_empty());
}

async fn every_part_of_a_saga_is_kept(repository: Arc<dyn OrderRepository>) {
    let (order, mut saga) = placed(repository.as_ref(), 1).await;
    for state in [SagaState::Reserving, SagaState::Charging, SagaState::Confirming] {
        saga.advance(state).unwrap();
    }
    saga.payment_is_unknown();
    saga.request_cancel("why".to_owned());
    saga.refuse(Refused::Declined { reason: "no".to_owned() });
    let refund_id = contracts::ids::RefundId::from_uuid(UuidV7Generator.new_uuid());
    saga.start_refund(refund_id, "because".to_owned(), true, true).unwrap();
    saga.retry_at(start_of_time().plus(Duration::from_millis(1)));
    saga.next_version();
    repository.save(Change { order: None, saga: saga.clone() }).await.unwrap();
    assert_eq!(repository.find_with_saga(order.id()).await.unwrap(), Some((order, saga)));
}

async fn a_stale_save_conflicts_and_changes_nothing(repository: Arc<dyn OrderRepository>) {
    let (order, saga) = placed(repository.as_ref(), 1).await;
    let (mut winner, mut winning) = (order.clone(), saga.clone());
    repository.save(confirmed(&mut winner, &mut winning)).await.unwrap();
    let (mut loser, mut losing) = (order.clone(), saga);
    let refused = repository.save(confirmed(&mut loser, &mut losing)).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Conflict), "{refused:?}");
    // The saga is fresh, the order is not: neither may be written.
    let (mut half, mut fresh) = (order.clone(), winning.clone());
    let refused = repository.save(confirmed(&mut half, &mut fresh)).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Conflict), "{refused:?}");
    assert_eq!(repository.find_with_saga(order.id()).await.unwrap(), Some((winner, winning)));
    assert_eq!(repository.timeline(order.id()).await.unwrap().len(), 2);
}

async fn of_concurrent_saves_exactly_one_wins(repository: Arc<dyn OrderRepository>) {
    let (order, saga) = placed(repository.as_ref(), 1).await;
    let saves = (0..8).map(|_| {
        let (mut order, mut saga) = (order.clone(), saga.clone());
        let change = confirmed(&mut order, &mut saga);
        repository.save(change)
    });
    let results = futures::future::join_all(saves).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(RepositoryError::Conflict))), "{results:?}");
    assert_eq!(repository.timeline(order.id()).await.unwrap().len(), 2, "the refused ones left no event");
}

async fn moments_come_back_to_the_millisecond(repository: Arc<dyn OrderRepository>) {
    // Finer than any store keeps; what is cut is cut before it is stored, the same way everywhere.
    let fine = Timestamp::parse("2027-01-15T08:00:00.123999Z").unwrap();
    let (millisecond, day) = (Duration::from_millis(1), Duration::from_hours(24));
    assert_eq!(fine.unix_ms(), start_of_time().unix_ms() + 123);
    let (order, event, mut saga) = order_made_at(1, fine);
    saga.lease_until(fine.plus(millisecond));
    let key = a_key(&order, "k", "f", fine);
    assert_eq!(repository.place(order.clone(), event, saga.clone(), Some(key.clone())).await.unwrap(), None);
    assert_eq!(repository.find_with_saga(order.id()).await.unwrap(), Some((order.clone(), saga)));
    assert_eq!(repository.timeline(order.id()).await.unwrap()[0].created_at, fine);
    assert_eq!(repository.next_due().await.unwrap(), Some(fine.plus(millisecond)));
    assert!(repository.claim_due(fine, "x", fine.plus(day), 9).await.unwrap().is_empty());
    assert_eq!(repository.claim_due(fine.plus(millisecond), "x", fine.plus(day), 9).await.unwrap().len(), 1);
    let last = fine.plus(day).minus(millisecond);
    assert_eq!(repository.find_key(user(1), "k", last).await.unwrap(), Some(key));
    assert_eq!(repository.find_key(user(1), "k", last.plus(millisecond)).await.unwrap(), None);
}

async fn an_id_is_placed_once_and_the_refused_order_leaves_nothing(repository: Arc<dyn OrderRepository>) {
    let (order, event, saga) = an_order(1);
    assert_eq!(repository.place(order.clone(), event.clone(), saga.clone(), None).await.unwrap(), None);
    let key = a_key(&order, "k", "f", start_of_time());
    let again = repository.place(order.clone(), event, saga.clone(), Some(key)).await;
    assert!(matches!(again, Err(RepositoryError::Conflict)), "{again:?}");
    assert_eq!(repository.find_key(user(1), "k", start_of_time()).await.unwrap(), None, "the key is free");
    assert_eq!(repository.timeline(order.id()).await.unwrap().len(), 1);
    assert_eq!(repository.find_with_saga(order.id()).await.unwrap(), Some((order, saga)));
}

async fn what_changes_between_pages_of_changes_is_not_missed(repository: Arc<dyn OrderRepository>) {
    let (mut first, mut first_saga) = placed(repository.as_ref(), 1).await;
    let (mut second, mut second_saga) = placed(repository.as_ref(), 2).await;
    let page = repository.changed_since(0, 1).await.unwrap();
    assert_eq!(page.orders[0].1, first);
    // One that was seen changes, one that was not does, and one comes.
    repository.save(confirmed(&mut first, &mut first_saga)).await.unwrap();
    repository.save(confirmed(&mut second, &mut second_saga)).await.unwrap();
    let (third, _) = placed(repository.as_ref(), 3).await;
    let (mut seen, mut after) = (Vec::new(), page.orders[0].0);
    loop {
        let page = repository.changed_since(after, 1).await.unwrap();
        let Some((position, order, _)) = page.orders.into_iter().next() else { break };
        assert!(position > after);
        after = position;
        seen.push(order);
    }
    assert_eq!(seen, [first, second, third], "each as it is now, once");
}

async fn a_key_makes_one_order_until_it_expires(repository: Arc<dyn OrderRepository>) {
    let day = Duration::from_hours(24);
    let (first, event, saga) = an_order(1);
    let key = a_key(&first, "k", "f1", start_of_time());
    assert_eq!(repository.place(first.clone(), event, saga, Some(key.clone())).await.unwrap(), None);
    let (second, event, saga) = an_order(1);
    let late = start_of_time().plus(day).minus(Duration::from_millis(1));
    let taken = repository.place(second.clone(), event, saga, Some(a_key(&second, "k", "f2", late))).await.unwrap();
    assert_eq!(taken.as_ref(), Some(&key));
    assert_eq!(repository.find(second.id()).await.unwrap(), None, "nothing was written");
    assert_eq!(repository.find_key(user(1), "k", late).await.unwrap(), Some(key));
    assert_eq!(repository.find_key(user(2), "k", late).await.unwrap(), None);
    let later = start_of_time().plus(day);
    assert_eq!(repository.find_key(user(1), "k", later).await.unwrap(), None);
    let (third, event, saga) = an_order(1);
    let fresh = a_key(&third, "k", "f3", later);
    assert_eq!(repository.place(third, event, saga, Some(fresh)).await.unwrap(), None);
    assert_eq!(repository.forget_old_keys(later.plus(Duration::from_secs(1))).await.unwrap(), 0);
    assert_eq!(repository.forget_old_keys(later.plus(day).plus(Duration::from_secs(1))).await.unwrap(), 1);
}

async fn keys_are_told_apart_by_every_byte(repository: Arc<dyn OrderRepository>) {
    for key in ["key", "KEY", "key ", "~!\\'\""] {
        let (order, event, saga) = an_order(1);
        let record = a_key(&order, key, "f", start_of_time());
        assert_eq!(repository.place(order, event, saga, Some(record.clone())).await.unwrap(), None, "{key}");
        assert_eq!(repository.find_key(user(1), key, start_of_time()).await.unwrap(), Some(record));
    }
}

async fn of_concurrent_orders_with_one_key_exactly_one_is_placed(repository: Arc<dyn OrderRepository>) {
    let placing = (0..8).map(|_| {
        let (order, event, saga) = an_order(1);
        let key = a_key(&order, "k", "f", start_of_time());
        repository.place(order, event, saga, Some(key))
    });
    let results = futures::future::join_all(placing).await;
    assert_eq!(results.iter().filter(|result| matches!(result, Ok(None))).count(), 1);
    assert_eq!(repository.list(OrderFilter::default(), 10).await.unwrap().len(), 1);
}

async fn a_due_saga_is_claimed_once_and_one_with_a_lease_not_at_all(repository: Arc<dyn OrderRepository>) {
    let mut orders = HashSet::new();
    for _ in 0..5 {
        orders.insert(placed(repository.as_ref(), 1).await.0.id());
    }
    let lease = Duration::from_secs(10);
    let due = start_of_time().plus(lease);
    assert_eq!(repository.next_due().await.unwrap(), Some(due));
    let early = due.minus(Duration::from_millis(1));
    assert!(repository.claim_due(early, "x", early.plus(lease), 10).await.unwrap().is_empty());
    let claims = ["x", "y", "z"].map(|owner| repository.claim_due(due, owner, due.plus(lease), 2));
    let claimed: Vec<_> = futures::future::join_all(claims).await.into_iter().flat_map(Result::unwrap).collect();
    let ids: HashSet<_> = claimed.iter().map(|(order, _)| order.id()).collect();
    assert_eq!((claimed.len(), &ids), (5, &orders), "each exactly once");
    assert_eq!(repository.next_due().await.unwrap(), Some(due.plus(lease)));
    let (mut order, mut stale) = (claimed[0].0.clone(), Saga::from_parts(claimed[0].1.parts().clone()));
    let stolen = repository.claim_due(due.plus(lease), "thief", due.plus(lease).plus(lease), 10).await.unwrap();
    assert_eq!(stolen.len(), 5);
    let refused = repository.save(confirmed(&mut order, &mut stale)).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Conflict), "who lost the lease can't write: {refused:?}");
}

async fn the_most_overdue_is_claimed_first(repository: Arc<dyn OrderRepository>) {
    let mut wanted = Vec::new();
    for wait in [30, 10, 20] {
        let (order, event, mut saga) = an_order(1);
        saga.lease_until(start_of_time().plus(Duration::from_millis(wait)));
        assert!(repository.place(order.clone(), event, saga, None).await.unwrap().is_none());
        wanted.push((wait, order.id()));
    }
    wanted.sort_by_key(|(wait, _)| *wait);
    let now = start_of_time().plus(Duration::from_secs(1));
    let claimed = repository.claim_due(now, "x", now.plus(Duration::from_secs(10)), 2).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|(order, _)| order.id()).collect();
    assert_eq!(ids, [wanted[0].1, wanted[1].1]);
}

async fn a_finished_saga_is_never_due(repository: Arc<dyn OrderRepository>) {
    let (_, mut saga) = placed(repository.as_ref(), 1).await;
    saga.advance(SagaState::Reserving).unwrap();
    saga.advance(SagaState::Done).unwrap();
    saga.next_version();
    repository.save(Change { order: None, saga }).await.unwrap();
    assert_eq!(repository.next_due().await.unwrap(), None);
}

async fn what_is_unfinished_is_counted_and_the_first_undecided_order_dated(repository: Arc<dyn OrderRepository>) {
    assert_eq!(repository.count_unfinished().await.unwrap(), Unfinished::default());
    let later = start_of_time().plus(Duration::from_secs(30));
    let (mut first, mut first_saga) = placed(repository.as_ref(), 1).await;
    let (second, event, mut second_saga) = order_made_at(2, later);
    assert!(repository.place(second, event, second_saga.clone(), None).await.unwrap().is_none());
    let found = |sagas, oldest_pending| Unfinished { sagas, oldest_pending };
    assert_eq!(repository.count_unfinished().await.unwrap(), found(2, Some(start_of_time())));
    repository.save(confirmed(&mut first, &mut first_saga)).await.unwrap();
    assert_eq!(repository.count_unfinished().await.unwrap(), found(2, Some(later)), "the first is decided, not done");
    for saga in [&mut first_saga, &mut second_saga] {
        for state in [SagaState::Reserving, SagaState::Done] {
            saga.advance(state).unwrap();
        }
        saga.next_version();
        repository.save(Change { order: None, saga: saga.clone() }).await.unwrap();
    }
    assert_eq!(repository.count_unfinished().await.unwrap(), Unfinished::default());
}

async fn pages_are_newest_first_filtered_and_without_gaps(repository: Arc<dyn OrderRepository>) {
    let mut mine = Vec::new();
    for n in 0..7 {
        let (mut order, mut saga) = placed(repository.as_ref(), 1).await;
        placed(repository.as_ref(), 2).await;
        if n % 2 == 0 {
            repository.save(confirmed(&mut order, &mut saga)).await.unwrap();
        }
        mine.push(order.id());
    }
    mine.reverse();
    let page = |statuses: Vec<OrderStatus>, before: Option<OrderId>, limit: usize| {
        let repository = Arc::clone(&repository);
        async move {
            let filter = OrderFilter { user_id: Some(user(1)), statuses, before };
            repository.list(filter, limit).await.unwrap().iter().map(Order::id).collect::<Vec<_>>()
        }
    };
    assert_eq!(page(vec![], None, 3).await, mine[..3]);
    // An order placed meanwhile does not shift the next page.
    placed(repository.as_ref(), 1).await;
    assert_eq!(page(vec![], Some(mine[2]), 3).await, mine[3..6]);
    assert_eq!(page(vec![], Some(mine[5]), 3).await, mine[6..]);
    assert_eq!(page(vec![OrderStatus::Confirmed], None, 10).await.len(), 4);
    assert_eq!(page(vec![OrderStatus::Confirmed, OrderStatus::Pending], None, 20).await.len(), 8);
    assert_eq!(repository.list(OrderFilter::default(), 100).await.unwrap().len(), 15);
}

async fn orders_that_changed_come_once_by_their_last_event(repository: Arc<dyn OrderRepository>) {
    let none = repository.changed_since(0, 10).await.unwrap();
    assert_eq!((none.orders.len(), none.settled), (0, 0));
    let (mut first, mut first_saga) = placed(repository.as_ref(), 1).await;
    let (second, mut second_saga) = placed(repository.as_ref(), 2).await;
    let (third, _) = placed(repository.as_ref(), 3).await;
    repository.save(confirmed(&mut first, &mut first_saga)).await.unwrap();
    let ids = |found: &ChangedOrders| found.orders.iter().map(|(_, order, _)| order.id()).collect::<Vec<_>>();
    let all = repository.changed_since(0, 10).await.unwrap();
    assert_eq!(ids(&all), [second.id(), third.id(), first.id()], "each once, where its last event is");
    assert_eq!(all.orders[2], (all.orders[2].0, first.clone(), first_saga.clone()));
    // Pages go by position, and begin after it.
    let page = repository.changed_since(0, 1).await.unwrap();
    assert_eq!(ids(&page), [second.id()]);
    let rest = repository.changed_since(page.orders[0].0, 10).await.unwrap();
    assert_eq!(ids(&rest), [third.id(), first.id()]);
    assert!(repository.changed_since(all.orders[2].0, 10).await.unwrap().orders.is_empty());
    assert!(repository.changed_since(u64::MAX, 10).await.unwrap().orders.is_empty());

    // Nothing is settled from the first order on that something is owed to.
    assert_eq!(all.settled, all.orders[0].0 - 1);
    for state in [SagaState::Reserving, SagaState::Done] {
        second_saga.advance(state).unwrap();
    }
    second_saga.next_version();
    repository.save(Change { order: None, saga: second_saga }).await.unwrap();
    let now = repository.changed_since(0, 10).await.unwrap();
    assert_eq!(now.settled, all.orders[1].0 - 1, "the third is now the first that is owed something");
    assert_eq!(ids(&now), ids(&all), "a saga's step is no event");
}

/// Runs every case against `$fixture`, which gives what must be kept meanwhile, and the store.
macro_rules! order_repository_contract {
    ($(#[$attribute:meta])* $adapter:ident, $fixture:expr) => {
        order_repository_contract!(@cases [$(#[$attribute])*] $adapter, $fixture, [
            the_request_that_placed_an_order_is_remembered,
            what_was_placed_is_found_exactly,
            every_part_of_a_saga_is_kept,
            a_stale_save_conflicts_and_changes_nothing,
            of_concurrent_saves_exactly_one_wins,
            moments_come_back_to_the_millisecond,
            an_id_is_placed_once_and_the_refused_order_leaves_nothing,
            what_changes_between_pages_of_changes_is_not_missed,
            a_key_makes_one_order_until_it_expires,
            keys_are_told_apart_by_every_byte,
            of_concurrent_orders_with_one_key_exactly_one_is_placed,
            a_due_saga_is_claimed_once_and_one_with_a_lease_not_at_all,
            the_most_overdue_is_claimed_first,
            a_finished_saga_is_never_due,
            what_is_unfinished_is_counted_and_the_first_undecided_order_dated,
            pages_are_newest_first_filtered_and_without_gaps,
            orders_that_changed_come_once_by_their_last_event,
        ]);
    };
    (@cases $attributes:tt $adapter:ident, $fixture:expr, [$($case:ident,)*]) => {
        mod $adapter {
            use std::sync::Arc;

            $(order_repository_contract!(@case $attributes $case, $fixture);)*
        }
    };
    (@case [$(#[$attribute:meta])*] $case:ident, $fixture:expr) => {
        #[tokio::test]
        $(#[$attribute])*
        async fn $case() {
            let (_keep, repository) = $fixture.await;
            super::$case(Arc::new(repository)).await;
        }
    };
}

order_repository_contract!(memory, async { ((), crate::memory::InMemoryOrderRepository::default()) });

order_repository_contract!(sqlite, async { super::sqlite_in_tempdir() });

fn sqlite_in_tempdir() -> (TempDir, SqliteOrderRepository) {
    let folder = TempDir::new().unwrap();
    let repository = sqlite_repository(&folder);
    (folder, repository)
}

#[cfg(feature = "postgres")]
order_repository_contract!(
    #[ignore = "needs SOUK_TEST_POSTGRES_URL"]
    postgres,
    crate::postgres::repository_in_schema()
);

#[tokio::test]
async fn sqlite_frees_the_leases_of_a_process_that_is_gone() {
    let folder = TempDir::new().unwrap();
    let (order, _) = placed(&sqlite_repository(&folder), 1).await;
    let reopened = sqlite_repository(&folder);
    let now = start_of_time().plus(Duration::from_millis(1));
    assert_eq!(reopened.release_leases_of_the_dead(now).await.unwrap(), 1);
    let claimed = reopened.claim_due(now, "next", now.plus(Duration::from_secs(10)), 10).await.unwrap();
    assert_eq!(claimed[0].0.id(), order.id());
}
