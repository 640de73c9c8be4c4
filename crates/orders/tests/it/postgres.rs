//! What only the PostgreSQL store does.

use std::sync::Arc;
use std::time::Duration;

use contracts::ids::UuidV7Generator;
use messaging::outbox::OutboxSource as _;
use observability::Health;
use orders::adapters::persistence::postgres::PostgresOrderRepository;
use orders::application::ports::{OrderRepository, RepositoryError};
use service_kit::grpc::local;
use service_kit::grpc::server::Listener;
use service_kit::host::Host;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::built;
use crate::contract::{confirmed, placed};
use crate::helpers::start_of_time;
use crate::postgres_fixture::Schema;

async fn open(url: &str) -> PostgresOrderRepository {
    let repository = PostgresOrderRepository::new(url, Arc::new(UuidV7Generator)).unwrap();
    repository.database().prepare().await.unwrap();
    repository
}

pub(crate) async fn repository_in_schema() -> (Schema, PostgresOrderRepository) {
    let schema = Schema::create().await;
    let repository = open(&schema.url()).await;
    (schema, repository)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn two_replicas_claim_each_due_saga_once_and_leave_leases_to_time() {
    let schema = Schema::create().await;
    let (first, second) = (open(&schema.url()).await, open(&schema.url()).await);
    for _ in 0..60 {
        placed(&first, 1).await;
    }
    let due = start_of_time().plus(Duration::from_secs(10));
    assert_eq!(second.release_leases_of_the_dead(start_of_time()).await.unwrap(), 0);
    let claims = (0..12).map(|n| {
        let repository = if n % 2 == 0 { first.clone() } else { second.clone() };
        async move { repository.claim_due(due, "x", due.plus(Duration::from_secs(10)), 10).await.unwrap() }
    });
    let mut claimed: Vec<_> =
        futures::future::join_all(claims).await.into_iter().flatten().map(|(o, _)| o.id()).collect();
    let total = claimed.len();
    claimed.sort();
    claimed.dedup();
    assert_eq!((total, claimed.len()), (60, 60), "each exactly once");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn an_outage_is_refused_soon_as_unavailable_and_over_when_the_server_is_back() {
    let schema = Schema::create().await;
    let mut door = schema.door().await;
    let repository = open(&schema.url_through(&door)).await;
    let (mut order, mut saga) = placed(&repository, 1).await;
    let outbox = repository.outbox();
    let pending = outbox.pending(10).await.unwrap();
    assert_eq!(pending.len(), 1);
    door.cut().await.unwrap();
    let change = confirmed(&mut order, &mut saga);
    let began = std::time::Instant::now();
    for refused in [
        repository.save(change.clone()).await.unwrap_err(),
        repository.find(order.id()).await.unwrap_err(),
        repository.claim_due(start_of_time(), "x", start_of_time(), 1).await.unwrap_err(),
    ] {
        assert!(matches!(refused, RepositoryError::Unavailable(_)), "{refused:?}");
    }
    assert!(outbox.pending(10).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(16), "{:?}", began.elapsed());
    door.restore().await.unwrap();
    repository.save(change).await.unwrap();
    assert_eq!(repository.find_with_saga(order.id()).await.unwrap(), Some((order, saga)));
    let again = outbox.pending(10).await.unwrap();
    let ids: Vec<_> = again.iter().map(|(_, event)| event.id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], pending[0].1.id, "what was taken before the outage comes again, first");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn rows_that_make_no_sense_are_named() {
    let (schema, repository) = repository_in_schema().await;
    let (order, _) = placed(&repository, 1).await;
    schema.as_operator("UPDATE sagas SET state = 'lost'").await;
    let error = repository.find_with_saga(order.id()).await.unwrap_err();
    assert!(
        matches!(&error, RepositoryError::Corrupt { table: "sagas", row } if *row == order.id().to_string()),
        "{error:?}"
    );
    schema.as_operator("UPDATE orders SET body = '{}'; UPDATE events SET body = '{}'").await;
    let error = repository.find(order.id()).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Corrupt { table: "orders", .. }), "{error:?}");
    let error = repository.timeline(order.id()).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Corrupt { table: "events", .. }), "{error:?}");
    schema.as_operator("ALTER TABLE orders ALTER COLUMN body TYPE bytea USING body::bytea").await;
    let error = open(&schema.url()).await.find(order.id()).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Corrupt { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn the_service_is_not_ready_until_its_database_is_there() {
    let schema = Schema::create().await;
    let mut door = schema.door().await;
    door.cut().await.unwrap();
    let (folder, stop, health) = (TempDir::new().unwrap(), CancellationToken::new(), Health::default());
    let service = built(&folder, &schema.url_through(&door), &stop).await.unwrap();
    let host = Host::new(stop.clone(), health.clone());
    host.start(service, Listener::Local(local::pair().1), "");
    assert!(!health.ready().await.serving);
    door.restore().await.unwrap();
    let ready = async {
        while !health.ready().await.serving {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ready).await.expect("it must become ready by itself");
    stop.cancel();
    host.finish().await;
}
