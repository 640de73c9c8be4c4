//! `souk reconcile` on embedded stores: beside a running Souk, after it, and on stores that were tampered with.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rusqlite::Connection;
use serde_json::{Value, json};
use souk::reconcile::{Options, Report, Stores, Urls, audit_with, owed};

use crate::process::{PATIENCE, Souk, souk};

/// Every way to pay in the sandbox.
pub(crate) const METHODS: [&str; 6] = [
    "card_ok",
    "card_declined",
    "card_insufficient_funds",
    "card_slow",
    "card_timeout_captured",
    "card_timeout_declined",
];

pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `souk reconcile` with these settings.
pub(crate) fn reconcile(folder: &Path, settings: &[(&str, String)], args: &[&str]) -> Run {
    let mut command = souk();
    command.envs(settings.iter().map(|(key, value)| (key, value)));
    command.arg("reconcile").arg("--data-dir").arg(folder).args(args);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Places an order with each method, one that can't be had, and refunds and cancels some; the ids of those that were placed.
pub(crate) async fn shop(souk: &Souk) -> Vec<String> {
    let client = reqwest::Client::new();
    let token = souk.register(&client, "reconciled").await;
    let order = |method: &'static str, quantity: u32| {
        let body = json!({ "items": [{ "sku": "TEA-MINT-100", "quantity": quantity }, { "sku": "CER-BOWL-18", "quantity": 1 }],
            "payment_method": method });
        let request = client.post(souk.url("/api/orders")).bearer_auth(&token).json(&body);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let mut orders = join_all(METHODS.map(|method| order(method, 2))).await;
    orders.push(order("card_ok", 1).await);
    orders.push(order("card_ok", 1).await);
    order("card_ok", 1000).await;
    let placed: Vec<String> = orders.iter().filter_map(|order| Some(order["id"].as_str()?.to_owned())).collect();
    let admin = souk.log_in(&client, "admin@souk.test", "souk-demo-1").await;
    let act = |id: String, verb: &'static str, token: String| {
        let request = client.post(souk.url(&format!("/api/orders/{id}/{verb}"))).bearer_auth(token);
        async move { request.json(&json!({ "reason": "changed my mind" })).send().await.unwrap().status() }
    };
    let [.., refunded, given_up] = placed.as_slice() else { panic!("too few orders were placed: {orders:?}") };
    assert!(act(refunded.clone(), "refund", admin).await.is_success());
    assert!(act(given_up.clone(), "cancel", token.clone()).await.is_success());
    placed
}

/// Waits until nothing is under way, by the stores' own word.
pub(crate) async fn settle(urls: &Urls) {
    let started = Instant::now();
    loop {
        let owed = owed(urls).await.unwrap();
        if owed.is_nothing()
            || (owed.undelivered.is_none() && owed.open_sagas + owed.unpublished == 0 && owed.undecided_payments == 0)
        {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "not settled: {owed:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::TempDir::new().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

#[tokio::test]
async fn a_souk_that_runs_or_has_stopped_agrees_with_itself_and_what_is_planted_is_named() {
    let folder = tempfile::TempDir::new().unwrap();
    let souk = Souk::start(folder.path()).await;
    let placed = shop(&souk).await;
    let urls = Urls::of_folder(folder.path());
    settle(&urls).await;
    let run = reconcile(folder.path(), &[], &["--grace", "0"]);
    assert_eq!(run.code, Some(0), "beside a running Souk: {}{}", run.out, run.err);
    assert!(run.out.contains("nothing disagrees: 9 orders (0 in progress"), "{}", run.out);
    souk.stop().await;
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "db"))
            .collect();
        files.sort();
        files.into_iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    let before = files();
    let run = reconcile(folder.path(), &[], &["--grace", "0", "--json"]);
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert_eq!(serde_json::from_str::<Value>(&run.out).unwrap()["orders"], 9);
    assert!(before == files(), "an audit changes nothing");

    for (code, store, sql) in [
        ("order-not-ended", "orders", "UPDATE orders SET status = 'pending' WHERE status = 'confirmed'"),
        ("captured-not-confirmed", "orders", "UPDATE orders SET status = 'cancelled' WHERE status = 'confirmed'"),
        ("captured-not-confirmed", "orders", "PRAGMA foreign_keys = OFF; DELETE FROM orders WHERE status = 'confirmed'"),
        ("order-without-saga", "orders", "DELETE FROM sagas"),
        ("stuck-saga", "orders", "UPDATE sagas SET state = 'charging', due_at = 1"),
        ("versions-differ", "orders", "UPDATE orders SET version = 7"),
        ("versions-differ", "orders", "PRAGMA foreign_keys = OFF; DELETE FROM events WHERE type = 'order.created'"),
        ("confirmed-not-paid", "payment", "UPDATE payments SET status = 'declined' WHERE status = 'captured'"),
        ("refunded-not-given-back", "payment", "UPDATE payments SET status = 'captured' WHERE status = 'refunded'"),
        ("captured-twice", "payment", "DROP INDEX ledger_one_capture_per_order;
            INSERT INTO ledger SELECT 'x' || id, order_id, kind, refund_id, amount_minor, currency, at FROM ledger WHERE kind = 'capture'"),
        ("ledger-differs", "payment", "DROP TRIGGER ledger_is_not_deleted; DELETE FROM ledger WHERE kind = 'refund'"),
        ("amount-differs", "payment", "UPDATE payments SET amount_minor = amount_minor + 1"),
        ("stuck-payment", "payment", "UPDATE payments SET status = 'unknown', next_check_at = 1, updated_at = 1"),
        ("provider-differs", "sandbox", "DELETE FROM refunds"),
        ("provider-differs", "sandbox", "UPDATE charges SET outcome = 'captured', decline_reason = NULL"),
        ("confirmed-without-goods", "inventory", "UPDATE reservations SET status = 'pinned' WHERE status = 'committed'"),
        ("reservation-damaged", "inventory", "UPDATE reservations SET lines = 'x' WHERE status = 'committed'"),
        ("goods-differ", "inventory", "UPDATE reservations SET lines = replace(lines, 'TEA-MINT-100', 'LAMP-MOSAIC-05')"),
        ("goods-held", "inventory", "UPDATE reservations SET status = 'pinned', release_cause = NULL WHERE status = 'released'"),
        ("goods-not-returned", "inventory", "UPDATE reservations SET status = 'committed' WHERE status = 'returned'"),
        ("stock-differs", "inventory", "UPDATE stock SET reserved = 1 WHERE sku = 'TEA-MINT-100'"),
        ("stock-differs", "inventory", "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'TEA-MINT-100'"),
        ("confirmation-not-told", "notification", "DELETE FROM notifications WHERE kind = 'order_confirmed'"),
        ("confirmation-not-told", "notification", "UPDATE inbox_entries SET data = '{}' WHERE event = 'notification'"),
        ("told-not-confirmed", "notification", "UPDATE notifications SET kind = 'order_confirmed' WHERE kind = 'order_rejected'"),
        ("inbox-gaps", "notification", "DELETE FROM inbox_entries WHERE seq = 1"),
        ("inbox-differs", "notification", "UPDATE inbox_entries SET event = 'order_updated' WHERE event = 'notification'"),
        ("customer-unknown", "users", "PRAGMA foreign_keys = OFF; DELETE FROM users"),
        ("outbox-waits", "orders", "INSERT INTO outbox SELECT position FROM events;
            UPDATE events SET body = json_set(body, '$.time', '2020-01-01T00:00:00.000Z')"),
        ("dead-letters", "broker", "INSERT INTO messages (queue, body, available_at, last_error) VALUES ('a.dead', '', 0, 'x')"),
    ] {
        let tampered = copy(folder.path());
        Connection::open(tampered.path().join(format!("{store}.db"))).unwrap().execute_batch(sql).unwrap();
        let report = look(&Urls::of_folder(tampered.path())).await;
        assert!(report.findings.iter().any(|finding| finding.code == code), "{sql}: {report}");
        if (code, store) == ("dead-letters", "broker") {
            let run = reconcile(tampered.path(), &[], &["--grace", "0"]);
            assert_eq!(run.code, Some(1), "{}", run.err);
            assert!(run.out.contains("dead-letters") && run.err.contains("disagree"), "{}{}", run.out, run.err);
        }
    }

    let run = reconcile(folder.path(), &[], &["--order", &placed[0]]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    for line in ["orders ", "saga          done", "inventory     committed", "provider      captured", "in the inbox"] {
        assert!(run.out.contains(line), "{line}: {}", run.out);
    }
    let run = reconcile(folder.path(), &[], &["--order", "00000000-0000-7000-8000-000000000000"]);
    assert!(run.code == Some(1) && run.err.contains("no store knows the order"), "{}", run.err);
    let run = reconcile(folder.path(), &[], &["--grace", "0", "--since", "1s"]);
    assert!(run.code == Some(0) && run.out.contains(": 0 orders"), "{}{}", run.out, run.err);
    assert_eq!(reconcile(folder.path(), &[], &["--order", "7"]).code, Some(2));
    assert_eq!(reconcile(folder.path(), &[], &["--since", "yesterday"]).code, Some(2));

    std::fs::remove_file(folder.path().join("payment.db")).unwrap();
    std::fs::write(folder.path().join("users.db"), "this is no database at all, and long enough to tell").unwrap();
    let run = reconcile(folder.path(), &[], &[]);
    assert_eq!(run.code, Some(1));
    for part in ["the payment store can't be read", "payment.db", "the users store can't be read", "not a database"] {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
    assert!(!folder.path().join("payment.db").exists(), "an audit makes no store");
}

async fn look(urls: &Urls) -> Report {
    let options =
        Options { grace: Duration::ZERO, recheck_wait: Duration::from_millis(1), page: 3, ..Options::default() };
    audit_with(urls, &options).await.unwrap()
}

#[tokio::test]
async fn a_busy_souk_gives_no_false_alarm() {
    let folder = tempfile::TempDir::new().unwrap();
    let souk = Souk::start(folder.path()).await;
    let urls = Urls::of_folder(folder.path());
    // Without grace: only what is in progress by the stores' own word is left alone.
    busy(&souk, &urls, Duration::ZERO, Duration::ZERO).await;
    settle(&urls).await;
    let report = look(&urls).await;
    assert!(report.is_clean(), "{report}");
    let stores = Stores::open(&urls).await.unwrap();
    assert_eq!(stores.statuses().await.unwrap().len() as u64, report.orders);
    assert_eq!(stores.orders_by_key().await.unwrap().len() as u64, report.orders);
}

/// Audits while customers buy, each with a pause between two orders, until many orders were judged meanwhile; fails at the first
/// finding.
pub(crate) async fn busy(souk: &Souk, urls: &Urls, pause: Duration, grace: Duration) {
    let client = reqwest::Client::new();
    let token = souk.register(&client, "busy").await;
    let stop = Arc::new(AtomicBool::new(false));
    let shoppers: Vec<_> = (0..3)
        .map(|shopper| {
            let (client, token, stop) = (client.clone(), token.clone(), Arc::clone(&stop));
            let url = souk.url("/api/orders");
            tokio::spawn(async move {
                for placed in 0_usize.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let method = METHODS[placed % 2];
                    let body = json!({ "items": [{ "sku": "TEA-MINT-100", "quantity": 1 }], "payment_method": method });
                    let key = format!("shopper-{shopper}-{placed}");
                    let request = client.post(&url).bearer_auth(&token).header("Idempotency-Key", key).json(&body);
                    request.send().await.unwrap();
                    tokio::time::sleep(pause).await;
                }
            })
        })
        .collect();
    let options = Options { grace, page: 20, ..Options::default() };
    let started = Instant::now();
    for audits in 1.. {
        let report = audit_with(urls, &options).await.unwrap();
        assert!(report.is_clean(), "{report}");
        if audits >= 6 && report.orders - report.in_progress >= 30 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "too few orders come to an end: {report}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    join_all(shoppers).await.into_iter().for_each(Result::unwrap);
}
