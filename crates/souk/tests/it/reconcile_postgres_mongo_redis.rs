//! `souk reconcile` on the engines of a platform, all four at once: beside a busy Souk, after it, and on tampered stores.
#![cfg(all(feature = "amqp", feature = "mongodb", feature = "postgres", feature = "redis"))]

use std::time::Duration;

use mongodb::bson::{Document, doc};
use souk::reconcile::{Options, Urls, audit_with};
use sqlx_core::connection::Connection as _;
use sqlx_core::raw_sql::raw_sql;
use sqlx_postgres::PgConnection;

use crate::process::{PATIENCE, Souk};
use crate::reconcile::{busy, reconcile, settle, shop};

fn engine(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// A place of its own on every engine.
struct Places {
    name: String,
    postgres: String,
    redis: String,
    mongodb: String,
    settings: Vec<(&'static str, String)>,
    urls: Urls,
}

impl Places {
    async fn make(folder: &std::path::Path) -> Self {
        let name = format!("reconcile_{}", uuid::Uuid::new_v4().simple());
        let (postgres, redis) = (engine("SOUK_TEST_POSTGRES_URL"), engine("SOUK_TEST_REDIS_URL"));
        let (mongodb, amqp) = (engine("SOUK_TEST_MONGODB_URL"), engine("SOUK_TEST_AMQP_URL"));
        let schema = |service: &str| format!("{postgres}?options=-c%20search_path%3D{name}_{service}");
        let (server, parameters) =
            mongodb.split_once("/?").map_or((mongodb.as_str(), ""), |(server, rest)| (server, rest));
        let server = server.trim_end_matches('/');
        let database = |service: &str| format!("{server}/{}_{service}?{parameters}", &name[..24]);
        let urls = Urls {
            orders: schema("orders"),
            payment: schema("payment"),
            inventory: format!("{redis}?prefix={name}"),
            notification: database("inbox"),
            users: database("users"),
            sandbox: Some(format!("sqlite://{}", folder.join("sandbox.db").display())),
            broker: Some(format!("{amqp}?prefix={name}")),
        };
        let settings = vec![
            ("SOUK_ORDERS_DATABASE_URL", urls.orders.clone()),
            ("SOUK_PAYMENT_DATABASE_URL", urls.payment.clone()),
            ("SOUK_INVENTORY_DATABASE_URL", urls.inventory.clone()),
            ("SOUK_NOTIFICATION_DATABASE_URL", urls.notification.clone()),
            ("SOUK_USERS_DATABASE_URL", urls.users.clone()),
            ("SOUK_PAYMENT_SANDBOX_URL", urls.sandbox.clone().unwrap()),
            ("SOUK_BROKER_URL", urls.broker.clone().unwrap()),
            ("SOUK_NOTIFICATION_EMAIL_URL", format!("file://{}", folder.join("mail").display())),
        ];
        let places = Self { name, postgres, redis, mongodb, settings, urls };
        places.sql(&format!("CREATE SCHEMA {0}_orders; CREATE SCHEMA {0}_payment", places.name)).await;
        places
    }

    async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.postgres).await.unwrap();
        raw_sql(sqlx_core::sql_str::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    async fn mongo(&self, service: &str) -> mongodb::Database {
        let client = mongodb::Client::with_uri_str(&self.mongodb).await.unwrap();
        client.database(&format!("{}_{service}", &self.name[..24]))
    }

    async fn redis(&self, script: &str) {
        let mut connection =
            redis::Client::open(self.redis.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
        let script = script.replace("PREFIX", &format!("{{{}}}", self.name));
        redis::cmd("EVAL").arg(script).arg(0).query_async::<()>(&mut connection).await.unwrap();
    }

    async fn clean_up(&self) {
        self.sql(&format!("DROP SCHEMA {0}_orders CASCADE; DROP SCHEMA {0}_payment CASCADE", self.name)).await;
        self.redis("for _, key in ipairs(redis.call('KEYS', 'PREFIX:*')) do redis.call('DEL', key) end").await;
        // A server that is forgotten after the tests is left alone (see mongo_fixture.rs of messaging).
        if std::env::var_os("SOUK_TEST_MONGODB_DISPOSABLE").is_none() {
            for service in ["inbox", "users"] {
                self.mongo(service).await.drop().await.unwrap();
            }
        }
    }

    /// The codes of what is found, without grace.
    async fn found(&self) -> Vec<&'static str> {
        let options =
            Options { grace: Duration::ZERO, recheck_wait: Duration::from_millis(1), page: 20, ..Options::default() };
        audit_with(&self.urls, &options).await.unwrap().findings.into_iter().map(|finding| finding.code).collect()
    }
}

#[tokio::test]
#[ignore = "needs all SOUK_TEST_<ENGINE>_URL"]
async fn the_engines_agree_beside_a_busy_souk_and_what_is_planted_in_each_is_named() {
    let folder = tempfile::TempDir::new().unwrap();
    let places = Places::make(folder.path()).await;
    let souk = Souk::start_with(folder.path(), &places.settings).await;
    shop(&souk).await;
    // Notifications follow by the bus: they may be late by as much as the grace.
    busy(&souk, &places.urls, Duration::from_millis(700), Duration::from_secs(12)).await;
    settle(&places.urls).await;
    let started = std::time::Instant::now();
    while !places.found().await.is_empty() {
        assert!(started.elapsed() < PATIENCE, "not settled: {:?}", places.found().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    souk.stop().await;
    let run = reconcile(folder.path(), &places.settings, &["--grace", "0"]);
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.contains("souk dlq list"), "what is not looked at is told: {}", run.out);

    let orders = format!("{}_orders", places.name);
    places.sql(&format!("UPDATE {orders}.orders SET status = 'cancelled' WHERE status = 'confirmed'")).await;
    let found = places.found().await;
    assert!(found.contains(&"captured-not-confirmed") && found.contains(&"goods-held"), "{found:?}");
    places
        .sql(&format!(
            "UPDATE {orders}.orders SET status = 'confirmed' WHERE status = 'cancelled' AND id IN
        (SELECT order_id FROM {}_payment.payments WHERE status = 'captured')",
            places.name
        ))
        .await;
    assert_eq!(places.found().await, Vec::<&str>::new());

    places.sql(&format!("UPDATE {orders}.orders SET version = version + 1")).await;
    assert!(places.found().await.contains(&"versions-differ"));
    places.sql(&format!("UPDATE {orders}.orders SET version = version - 1")).await;

    places.sql(&format!("UPDATE {}_payment.payments SET amount_minor = amount_minor + 1", places.name)).await;
    assert!(places.found().await.contains(&"ledger-differs"));
    places
        .sql(&format!(
            "UPDATE {}_payment.payments SET amount_minor = amount_minor - 1 WHERE amount_minor > refunded_minor",
            places.name
        ))
        .await;

    places.redis("redis.call('HINCRBY', 'PREFIX:product:TEA-MINT-100', 'on_hand', 1)").await;
    assert!(places.found().await.contains(&"stock-differs"));
    places.redis("redis.call('HINCRBY', 'PREFIX:product:TEA-MINT-100', 'on_hand', -1)").await;
    places.redis("for _, key in ipairs(redis.call('KEYS', 'PREFIX:reservation:*')) do redis.call('HSET', key, 'status', 'pinned') end").await;
    assert!(places.found().await.contains(&"confirmed-without-goods"));

    let inbox = places.mongo("inbox").await;
    inbox.collection::<Document>("inbox_entries").delete_many(doc! { "seq": 1_i64 }).await.unwrap();
    assert!(places.found().await.contains(&"inbox-gaps"));
    inbox.collection::<Document>("notifications").delete_many(doc! { "kind": "order_confirmed" }).await.unwrap();
    let found = places.found().await;
    assert!(found.contains(&"confirmation-not-told") && found.contains(&"inbox-differs"), "{found:?}");
    places.mongo("users").await.collection::<Document>("users").delete_many(doc! {}).await.unwrap();
    assert!(places.found().await.contains(&"customer-unknown"));
    places.clean_up().await;
}

#[tokio::test]
#[ignore = "needs all SOUK_TEST_<ENGINE>_URL"]
async fn engines_that_are_away_are_named_within_seconds() {
    let folder = tempfile::TempDir::new().unwrap();
    // Nobody listens on the port of tcpmux.
    let settings = [
        ("SOUK_ORDERS_DATABASE_URL", "postgres://souk:secret@127.0.0.1:1/souk".to_owned()),
        ("SOUK_INVENTORY_DATABASE_URL", "redis://:secret@127.0.0.1:1".to_owned()),
        ("SOUK_USERS_DATABASE_URL", "mongodb://souk:secret@127.0.0.1:1/users".to_owned()),
    ];
    let souk = Souk::start(folder.path()).await;
    let started = std::time::Instant::now();
    let run = reconcile(folder.path(), &settings, &[]);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(run.code, Some(1));
    for store in ["orders", "inventory", "users"] {
        assert!(run.err.contains(&format!("the {store} store can't be read")), "{}", run.err);
    }
    assert!(!run.err.contains("the payment store") && !run.err.contains("secret"), "{}", run.err);
    drop(souk);
}
