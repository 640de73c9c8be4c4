//! What the engines say, read by a witness that knows their tables, documents and keys, and nothing of the services' code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use messaging::postgres::sql::{AssertSqlSafe, Connection as _, PgConnection, Row as _, query};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use redis::AsyncTypedCommands as _;
use serde_json::Value;

use super::engines::Kind;
use super::shoppers::{Attempt, Shoppers};
use super::world::{SHELVES, World};

/// How long what was begun may take to come to its end, with nobody's help. MongoDB keeps a killed process's transaction, and
/// the inbox that it was about to change, for up to a minute.
const SETTLE: Duration = Duration::from_secs(100);

/// An order as orders has it.
#[derive(Debug)]
pub(crate) struct OrderRow {
    pub(crate) status: String,
    pub(crate) user_id: String,
    /// Units by sku.
    pub(crate) items: BTreeMap<String, u64>,
}

/// Connections to everything.
pub(crate) struct Books {
    orders: PgConnection,
    payment: PgConnection,
    redis: redis::aio::MultiplexedConnection,
    users: Database,
    notification: Database,
}

impl Books {
    pub(crate) async fn open(world: &World) -> Self {
        let postgres = |name| {
            let url = world.database(Kind::Postgres, name);
            async move { PgConnection::connect(&url).await.unwrap() }
        };
        let mongo = Client::with_uri_str(world.database(Kind::Mongo, "")).await.unwrap();
        let redis = redis::Client::open(world.database(Kind::Redis, "")).unwrap();
        Self {
            orders: postgres("orders").await,
            payment: postgres("payment").await,
            redis: redis.get_multiplexed_async_connection().await.unwrap(),
            users: mongo.database("users"),
            notification: mongo.database("notification"),
        }
    }

    /// What of the work is left: nothing, or what.
    pub(crate) async fn owed(&mut self) -> Result<(), String> {
        let mut owed = Vec::new();
        for (what, table) in [("sagas", "sagas WHERE state <> 'done'"), ("events of orders", "outbox")] {
            owed.push((what, count(&mut self.orders, table).await));
        }
        for (what, table) in [
            ("undecided payments", "payments WHERE next_check_at IS NOT NULL"),
            ("refunds", "refunds WHERE next_attempt_at IS NOT NULL"),
            ("events of payment", "outbox"),
        ] {
            owed.push((what, count(&mut self.payment, table).await));
        }
        owed.push(("events of inventory", self.redis.zcard("{inventory}:outbox").await.unwrap() as i64));
        for (what, database) in [("events of users", &self.users), ("events of notification", &self.notification)] {
            let outbox = database.collection::<Document>("outbox");
            owed.push((what, outbox.count_documents(doc! {}).await.unwrap() as i64));
        }
        let orders = self.orders().await;
        let notified = self.notified().await;
        let confirmed = orders.iter().filter(|(_, order)| order.status == "confirmed");
        owed.push(("notifications", confirmed.filter(|(id, _)| !notified.contains_key(*id)).count() as i64));
        owed.retain(|(_, left)| *left > 0);
        if owed.is_empty() { Ok(()) } else { Err(format!("{owed:?}")) }
    }

    /// Waits until nothing is owed.
    pub(crate) async fn settle(&mut self) {
        let started = Instant::now();
        while let Err(owed) = self.owed().await {
            assert!(started.elapsed() < SETTLE, "still owed after {SETTLE:?}: {owed}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        println!("nothing is owed after {:?}", started.elapsed());
    }

    /// Every order.
    pub(crate) async fn orders(&mut self) -> BTreeMap<String, OrderRow> {
        let sql = "SELECT id::text, user_id::text, status, body FROM orders";
        let rows = query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.orders).await.unwrap();
        let order = |row: messaging::postgres::sql::PgRow| {
            let body: Value = serde_json::from_str(&row.get::<String, _>(3)).unwrap();
            let items = body["items"].as_array().unwrap().iter();
            let items =
                items.map(|item| (item["sku"].as_str().unwrap().to_owned(), item["quantity"].as_u64().unwrap()));
            (row.get(0), OrderRow { user_id: row.get(1), status: row.get(2), items: items.collect() })
        };
        rows.into_iter().map(order).collect()
    }

    /// The order that each key made.
    pub(crate) async fn orders_by_key(&mut self) -> BTreeMap<String, String> {
        pairs(&mut self.orders, "SELECT key, order_id::text FROM idempotency_keys").await.into_iter().collect()
    }

    /// How often each confirmed order was told to its user, by the position in the inbox.
    async fn notified(&self) -> BTreeMap<String, Vec<i64>> {
        let told = doc! { "kind": "order_confirmed" };
        let mut notified: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for document in all(&self.notification, "notifications", told).await {
            let order_id = document.get_str("order_id").unwrap().to_owned();
            notified.entry(order_id).or_default().push(document.get_i64("seq").unwrap());
        }
        notified
    }

    /// The events of every user's inbox, by position.
    pub(crate) async fn inboxes(&self) -> BTreeMap<String, BTreeMap<i64, String>> {
        let mut inboxes: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
        for entry in all(&self.notification, "inbox_entries", doc! {}).await {
            let (user, seq) = (entry.get_str("user_id").unwrap().to_owned(), entry.get_i64("seq").unwrap());
            inboxes.entry(user).or_default().insert(seq, entry.get_str("event").unwrap().to_owned());
        }
        inboxes
    }

    /// Everything that does not add up; call it when nothing is owed.
    pub(crate) async fn disagreements(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let orders = self.orders().await;
        let confirmed: BTreeSet<_> =
            orders.iter().filter(|(_, order)| order.status == "confirmed").map(|(id, _)| id).collect();

        // Every order has ended.
        let ends = ["confirmed", "rejected", "cancelled"];
        let open = orders.iter().filter(|(_, order)| !ends.contains(&order.status.as_str()));
        found.extend(open.map(|(id, order)| format!("order {id} is {}", order.status)));
        if self.orders_by_key().await.len() != orders.len() {
            found.push("keys and orders are not one to one".to_owned());
        }

        // Charged once, and only what was confirmed.
        let captures = "SELECT order_id::text, count(*)::text FROM ledger WHERE kind = 'capture' GROUP BY order_id";
        let captures = pairs(&mut self.payment, captures).await;
        found.extend(captures.iter().filter(|(_, n)| n != "1").map(|(id, n)| format!("{id} was charged {n} times")));
        let captured: BTreeSet<_> = captures.iter().map(|(id, _)| id).collect();
        let kept = "SELECT order_id::text, status FROM payments WHERE status = 'captured'";
        let kept: BTreeMap<_, _> = pairs(&mut self.payment, kept).await.into_iter().collect();
        let kept: BTreeSet<_> = kept.keys().collect();
        found.extend(confirmed.difference(&captured).map(|id| format!("{id} is confirmed and not charged")));
        found.extend(confirmed.symmetric_difference(&kept).map(|id| format!("{id}: money kept and order disagree")));

        // Goods.
        for (sku, received) in SHELVES {
            let product = self.redis.hgetall(format!("{{inventory}}:product:{sku}")).await.unwrap();
            let number = |field: &str| product.get(field).and_then(|text| text.parse::<i64>().ok()).unwrap_or(i64::MIN);
            let (on_hand, reserved) = (number("on_hand"), number("reserved"));
            let sold: u64 = confirmed.iter().filter_map(|id| orders[*id].items.get(sku)).sum();
            if on_hand + sold as i64 != received as i64 || on_hand < 0 || reserved != 0 {
                found.push(format!("{sku}: received {received}, sold {sold}, on hand {on_hand}, reserved {reserved}"));
            }
        }

        // Told once, in inboxes without gaps.
        let notified = self.notified().await;
        for id in &confirmed {
            let told = notified.get(*id).map_or(0, Vec::len);
            if told != 1 {
                found.push(format!("{id} is confirmed and was told {told} times"));
            }
        }
        let inboxes = self.inboxes().await;
        for (user, entries) in &inboxes {
            if entries.keys().copied().ne(1..=entries.len() as i64) {
                found.push(format!("the inbox of {user} has gaps"));
            }
        }
        for (id, seqs) in &notified {
            let inbox = orders.get(id).and_then(|order| inboxes.get(&order.user_id));
            if !seqs
                .iter()
                .all(|seq| inbox.and_then(|inbox| inbox.get(seq)).is_some_and(|event| event == "notification"))
            {
                found.push(format!("the notification of {id} is not where it says"));
            }
        }
        found
    }
}

/// Asks again for whatever got no verdict, waits until nothing is owed, and holds the engines to every answer given: one
/// key, one order, as it was promised, and everything adds up.
pub(crate) async fn kept_promises(world: &World, shoppers: &Shoppers, attempts: &[Attempt]) {
    let verdicts = shoppers.insist(attempts).await;
    let mut books = Books::open(world).await;
    books.settle().await;
    let (orders, by_key) = (books.orders().await, books.orders_by_key().await);
    for (key, verdict) in &verdicts {
        let id = verdict.order_id().unwrap();
        assert_eq!(by_key.get(key).map(String::as_str), Some(id), "{key}");
        let wanted: &[_] = match verdict.status {
            201 => &["confirmed"],
            402 => &["cancelled"],
            409 => &["rejected"],
            _ => &["confirmed", "cancelled", "rejected"],
        };
        assert!(wanted.contains(&orders[id].status.as_str()), "{key} got {}: {:?}", verdict.status, orders[id]);
    }
    assert_eq!(books.disagreements().await, Vec::<String>::new());
    // The operators' tools, which read the same engines with eyes of their own, see it no other way.
    for arguments in [&["reconcile", "--grace", "0"][..], &["outbox", "status"], &["dlq", "list"]] {
        let (status, said) = world.operator(arguments).await;
        assert_eq!(status, Some(0), "souk {arguments:?}: {said}");
    }
}

async fn count(connection: &mut PgConnection, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    query(sql).fetch_one(connection).await.unwrap().get(0)
}

async fn pairs(connection: &mut PgConnection, sql: &str) -> Vec<(String, String)> {
    let rows = query(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await.unwrap();
    rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn all(database: &Database, collection: &str, filter: Document) -> Vec<Document> {
    use futures::TryStreamExt as _;
    let found = database.collection::<Document>(collection).find(filter).await.unwrap();
    found.try_collect().await.unwrap()
}
