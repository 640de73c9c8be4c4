//! What only the PostgreSQL store does.

use messaging::outbox::OutboxSource as _;
use payment::adapters::persistence::postgres::PostgresPaymentRepository;
use payment::application::ports::{PaymentRepository, RepositoryError};

use crate::postgres_fixture::{Door, Schema};
use crate::repository_contract::{capture, captured, opened};

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
    let mut door = Door::before(&schema).await;
    let repository = open(&schema.url_through(&door)).await;
    let payment = opened(&repository).await;
    let change = capture(&payment);
    door.shut();
    let refused = repository.save(change.clone()).await.unwrap_err();
    assert!(matches!(refused, RepositoryError::Unavailable(_)), "{refused:?}");
    door.open().await;
    repository.save(change.clone()).await.unwrap();
    let again = repository.save(change.clone()).await.unwrap_err();
    assert!(matches!(again, RepositoryError::Conflict), "{again:?}");
    assert_eq!(repository.list_ledger(payment.order_id()).await.unwrap(), [change.entry.unwrap()]);
    let told = repository.outbox().pending(10).await.unwrap();
    assert_eq!(told.iter().map(|(_, event)| event.id).collect::<Vec<_>>(), [change.event.unwrap().id]);
}
