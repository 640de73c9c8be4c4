//! What every store of payments must do; each case once, a named test for each adapter.

use ::sqlite::SqliteUrl;
use contracts::event::EventHead;
use contracts::event_data::{PaymentEvent, event_type};
use contracts::ids::{PaymentId, UuidV7Generator};
use contracts::money::{Currency, MAX_AMOUNT_MINOR};
use contracts::{Event, IdGenerator as _, Money, Timestamp};
use observability::{Cause, RequestContext};
use payment::adapters::persistence::sqlite::SqlitePaymentRepository;
use payment::application::ports::{Change, Due, LedgerEntry, LedgerKind, PaymentRepository, RepositoryError};
use payment::domain::payment::ChargeDetails;
use payment::domain::{Payment, RetrySchedule};
use tempfile::TempDir;

use crate::world::{details, new_refund, open_beside, start_of_time, usd};

const SCHEDULE: RetrySchedule = RetrySchedule {
    grace: std::time::Duration::from_secs(5),
    first: std::time::Duration::from_secs(1),
    most: std::time::Duration::from_mins(1),
};

fn at(seconds: u64) -> Timestamp {
    start_of_time().plus(std::time::Duration::from_secs(seconds))
}

fn an_intent(details: ChargeDetails) -> Payment {
    Payment::open(PaymentId::from_uuid(UuidV7Generator.new_uuid()), details, at(0), &SCHEDULE)
}

pub(crate) async fn opened(repository: &dyn PaymentRepository) -> Payment {
    let payment = an_intent(details("card_ok"));
    assert_eq!(repository.open(&payment).await.unwrap(), None);
    payment
}

async fn the_request_that_opened_a_payment_is_remembered(repository: &dyn PaymentRepository) {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let payment = RequestContext::accept(Some("r-1"), Some(trace)).scope(opened(repository)).await;
    let cause = Cause { request_id: "r-1".to_owned(), traceparent: Some(trace.to_owned()) };
    assert_eq!(repository.find_cause(payment.order_id()).await.unwrap(), Some(cause.clone()));
    // Asked for again, and settled, by others.
    let other = RequestContext::accept(Some("r-2"), None);
    let again = an_intent(ChargeDetails { order_id: payment.order_id(), ..details("card_ok") });
    assert!(other.clone().scope(repository.open(&again)).await.unwrap().is_some());
    other.scope(repository.save(capture(&payment))).await.unwrap();
    assert_eq!(repository.find_cause(payment.order_id()).await.unwrap(), Some(cause));
    let unasked = opened(repository).await;
    assert_eq!(repository.find_cause(unasked.order_id()).await.unwrap(), None);
    assert_eq!(repository.find_cause(an_intent(details("card_ok")).order_id()).await.unwrap(), None);
}

pub(crate) async fn captured(repository: &dyn PaymentRepository) -> Payment {
    let payment = opened(repository).await;
    let change = capture(&payment);
    repository.save(change.clone()).await.unwrap();
    change.payment
}

pub(crate) fn capture(payment: &Payment) -> Change {
    let expected_version = payment.version();
    let mut payment = payment.clone();
    payment.capture(format!("ch_{}", payment.id()).parse().unwrap(), at(1)).unwrap();
    let (entry, event) = (capture_entry(&payment), an_event(&payment));
    Change { payment, expected_version, entry: Some(entry), event: Some(event) }
}

fn capture_entry(payment: &Payment) -> LedgerEntry {
    LedgerEntry {
        id: UuidV7Generator.new_uuid(),
        order_id: payment.order_id(),
        kind: LedgerKind::Capture,
        amount: payment.amount(),
        at: at(1),
    }
}

fn an_event(payment: &Payment) -> Event {
    let head = EventHead {
        id: UuidV7Generator.new_uuid(),
        service: "payment",
        event_type: event_type::PAYMENT_CAPTURED,
        subject: payment.order_id().to_string(),
        time: at(1),
        aggregate_version: payment.version(),
        traceparent: None,
        request_id: None,
    };
    let data = PaymentEvent {
        order_id: payment.order_id(),
        user_id: payment.user_id(),
        status: "captured".to_owned(),
        amount: payment.amount(),
        refunded: payment.refunded(),
        decline_reason: None,
    };
    Event::new(head, &data).unwrap()
}

fn plain(payment: &Payment, expected_version: u64) -> Change {
    Change { payment: payment.clone(), expected_version, entry: None, event: None }
}

async fn an_order_is_opened_once_and_later_ones_get_the_first(repository: &dyn PaymentRepository) {
    let first = opened(repository).await;
    let same_order = ChargeDetails { order_id: first.order_id(), ..details("card_slow") };
    assert_eq!(repository.open(&an_intent(same_order)).await.unwrap(), Some(first.clone()));
    let attempts = (0..16).map(|_| {
        let details = ChargeDetails { order_id: first.order_id(), ..details("card_ok") };
        async move { repository.open(&an_intent(details)).await.unwrap() }
    });
    for found in futures::future::join_all(attempts).await {
        assert_eq!(found.as_ref(), Some(&first));
    }
}

async fn what_is_saved_is_found_again_exactly(repository: &dyn PaymentRepository) {
    let amount = Money::new(MAX_AMOUNT_MINOR, Currency::parse("JPY").unwrap()).unwrap();
    let intent = an_intent(ChargeDetails { amount: amount.try_into().unwrap(), ..details("card_ok") });
    repository.open(&intent).await.unwrap();
    let mut payment = intent;
    let mut version = payment.version();
    let mut save = async |payment: &Payment| {
        repository.save(plain(payment, version)).await.unwrap();
        version = payment.version();
        assert_eq!(repository.find_by_order(payment.order_id()).await.unwrap().as_ref(), Some(payment));
    };
    payment.mark_unknown(Timestamp::from_unix_ms(1_800_000_000_123), &SCHEDULE).unwrap();
    save(&payment).await;
    payment.postpone_check(at(2), &SCHEDULE).unwrap();
    save(&payment).await;
    payment.capture("ch_~!{}".parse().unwrap(), at(3)).unwrap();
    save(&payment).await;
    let (first, second) = (new_refund(), new_refund());
    for (id, minor) in [(second, 7), (first, MAX_AMOUNT_MINOR - 7)] {
        let amount = Money::new(minor, amount.currency()).unwrap().try_into().unwrap();
        payment.begin_refund(id, amount, "zurück · 返金 'quoted'".to_owned(), at(4), &SCHEDULE).unwrap();
        save(&payment).await;
    }
    payment.postpone_refund(first, at(5), &SCHEDULE).unwrap();
    save(&payment).await;
    payment.complete_refund(second, at(6)).unwrap();
    save(&payment).await;
    payment.complete_refund(first, at(7)).unwrap();
    save(&payment).await;

    let mut declined = opened(repository).await;
    let version = declined.version();
    declined.decline("nicht gedeckt", at(1)).unwrap();
    repository.save(plain(&declined, version)).await.unwrap();
    assert_eq!(repository.find_by_order(declined.order_id()).await.unwrap(), Some(declined));
}

async fn moments_come_back_to_the_millisecond(repository: &dyn PaymentRepository) {
    // Finer than any store keeps; what is cut is cut before it is stored, the same way everywhere.
    let fine = Timestamp::parse("2027-01-15T08:00:00.123999Z").unwrap();
    let millisecond = std::time::Duration::from_millis(1);
    assert_eq!(fine.unix_ms(), start_of_time().unix_ms() + 123);
    let intent = opened(repository).await;
    let mut unknown = intent.clone();
    unknown.mark_unknown(fine, &SCHEDULE).unwrap();
    repository.save(plain(&unknown, intent.version())).await.unwrap();
    let due = fine.plus(SCHEDULE.first);
    assert_eq!(repository.find_next_due().await.unwrap(), Some(due));
    assert_eq!(repository.list_due(due.minus(millisecond), 9).await.unwrap(), []);
    assert_eq!(repository.list_due(due, 9).await.unwrap(), [Due::Charge(unknown.order_id())]);
    let mut change = capture(&unknown);
    change.entry.as_mut().unwrap().at = fine;
    repository.save(change.clone()).await.unwrap();
    assert_eq!(repository.list_ledger(unknown.order_id()).await.unwrap(), [change.entry.unwrap()]);
}

async fn a_stale_save_conflicts_and_keeps_nothing(repository: &dyn PaymentRepository) {
    let intent = opened(repository).await;
    let mut declined = intent.clone();
    declined.decline("no", at(1)).unwrap();
    repository.save(plain(&declined, intent.version())).await.unwrap();
    let refused = repository.save(capture(&intent)).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Conflict), "{refused:?}");
    assert_eq!(repository.find_by_order(intent.order_id()).await.unwrap(), Some(declined));
    assert_eq!(repository.list_ledger(intent.order_id()).await.unwrap(), []);
}

async fn of_many_saves_at_once_one_wins(repository: &dyn PaymentRepository) {
    let intent = opened(repository).await;
    let saves = (0..16).map(|_| repository.save(capture(&intent)));
    let results = futures::future::join_all(saves).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(RepositoryError::Conflict))));
    assert_eq!(repository.list_ledger(intent.order_id()).await.unwrap().len(), 1);
}

async fn a_second_capture_of_an_order_does_not_fit_into_the_ledger(repository: &dyn PaymentRepository) {
    let payment = captured(repository).await;
    let again = Change { entry: Some(capture_entry(&payment)), ..plain(&payment, payment.version()) };
    let refused = repository.save(again).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Conflict), "{refused:?}");
    assert_eq!(repository.list_ledger(payment.order_id()).await.unwrap().len(), 1);
}

async fn a_refund_has_one_ledger_entry(repository: &dyn PaymentRepository) {
    let mut payment = captured(repository).await;
    let refund_id = new_refund();
    let version = payment.version();
    payment.begin_refund(refund_id, usd(5), String::new(), at(2), &SCHEDULE).unwrap();
    payment.complete_refund(refund_id, at(3)).unwrap();
    let entry = || LedgerEntry {
        id: UuidV7Generator.new_uuid(),
        kind: LedgerKind::Refund(refund_id),
        amount: usd(5).money(),
        at: at(3),
        ..capture_entry(&payment)
    };
    let written = entry();
    let change = Change { entry: Some(written.clone()), ..plain(&payment, version) };
    repository.save(change).await.unwrap();
    assert_eq!(repository.list_ledger(payment.order_id()).await.unwrap()[1], written);
    let again = Change { entry: Some(entry()), ..plain(&payment, payment.version()) };
    let refused = repository.save(again).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Conflict), "{refused:?}");
}

async fn a_refund_id_belongs_to_one_order(repository: &dyn PaymentRepository) {
    let (mut first, mut second) = (captured(repository).await, captured(repository).await);
    let refund_id = new_refund();
    assert_eq!(repository.find_order_of_refund(refund_id).await.unwrap(), None);
    let version = first.version();
    first.begin_refund(refund_id, usd(5), String::new(), at(2), &SCHEDULE).unwrap();
    repository.save(plain(&first, version)).await.unwrap();
    assert_eq!(repository.find_order_of_refund(refund_id).await.unwrap(), Some(first.order_id()));
    let unchanged = second.clone();
    second.begin_refund(refund_id, usd(5), String::new(), at(2), &SCHEDULE).unwrap();
    let refused = repository.save(plain(&second, unchanged.version())).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Conflict), "{refused:?}");
    assert_eq!(repository.find_by_order(second.order_id()).await.unwrap(), Some(unchanged), "all or nothing");
}

async fn what_is_due_is_listed_longest_overdue_first(repository: &dyn PaymentRepository) {
    assert_eq!(repository.find_next_due().await.unwrap(), None);
    let intent = opened(repository).await;
    let mut unknown = opened(repository).await;
    let version = unknown.version();
    unknown.mark_unknown(at(0), &SCHEDULE).unwrap();
    repository.save(plain(&unknown, version)).await.unwrap();
    let mut refunding = captured(repository).await;
    let (version, refund_id) = (refunding.version(), new_refund());
    refunding.begin_refund(refund_id, usd(5), String::new(), at(2), &SCHEDULE).unwrap();
    repository.save(plain(&refunding, version)).await.unwrap();

    assert_eq!(repository.find_next_due().await.unwrap(), Some(at(1)));
    let due = async |seconds, limit| repository.list_due(at(seconds), limit).await.unwrap();
    assert_eq!(due(0, 9).await, []);
    let all =
        [Due::Charge(unknown.order_id()), Due::Charge(intent.order_id()), Due::Refund(refunding.order_id(), refund_id)];
    assert_eq!(due(1, 9).await, all[..1]);
    assert_eq!(due(7, 9).await, all);
    assert_eq!(due(7, 2).await, all[..2]);

    repository.save(capture(&unknown)).await.unwrap();
    repository.save(capture(&intent)).await.unwrap();
    assert_eq!(repository.find_next_due().await.unwrap(), Some(at(7)));
    let version = refunding.version();
    refunding.complete_refund(refund_id, at(8)).unwrap();
    repository.save(plain(&refunding, version)).await.unwrap();
    assert_eq!(due(99, 9).await, []);
    assert_eq!(repository.find_next_due().await.unwrap(), None);
}

/// Runs every case against `$fixture`, which gives what must be kept meanwhile, and the store.
macro_rules! payment_repository_contract {
    ($(#[$attribute:meta])* $adapter:ident, $fixture:expr) => {
        payment_repository_contract!(@cases [$(#[$attribute])*] $adapter, $fixture, [
            the_request_that_opened_a_payment_is_remembered,
            an_order_is_opened_once_and_later_ones_get_the_first,
            what_is_saved_is_found_again_exactly,
            moments_come_back_to_the_millisecond,
            a_stale_save_conflicts_and_keeps_nothing,
            of_many_saves_at_once_one_wins,
            a_second_capture_of_an_order_does_not_fit_into_the_ledger,
            a_refund_has_one_ledger_entry,
            a_refund_id_belongs_to_one_order,
            what_is_due_is_listed_longest_overdue_first,
        ]);
    };
    (@cases $attributes:tt $adapter:ident, $fixture:expr, [$($case:ident,)*]) => {
        mod $adapter {
            $(payment_repository_contract!(@case $attributes $case, $fixture);)*
        }
    };
    (@case [$(#[$attribute:meta])*] $case:ident, $fixture:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$attribute])*
        async fn $case() {
            let (_keep, repository) = $fixture.await;
            super::$case(&repository).await;
        }
    };
}

payment_repository_contract!(memory, async { ((), crate::memory::InMemoryPaymentRepository::default()) });

payment_repository_contract!(sqlite, async { super::sqlite_in_tempdir() });

#[cfg(feature = "postgres")]
payment_repository_contract!(
    #[ignore = "needs SOUK_TEST_POSTGRES_URL"]
    postgres,
    crate::postgres::repository_in_schema()
);

fn sqlite_in_tempdir() -> (TempDir, SqlitePaymentRepository) {
    let folder = TempDir::new().unwrap();
    let repository = SqlitePaymentRepository::open_file(&SqliteUrl::of(folder.path().join("payment.db"))).unwrap();
    (folder, repository)
}

#[tokio::test]
async fn the_ledger_of_a_sqlite_file_can_be_neither_changed_nor_emptied() {
    let (folder, repository) = sqlite_in_tempdir();
    let payment = captured(&repository).await;
    let connection = open_beside(&folder.path().join("payment.db"));
    for sql in ["UPDATE ledger SET amount_minor = 1", "DELETE FROM ledger"] {
        assert!(connection.execute(sql, []).unwrap_err().to_string().contains("append-only"), "{sql}");
    }
    assert_eq!(repository.list_ledger(payment.order_id()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    let (folder, repository) = sqlite_in_tempdir();
    let payment = captured(&repository).await;
    let connection = open_beside(&folder.path().join("payment.db"));
    connection.execute("UPDATE payments SET currency = 'pounds'", []).unwrap();
    let error = repository.find_by_order(payment.order_id()).await.unwrap_err();
    let expected = payment.order_id().to_string();
    assert!(matches!(&error, RepositoryError::Corrupt { table: "payments", row } if *row == expected), "{error:?}");
}
