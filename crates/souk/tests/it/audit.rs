//! Reads the stores themselves, not the services' word, and says which invariants of ARCHITECTURE.md do not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

/// The stores of a data folder, read-only, whether a Souk runs on it or not.
pub(crate) struct Stores {
    folder: PathBuf,
}

/// A confirmed order's end, by id.
pub(crate) type Statuses = BTreeMap<String, String>;

impl Stores {
    pub(crate) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn open(&self, name: &str) -> Connection {
        let path = self.folder.join(format!("{name}.db"));
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        connection
    }

    fn rows<T>(&self, store: &str, sql: &str, map: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let connection = self.open(store);
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| map(row)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn texts(&self, store: &str, sql: &str) -> Vec<String> {
        self.rows(store, sql, |row| row.get(0))
    }

    fn count(&self, store: &str, sql: &str) -> i64 {
        self.rows(store, sql, |row| row.get(0))[0]
    }

    /// Whether nothing is owed any more: no checkout, payment, event or message waits.
    pub(crate) fn settled(&self) -> bool {
        self.count("orders", "SELECT count(*) FROM sagas WHERE state <> 'done'") == 0
            && self.count("payment", "SELECT count(*) FROM payments WHERE next_check_at IS NOT NULL") == 0
            && self.count("payment", "SELECT count(*) FROM refunds WHERE next_attempt_at IS NOT NULL") == 0
            && ["users", "orders", "inventory", "payment", "notification"]
                .iter()
                .all(|store| self.count(store, "SELECT count(*) FROM outbox") == 0)
            && self.count("broker", "SELECT count(*) FROM messages WHERE queue NOT LIKE '%.dead'") == 0
    }

    /// What every order has come to.
    pub(crate) fn statuses(&self) -> Statuses {
        self.rows("orders", "SELECT id, status FROM orders", |row| Ok((row.get(0)?, row.get(1)?))).into_iter().collect()
    }

    /// The order that each idempotency key made.
    pub(crate) fn orders_by_key(&self) -> BTreeMap<String, String> {
        self.rows("orders", "SELECT key, order_id FROM idempotency_keys", |row| Ok((row.get(0)?, row.get(1)?)))
            .into_iter()
            .collect()
    }

    /// Everything that does not add up; call it when settled.
    pub(crate) fn disagreements(&self) -> Vec<String> {
        let mut found = Vec::new();
        let with_status = |wanted: &[&str]| -> BTreeSet<String> {
            self.statuses()
                .into_iter()
                .filter(|(_, status)| wanted.contains(&status.as_str()))
                .map(|(id, _)| id)
                .collect()
        };
        let confirmed = with_status(&["confirmed", "shipped", "delivered"]);
        let ended = with_status(&["confirmed", "shipped", "delivered", "rejected", "cancelled", "refunded"]);
        let set = |store: &str, sql: &str| -> BTreeSet<String> { self.texts(store, sql).into_iter().collect() };
        let mut equal = |what: &str, left: &BTreeSet<String>, right: &BTreeSet<String>| {
            if left != right {
                let odd: Vec<_> = left.symmetric_difference(right).take(5).collect();
                found.push(format!("{what}: {} and {} differ, such as {odd:?}", left.len(), right.len()));
            }
        };

        equal("every order has ended", &self.statuses().into_keys().collect(), &ended);
        let kept = set("payment", "SELECT order_id FROM payments WHERE status = 'captured'");
        equal("confirmed orders and captured payments", &confirmed, &kept);
        let at_provider = "SELECT idempotency_key FROM charges WHERE outcome = 'captured'
             AND reference NOT IN (SELECT reference FROM refunds)";
        equal("confirmed orders and money kept by the provider", &confirmed, &set("sandbox", at_provider));
        let committed = set("inventory", "SELECT order_id FROM reservations WHERE status = 'committed'");
        equal("confirmed orders and committed reservations", &confirmed, &committed);
        let notified = "SELECT order_id FROM notifications WHERE kind = 'order_confirmed'";
        let ever_confirmed = "SELECT subject FROM events WHERE type = 'order.confirmed'";
        equal("orders ever confirmed and notified", &set("orders", ever_confirmed), &set("notification", notified));

        for (what, store, sql) in [
            (
                "a card was charged twice",
                "payment",
                "SELECT order_id FROM ledger WHERE kind = 'capture' GROUP BY order_id HAVING count(*) > 1",
            ),
            (
                "an order was notified of its confirmation twice",
                "notification",
                "SELECT order_id FROM notifications WHERE kind = 'order_confirmed' GROUP BY order_id HAVING count(*) > 1",
            ),
            (
                "a confirmation stands in an inbox more or less than once",
                "notification",
                "SELECT n.order_id FROM notifications n LEFT JOIN inbox_entries e
                     ON e.user_id = n.user_id AND e.event = 'notification' AND e.data ->> 'id' = n.id
                     WHERE n.kind = 'order_confirmed' GROUP BY n.id HAVING count(e.seq) <> 1",
            ),
            (
                "an inbox has gaps",
                "notification",
                "SELECT user_id FROM inbox_entries GROUP BY user_id HAVING max(seq) <> count(*) OR min(seq) <> 1",
            ),
            ("stock is still reserved", "inventory", "SELECT sku FROM stock WHERE reserved <> 0"),
            (
                "received + returned <> on hand + committed",
                "inventory",
                "SELECT s.sku FROM stock s WHERE s.on_hand <>
                     (SELECT coalesce(sum(m.quantity), 0) FROM stock_movements m WHERE m.sku = s.sku)",
            ),
            (
                "goods left the shelf without a committed reservation",
                "inventory",
                "SELECT m.sku FROM stock_movements m WHERE m.kind = 'committed' GROUP BY m.sku
                     HAVING -sum(m.quantity) <> (SELECT coalesce(sum(l.quantity), 0) FROM reservation_lines l
                         WHERE l.sku = m.sku AND l.status IN ('committed', 'returned'))",
            ),
            (
                "an order's versions have gaps",
                "orders",
                "SELECT o.id FROM orders o WHERE o.version <>
                     (SELECT count(*) FROM events e WHERE e.subject = o.id)",
            ),
            ("a message is a dead letter", "broker", "SELECT last_error FROM messages WHERE queue LIKE '%.dead'"),
        ] {
            let rows = self.texts(store, sql);
            if !rows.is_empty() {
                found.push(format!("{what}: {:?}", &rows[..rows.len().min(5)]));
            }
        }
        found
    }

    /// How often the provider was asked to charge, beyond once for each order: retries that must not have charged again.
    pub(crate) fn repeated_charges(&self) -> i64 {
        self.count("sandbox", "SELECT coalesce(sum(times_asked - 1), 0) FROM charges")
    }
}

/// Plants one disagreement after the other in stores that agree, and has each of them found.
#[tokio::test]
async fn the_audit_finds_what_was_planted() {
    let folder = tempfile::TempDir::new().unwrap();
    let client = reqwest::Client::new();
    let souk = crate::process::Souk::start(folder.path()).await;
    let token = souk.register(&client, "audited").await;
    let body = serde_json::json!({ "items": [{ "sku": "TEA-MINT-100", "quantity": 2 }], "payment_method": "card_ok" });
    let placed = client.post(souk.url("/api/orders")).bearer_auth(&token).json(&body).send().await.unwrap();
    assert_eq!(placed.status(), 201);
    let stores = Stores::of(folder.path());
    crate::process::eventually("everything owed is done", crate::process::PATIENCE, || stores.settled()).await;
    souk.stop().await;
    assert_eq!(stores.disagreements(), Vec::<String>::new());

    for (expected, store, sql) in [
        ("every order has ended", "orders", "UPDATE orders SET status = 'pending'"),
        ("confirmed orders and captured payments", "orders", "UPDATE orders SET status = 'cancelled'"),
        ("captured payments", "payment", "UPDATE payments SET status = 'declined'"),
        ("money kept by the provider", "sandbox", "DELETE FROM charges"),
        ("committed reservations", "inventory", "UPDATE reservations SET status = 'pinned'"),
        ("confirmed and notified", "notification", "DELETE FROM notifications"),
        ("more or less than once", "notification", "DELETE FROM inbox_entries WHERE event = 'notification'"),
        ("an inbox has gaps", "notification", "DELETE FROM inbox_entries WHERE seq = 1"),
        ("stock is still reserved", "inventory", "UPDATE stock SET reserved = 1 WHERE on_hand > 1"),
        ("on hand + committed", "inventory", "UPDATE stock SET on_hand = on_hand + 1"),
        ("versions have gaps", "orders", "UPDATE orders SET version = 7"),
        (
            "dead letter",
            "broker",
            "INSERT INTO messages (queue, body, available_at, last_error) VALUES ('a.dead', '', 0, 'x')",
        ),
    ] {
        let tampered = tempfile::TempDir::new().unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), tampered.path().join(entry.file_name())).unwrap();
            }
        }
        let connection = Connection::open(tampered.path().join(format!("{store}.db"))).unwrap();
        connection.execute_batch(sql).unwrap();
        let found = Stores::of(tampered.path()).disagreements();
        assert!(found.iter().any(|line| line.contains(expected)), "{sql}: {found:?}");
    }
}
