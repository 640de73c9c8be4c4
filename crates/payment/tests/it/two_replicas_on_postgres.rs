//! Two replicas of the service on one database: nothing happens twice.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use contracts::grpc::payment::PaymentStatus;
use contracts::timestamp::ManualClock;
use futures::future::join_all;
use messaging::postgres::sql::{Row as _, query, query_scalar};
use tempfile::TempDir;

use crate::grpc::listen;
use crate::postgres_fixture::Schema;
use crate::running_service::{Running, charge_request, refund_request, settings};
use crate::world::{DEADLINE, TIMING, start_of_time};

const METHODS: [&str; 4] = ["card_ok", "card_timeout_captured", "card_declined", "card_timeout_declined"];
const ORDERS: usize = 16;

async fn two_replicas(schema: &Schema) -> (Running, Running) {
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path());
    settings.database_url = schema.url();
    let one = Running::start_with(folder, ManualClock::starting_at(start_of_time()), settings.clone()).await;
    let other = one.start_beside(settings).await;
    (one, other)
}

/// The number that a query of the auditor gives.
async fn count(schema: &Schema, sql: &'static str) -> i64 {
    query_scalar(sql).fetch_one(&mut schema.connect().await).await.unwrap()
}

async fn until(schema: &Schema, sql: &'static str, wanted: i64) {
    let reached = async {
        while count(schema, sql).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reached = tokio::time::timeout(DEADLINE, reached).await;
    assert!(reached.is_ok(), "{sql}: {} instead of {wanted}", count(schema, sql).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn an_order_is_charged_once_and_a_refund_given_once_whichever_replicas_are_asked() {
    let schema = Schema::create().await;
    let (one, other) = two_replicas(&schema).await;
    let mut told = listen(&one).await;
    let charges: Vec<_> = (0..ORDERS).map(|n| charge_request(METHODS[n % METHODS.len()])).collect();
    // Each is asked of both at once; the silent cards are left to the two reconcilers, which race for them.
    let asked = charges.iter().flat_map(|request| [one.charge(request.clone()), other.charge(request.clone())]);
    for answer in join_all(asked).await {
        answer.unwrap();
    }
    one.clock.advance(TIMING.late_settlement);
    until(&schema, "SELECT count(*) FROM payments WHERE status IN ('pending', 'unknown')", 0).await;

    let captured: Vec<_> = charges.iter().filter(|r| r.method.ends_with("captured") || r.method == "card_ok").collect();
    let refunds: Vec<_> = captured.iter().map(|charge| refund_request(&charge.order_id, 1000)).collect();
    for answer in join_all(refunds.iter().flat_map(|r| [one.refund(r.clone()), other.refund(r.clone())])).await {
        // One of two at once may be asked to come again.
        assert!(
            answer.as_ref().map_or_else(|status| status.code() == tonic::Code::Unavailable, |_| true),
            "{answer:?}"
        );
    }
    until(&schema, "SELECT count(*) FROM refunds WHERE next_attempt_at IS NOT NULL", 0).await;

    let half = (ORDERS / 2) as i64;
    for (sql, wanted) in [
        ("SELECT count(*) FROM ledger WHERE kind = 'capture'", half),
        ("SELECT count(*) FROM ledger WHERE kind = 'refund'", half),
        ("SELECT count(*) FROM events", 3 * half),
        ("SELECT count(*) FROM payments WHERE status = 'declined'", half),
    ] {
        assert_eq!(count(&schema, sql).await, wanted, "{sql}");
    }
    // The provider's own word.
    let books = format!("{}_sandbox", schema.url().rsplit_once("search_path%3D").unwrap().1);
    let given: Vec<(i64, i64)> = {
        let sql = format!(
            "SELECT (SELECT count(*) FROM {books}.charges), (SELECT count(*) FROM {books}.refunds WHERE amount_minor = 1000)"
        );
        let sql = messaging::postgres::sql::AssertSqlSafe(sql);
        let rows = query(sql).fetch_all(&mut schema.connect().await).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    assert_eq!(given, [(ORDERS as i64, half)]);

    // Two relays share the outbox: everything is told, per order in order, and nothing twice while nobody dies.
    until(&schema, "SELECT count(*) FROM outbox", 0).await;
    let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut ids = HashSet::new();
    while ids.len() < 3 * half as usize {
        let batch = tokio::time::timeout(DEADLINE, told.next()).await.expect("all are told").unwrap();
        for delivery in &batch {
            let event = delivery.event.as_ref().unwrap();
            assert!(ids.insert(event.id), "told twice: {event:?}");
            versions.entry(event.subject.clone()).or_default().push(event.aggregateversion);
        }
        told.settle(batch.into_iter().map(|delivery| (delivery, messaging::Verdict::Ack)).collect()).await.unwrap();
    }
    assert!(versions.values().all(|versions| versions.is_sorted()), "{versions:?}");
    assert_eq!(one.get(&charges[0].order_id).await.unwrap().status(), PaymentStatus::PartiallyRefunded);
}
