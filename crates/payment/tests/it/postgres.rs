//! What only the PostgreSQL store does.

use std::time::Duration;

use contracts::grpc::payment::PaymentStatus;
use contracts::timestamp::ManualClock;
use messaging::outbox::OutboxSource as _;
use payment::adapters::persistence::postgres::PostgresPaymentRepository;
use payment::adapters::providers::sandbox_books::postgres::PostgresSandboxBooks;
use payment::application::ports::{PaymentRepository, RepositoryError};

use tempfile::TempDir;

use crate::grpc::{listen, next_event};
use crate::postgres_fixture::Schema;
use crate::repository_contract::{capture, captured, opened};
use crate::running_service::{Running, charge_request, settings};
use crate::world::start_of_time;

async fn open(url: &str) -> PostgresPaymentRepository {
    let repository = PostgresPaymentRepository::new(url).unwrap();
    repository.database().prepare().await.unwrap();
    repository
}

pub(crate) async fn repository_in_schema() -> (Schema, PostgresPaymentRepository) {
    let schema = Schema::create().await;
    let repository = open(&schema.url()).await;
    (schema, repository)
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn the_ledger_can_be_neither_changed_nor_emptied() {
    let (schema, repository) = repository_in_schema().await;
    let payment = captured(&repository).await;
    for sql in ["UPDATE ledger SET amount_minor = 1", "DELETE FROM ledger", "TRUNCATE ledger"] {
        let refused = schema.try_as_operator(sql).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
    }
    assert_eq!(repository.list_ledger(payment.order_id()).await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn a_row_that_makes_no_sense_is_named() {
    let (schema, repository) = repository_in_schema().await;
    let payment = captured(&repository).await;
    schema.as_operator("UPDATE payments SET currency = 'pounds'").await;
    let error = repository.find_by_order(payment.order_id()).await.unwrap_err();
    let expected = payment.order_id().to_string();
    assert!(matches!(&error, RepositoryError::Corrupt { table: "payments", row } if *row == expected), "{error:?}");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn an_outage_is_unavailable_and_a_capture_after_it_is_written_and_told_once() {
    let schema = Schema::create().await;
    let mut door = schema.door().await;
    let repository = open(&schema.url_through(&door)).await;
    let payment = opened(&repository).await;
    let change = capture(&payment);
    door.cut().await.unwrap();
    let refused = repository.save(change.clone()).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Unavailable(_)), "{refused:?}");
    door.restore().await.unwrap();
    repository.save(change.clone()).await.unwrap();
    let again = repository.save(change.clone()).await.unwrap_err();
    assert!(matches!(again, RepositoryError::Conflict), "{again:?}");
    assert_eq!(repository.list_ledger(payment.order_id()).await.unwrap(), [change.entry.unwrap()]);
    let told = repository.outbox().pending(10).await.unwrap();
    assert_eq!(told.iter().map(|(_, event)| event.id).collect::<Vec<_>>(), [change.event.unwrap().id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn the_service_is_not_ready_until_its_database_is_there_and_then_charges_and_tells() {
    let schema = Schema::create().await;
    let mut door = schema.door().await;
    door.cut().await.unwrap();
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path());
    settings.database_url = schema.url_through(&door);
    let running = Running::start_with(folder, ManualClock::starting_at(start_of_time()), settings).await;
    assert!(!running.health.ready().await.serving);
    let refused = running.charge(charge_request("card_ok")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    door.restore().await.unwrap();
    let ready = async {
        while !running.health.ready().await.serving {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ready).await.expect("it must become ready by itself");
    let mut told = listen(&running).await;
    let request = charge_request("card_ok");
    assert_eq!(running.charge(request.clone()).await.unwrap().status(), PaymentStatus::Captured);
    assert_eq!(next_event(told.as_mut()).await.subject, request.order_id);
}

/// At most one of two starters makes the schema, and both find it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn replicas_that_start_at_once_agree_on_the_schemas() {
    let schema = Schema::create().await;
    let starters = (0..4).map(|_| async {
        let books = PostgresSandboxBooks::new(&schema.url()).unwrap();
        books.database().prepare().await.unwrap();
        open(&schema.url()).await;
    });
    futures::future::join_all(starters).await;
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn a_health_check_says_why_the_server_can_not_be_reached_and_in_time() {
    let schema = Schema::create().await;
    let mut door = schema.door().await;
    let repository = open(&schema.url_through(&door)).await;
    door.cut().await.unwrap();
    let mut whys = Vec::new();
    while !whys.last().is_some_and(|why: &String| why.contains("refused")) {
        // As long as a health check may take.
        let pinged = tokio::time::timeout(Duration::from_secs(2), repository.database().ping()).await;
        whys.push(observability::logs::error_chain(&pinged.expect("it answers in time").unwrap_err()));
        assert!(whys.len() < 5, "{whys:?}");
    }
}
