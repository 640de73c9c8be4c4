//! What every payment provider must do; each case once, a named test for each adapter.

use std::sync::Arc;
use std::time::Duration;

use contracts::ids::UuidV7Generator;
use contracts::timestamp::ManualClock;
use payment::adapters::providers::sandbox::SandboxProvider;
use payment::adapters::providers::sandbox_books::SandboxBooks;
#[cfg(feature = "postgres")]
use payment::adapters::providers::sandbox_books::postgres::PostgresSandboxBooks;
use payment::adapters::providers::sandbox_books::sqlite::SqliteSandboxBooks;
use payment::application::ports::{ChargeInstruction, ChargeOutcome, FoundCharge, PaymentProvider, ProviderError};
use payment::domain::{ProviderReference, RefundInstruction};
use sqlite::SqliteUrl;
use tempfile::TempDir;

use crate::world::{TIMING, new_order, new_refund, start_of_time, usd};

/// A provider and what it calls a good card.
struct Fixture<P> {
    provider: P,
    good_card: &'static str,
    other_good_card: &'static str,
    bad_card: &'static str,
}

impl<P: PaymentProvider> Fixture<P> {
    fn instruction(&self) -> ChargeInstruction {
        ChargeInstruction {
            idempotency_key: new_order(),
            amount: usd(100).money(),
            method: self.good_card.parse().unwrap(),
        }
    }

    async fn captured(&self) -> ProviderReference {
        reference(self.provider.charge(self.instruction()).await.unwrap())
    }
}

fn reference(outcome: ChargeOutcome) -> ProviderReference {
    match outcome {
        ChargeOutcome::Captured { reference } => reference,
        ChargeOutcome::Declined { reason } => panic!("declined: {reason}"),
    }
}

async fn the_same_key_is_answered_alike_and_found<P: PaymentProvider>(fixture: Fixture<P>) {
    let instruction = fixture.instruction();
    let key = instruction.idempotency_key;
    assert_eq!(fixture.provider.find_charge(key).await.unwrap(), None);
    let attempts = (0..8).map(|_| fixture.provider.charge(instruction.clone()));
    let outcomes: Vec<_> = futures::future::join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    assert_eq!(fixture.provider.find_charge(key).await.unwrap(), Some(FoundCharge::Settled(outcomes[0].clone())));
    assert_ne!(fixture.captured().await, reference(outcomes[0].clone()), "another key is another charge");
}

async fn a_decline_is_an_outcome_with_a_reason<P: PaymentProvider>(fixture: Fixture<P>) {
    let instruction = ChargeInstruction { method: fixture.bad_card.parse().unwrap(), ..fixture.instruction() };
    let outcome = fixture.provider.charge(instruction.clone()).await.unwrap();
    assert!(matches!(&outcome, ChargeOutcome::Declined { reason } if !reason.is_empty()), "{outcome:?}");
    assert_eq!(fixture.provider.charge(instruction).await.unwrap(), outcome);
}

async fn a_key_used_for_something_else_is_refused<P: PaymentProvider>(fixture: Fixture<P>) {
    let first = fixture.instruction();
    let outcome = fixture.provider.charge(first.clone()).await.unwrap();
    let others = [
        ChargeInstruction { amount: usd(101).money(), ..first.clone() },
        ChargeInstruction { method: fixture.other_good_card.parse().unwrap(), ..first.clone() },
    ];
    for other in others {
        let refused = fixture.provider.charge(other).await.unwrap_err();
        assert!(matches!(refused, ProviderError::Refused(_)), "{refused:?}");
    }
    assert_eq!(fixture.provider.charge(first).await.unwrap(), outcome);
}

async fn a_refund_is_given_once_and_never_beyond_the_charge<P: PaymentProvider>(fixture: Fixture<P>) {
    let reference = fixture.captured().await;
    let refund =
        |minor| RefundInstruction { refund_id: new_refund(), reference: reference.clone(), amount: usd(minor).money() };
    let first = refund(60);
    for _ in 0..3 {
        fixture.provider.refund(first.clone()).await.unwrap();
    }
    fixture.provider.refund(refund(40)).await.unwrap();
    let refused = [
        refund(1),
        RefundInstruction { amount: usd(59).money(), ..first.clone() },
        RefundInstruction { reference: fixture.captured().await, ..first },
        RefundInstruction { reference: "ch_of_nobody".parse().unwrap(), ..refund(1) },
    ];
    for instruction in refused {
        let refused = fixture.provider.refund(instruction).await.unwrap_err();
        assert!(matches!(refused, ProviderError::Refused(_)), "{refused:?}");
    }
}

async fn an_unknown_method_is_told_apart_without_being_repeated<P: PaymentProvider>(fixture: Fixture<P>) {
    for known in [fixture.good_card, fixture.other_good_card, fixture.bad_card] {
        assert_eq!(fixture.provider.check_method(&known.parse().unwrap()), Ok(()));
    }
    let unknown = fixture.provider.check_method(&"4242424242424242".parse().unwrap()).unwrap_err();
    assert!(unknown.to_string().contains(fixture.good_card) && !unknown.to_string().contains("4242"), "{unknown}");
}

async fn of_many_refunds_at_once_none_goes_beyond_the_charge<P: PaymentProvider>(fixture: Fixture<P>) {
    let reference = fixture.captured().await;
    let refunds = (0..8).map(|_| RefundInstruction {
        refund_id: new_refund(),
        reference: reference.clone(),
        amount: usd(30).money(),
    });
    let results = futures::future::join_all(refunds.map(|refund| fixture.provider.refund(refund))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
    assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(ProviderError::Refused(_)))), "{results:?}");
}

macro_rules! payment_provider_contract {
    ($(#[$attribute:meta])* $adapter:ident, $fixture:expr) => {
        payment_provider_contract!(@cases [$(#[$attribute])*] $adapter, $fixture, [
            the_same_key_is_answered_alike_and_found,
            a_decline_is_an_outcome_with_a_reason,
            a_key_used_for_something_else_is_refused,
            a_refund_is_given_once_and_never_beyond_the_charge,
            of_many_refunds_at_once_none_goes_beyond_the_charge,
            an_unknown_method_is_told_apart_without_being_repeated,
        ]);
    };
    (@cases $attributes:tt $adapter:ident, $fixture:expr, [$($case:ident,)*]) => {
        mod $adapter {
            $(payment_provider_contract!(@case $attributes $case, $fixture);)*
        }
    };
    (@case [$(#[$attribute:meta])*] $case:ident, $fixture:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$attribute])*
        async fn $case() {
            let (_keep, fixture) = $fixture.await;
            super::$case(fixture).await;
        }
    };
}

payment_provider_contract!(sandbox, async { super::sandbox_in_tempdir() });

#[cfg(feature = "postgres")]
payment_provider_contract!(
    #[ignore = "needs SOUK_TEST_POSTGRES_URL"]
    sandbox_on_postgres,
    super::sandbox_in_schema()
);

fn fixture(provider: SandboxProvider) -> Fixture<SandboxProvider> {
    let (good_card, other_good_card, bad_card) = ("card_ok", "card_slow", "card_declined");
    Fixture { provider, good_card, other_good_card, bad_card }
}

fn sandbox_in_tempdir() -> (TempDir, Fixture<SandboxProvider>) {
    let folder = TempDir::new().unwrap();
    let provider = open_sandbox(&folder, &ManualClock::starting_at(start_of_time()));
    (folder, fixture(provider))
}

fn open_sandbox(folder: &TempDir, clock: &ManualClock) -> SandboxProvider {
    let books = SqliteSandboxBooks::open(&SqliteUrl::of(folder.path().join("sandbox.db"))).unwrap();
    sandbox(Arc::new(books), clock)
}

fn sandbox(books: Arc<dyn SandboxBooks>, clock: &ManualClock) -> SandboxProvider {
    SandboxProvider::new(books, Arc::new(clock.clone()), Arc::new(UuidV7Generator), TIMING)
}

#[cfg(feature = "postgres")]
async fn sandbox_in_schema() -> (crate::postgres_fixture::Schema, Fixture<SandboxProvider>) {
    let schema = crate::postgres_fixture::Schema::create().await;
    let books = PostgresSandboxBooks::new(&schema.url()).unwrap();
    books.database().prepare().await.unwrap();
    (schema, fixture(sandbox(Arc::new(books), &ManualClock::starting_at(start_of_time()))))
}

#[tokio::test]
async fn the_sandbox_settles_a_silent_charge_after_three_seconds_also_when_started_anew() {
    let (folder, clock) = (TempDir::new().unwrap(), ManualClock::starting_at(start_of_time()));
    for method in ["card_timeout_captured", "card_timeout_declined"] {
        let sandbox = open_sandbox(&folder, &clock);
        let instruction = ChargeInstruction {
            idempotency_key: new_order(),
            amount: usd(100).money(),
            method: method.parse().unwrap(),
        };
        let key = instruction.idempotency_key;
        let silent = sandbox.charge(instruction.clone()).await.unwrap_err();
        assert!(matches!(silent, ProviderError::Timeout), "{silent:?}");
        clock.advance(Duration::from_millis(2999));
        assert_eq!(sandbox.find_charge(key).await.unwrap(), Some(FoundCharge::Processing));
        drop(sandbox);
        clock.advance(Duration::from_millis(1));
        let sandbox = open_sandbox(&folder, &clock);
        let Some(FoundCharge::Settled(outcome)) = sandbox.find_charge(key).await.unwrap() else {
            panic!("not settled");
        };
        assert_eq!(matches!(outcome, ChargeOutcome::Captured { .. }), method.ends_with("captured"));
        assert_eq!(sandbox.charge(instruction).await.unwrap(), outcome);
    }
}
