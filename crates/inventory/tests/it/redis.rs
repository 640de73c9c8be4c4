//! What is special to the Redis store: damage and its repair, the outbox's lease, atomicity under concurrency.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contracts::ids::UuidV7Generator;
use contracts::money::Currency;
use contracts::{Money, Quantity, Sku};
use inventory::adapters::persistence::redis::{RedisStore, RedisUrl};
use inventory::application::ports::{
    CatalogueRepository as _, ChangeError, RepositoryError, ReservationRepository as _,
};
use inventory::domain::lines::{Line, Lines};
use inventory::domain::product::{Product, ProductCommand, ProductDetails};
use inventory::domain::reservation::{ReservationCommand, Status};
use inventory::domain::values::{Count, Description, ImageUrl, Price, ProductName, Tags};
use messaging::outbox::OutboxSource as _;
use redis::{Client, Connection, cmd};
use uuid::Uuid;

use crate::helpers::{DEADLINE, START, order};

const URL: &str = "SOUK_TEST_REDIS_URL";

/// Keys of a test's own, on the server of all tests; removed afterwards.
pub(crate) struct Prefix {
    server: String,
    name: String,
}

impl Prefix {
    pub(crate) fn new() -> Self {
        let server = std::env::var(URL).unwrap_or_else(|_| panic!("{URL} is not set"));
        Self::on(server)
    }

    pub(crate) fn on(server: String) -> Self {
        Self { server, name: format!("test-{}", Uuid::new_v4().simple()) }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}?prefix={}", self.server, self.name)
    }

    pub(crate) fn open(&self) -> RedisStore {
        RedisStore::open(&self.url().parse::<RedisUrl>().unwrap(), Arc::new(UuidV7Generator)).unwrap()
    }

    pub(crate) fn key(&self, rest: &str) -> String {
        format!("{{{}}}:{rest}", self.name)
    }

    pub(crate) fn connection(&self) -> Connection {
        Client::open(self.server.as_str()).unwrap().get_connection().unwrap()
    }

    pub(crate) fn command(&self, words: &[&str]) {
        let mut command = cmd(words[0]);
        let _: redis::Value = command.arg(&words[1..]).query(&mut self.connection()).unwrap();
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let Ok(mut connection) = Client::open(self.server.as_str()).and_then(|client| client.get_connection()) else {
            return;
        };
        let Ok(keys) = cmd("KEYS").arg(self.key("*")).query::<Vec<String>>(&mut connection) else { return };
        if !keys.is_empty() {
            let _: Result<(), _> = cmd("UNLINK").arg(keys).query(&mut connection);
        }
    }
}

pub(crate) fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

pub(crate) async fn add(store: &RedisStore, text: &str, on_hand: u64) {
    let details = ProductDetails {
        name: ProductName::parse("Tea").unwrap(),
        description: Description::parse("").unwrap(),
        image_url: ImageUrl::parse("").unwrap(),
        tags: Tags::default(),
    };
    let price = Price::new(Money::new(1, Currency::USD).unwrap()).unwrap();
    let (product, change) = Product::create(sku(text), details, price, Count::new(on_hand).unwrap(), START);
    store.catalogue.add(product, change).await.unwrap();
}

pub(crate) fn hold(items: &[(&str, u32)]) -> ReservationCommand {
    let line = |(text, units): &(&str, u32)| Line { sku: sku(text), quantity: Quantity::try_from(*units).unwrap() };
    let lines = Lines::new(items.iter().map(line)).unwrap();
    ReservationCommand::Hold { lines, expires_at: START.plus(Duration::from_mins(1)) }
}

pub(crate) async fn stock(store: &RedisStore, text: &str) -> (u64, u64) {
    let stock = store.catalogue.find(sku(text)).await.unwrap().unwrap().stock();
    (stock.on_hand(), stock.reserved())
}

/// Three products; orders held, pinned, committed, returned and released.
async fn busy(store: &RedisStore) {
    for text in ["A", "B", "C"] {
        add(store, text, 20).await;
    }
    for n in 1..=5 {
        store.reservations.apply(order(n), hold(&[("A", 2), ("B", 1)]), START).await.unwrap();
    }
    use ReservationCommand::{Commit, Pin, Release, Return};
    for (n, commands) in [(2, &[Pin][..]), (3, &[Pin, Commit]), (4, &[Pin, Commit, Return]), (5, &[Release])] {
        for command in commands {
            store.reservations.apply(order(n), command.clone(), START).await.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn what_adds_up_is_found_clean_and_left_alone() {
    let prefix = Prefix::new();
    let store = prefix.open();
    busy(&store).await;
    let findings = store.audit.audit().await.unwrap();
    assert!(findings.is_clean() && findings.in_use.is_empty(), "{findings:?}");
    assert_eq!(store.audit.repair(&findings).await.unwrap(), 0);
    assert_eq!((stock(&store, "A").await, stock(&store, "B").await), ((18, 4), (19, 2)));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn counters_are_rebuilt_from_the_ledger_and_the_reservations() {
    let prefix = Prefix::new();
    let store = prefix.open();
    busy(&store).await;
    prefix.command(&["HSET", &prefix.key("product:A"), "on_hand", "99", "reserved", "0"]);
    prefix.command(&["HDEL", &prefix.key("product:B"), "reserved"]);
    prefix.command(&["DEL", &prefix.key("expiries")]);
    prefix.command(&["ZADD", &prefix.key("expiries"), "1", &order(3).to_string()]);
    let findings = store.audit.audit().await.unwrap();
    let wrong: Vec<_> = findings.products.iter().map(|product| (product.sku.as_str(), product.counted)).collect();
    assert_eq!(wrong, [("A", Some((99, 0))), ("B", None)]);
    assert_eq!(findings.unlisted, [order(1).to_string(), order(3).to_string()]);
    assert_eq!(store.audit.repair(&findings).await.unwrap(), 4);
    assert_eq!((stock(&store, "A").await, stock(&store, "B").await), ((18, 4), (19, 2)));
    assert!(store.audit.audit().await.unwrap().is_clean());
    assert_eq!(store.reservations.next_expiry().await.unwrap(), Some(START.plus(Duration::from_mins(1))));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_repair_does_not_undo_what_happened_since_the_audit() {
    let prefix = Prefix::new();
    let store = prefix.open();
    busy(&store).await;
    prefix.command(&["HSET", &prefix.key("product:A"), "on_hand", "99"]);
    let findings = store.audit.audit().await.unwrap();
    store.reservations.apply(order(9), hold(&[("A", 5)]), START).await.unwrap();
    assert_eq!(store.audit.repair(&findings).await.unwrap(), 0);
    assert_eq!(stock(&store, "A").await, (99, 9));
    let findings = store.audit.audit().await.unwrap();
    assert_eq!(store.audit.repair(&findings).await.unwrap(), 1);
    assert_eq!(stock(&store, "A").await, (18, 9));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_contradiction_that_no_counter_explains_is_reported_and_not_papered_over() {
    let prefix = Prefix::new();
    let store = prefix.open();
    busy(&store).await;
    prefix.command(&["HSET", &prefix.key(&format!("reservation:{}", order(3))), "status", "pinned"]);
    let findings = store.audit.audit().await.unwrap();
    assert_eq!(findings.products.len(), 2);
    assert!(findings.products.iter().all(|product| !findings.can_repair(product)), "{findings:?}");
    assert_eq!(store.audit.repair(&findings).await.unwrap(), 0);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn damage_is_told_apart_from_absence_and_does_not_keep_others_from_running_out() {
    let prefix = Prefix::new();
    let store = prefix.open();
    busy(&store).await;
    store.reservations.apply(order(6), hold(&[("C", 1)]), START).await.unwrap();
    prefix.command(&["HSET", &prefix.key(&format!("reservation:{}", order(1))), "lines", "secret"]);
    let found = store.reservations.find(order(1)).await;
    assert!(matches!(found, Err(RepositoryError::Corrupt { table: "reservations", .. })), "{found:?}");
    assert_eq!(store.reservations.release_expired(START.plus(Duration::from_mins(2)), 10).await.unwrap(), 1);
    let findings = store.audit.audit().await.unwrap();
    assert_eq!(findings.damaged, [order(1).to_string()]);
    assert!(!findings.products.is_empty());
    assert_eq!(
        store.audit.repair(&findings).await.unwrap(),
        0,
        "what it holds is not known: nothing of it is given away"
    );
    assert_eq!(stock(&store, "A").await, (18, 4));
    prefix.command(&["HSET", &prefix.key("product:B"), "currency", "secret"]);
    prefix.command(&["SET", &prefix.key("product:C"), "secret"]);
    for damaged in ["B", "C"] {
        let found = store.catalogue.find(sku(damaged)).await;
        assert!(matches!(found, Err(RepositoryError::Corrupt { .. })), "{found:?}");
    }
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn orders_of_a_product_that_was_lost_end_and_leave_no_trace_of_it() {
    let prefix = Prefix::new();
    let store = prefix.open();
    busy(&store).await;
    prefix.command(&["DEL", &prefix.key("product:A")]);
    let ledger = |sku: &str| {
        let entries: Vec<(String, Vec<String>)> =
            cmd("XRANGE").arg(prefix.key("movements")).arg("-").arg("+").query(&mut prefix.connection()).unwrap();
        entries.into_iter().filter(|(_, fields)| fields.contains(&sku.to_owned())).count()
    };
    let (of_lost, of_known) = (ledger("A"), ledger("B"));
    // 1 is held, 2 pinned, 3 committed.
    assert_eq!(store.reservations.release_expired(START.plus(Duration::from_mins(2)), 10).await.unwrap(), 1);
    for (n, end) in [(2, ReservationCommand::Release), (3, ReservationCommand::Return)] {
        let ended = store.reservations.apply(order(n), end, START).await.unwrap();
        assert!(matches!(ended.status(), Status::Released(_) | Status::Returned), "{ended:?}");
    }
    assert_eq!(stock(&store, "B").await, (20, 0));
    assert_eq!(store.catalogue.find(sku("A")).await.unwrap(), None);
    assert_eq!((ledger("A"), ledger("B")), (of_lost, of_known + 1));

    // One that is there without its counters is damaged, not lost.
    store.reservations.apply(order(6), hold(&[("B", 1)]), START).await.unwrap();
    prefix.command(&["HDEL", &prefix.key("product:B"), "on_hand", "reserved"]);
    let refused = store.reservations.apply(order(6), ReservationCommand::Release, START).await;
    let Err(ChangeError::Store(RepositoryError::Corrupt { table: "stock", .. })) = refused else {
        panic!("{refused:?}");
    };
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn every_event_waits_in_the_outbox_in_order_until_it_is_marked() {
    let prefix = Prefix::new();
    let store = prefix.open();
    busy(&store).await;
    let pending = store.outbox.pending(100).await.unwrap();
    let told: Vec<_> = pending.iter().map(|(_, event)| event.event_type.as_str()).collect();
    let expected = [
        &["product.created"; 3][..],
        &["inventory.reserved"; 5],
        &["inventory.committed"; 2],
        &["inventory.released"; 2],
    ]
    .concat();
    assert_eq!(told.iter().collect::<BTreeSet<_>>(), expected.iter().collect());
    assert_eq!(told.len(), expected.len());
    assert!(pending.is_sorted_by_key(|(position, _)| *position));
    let first: Vec<i64> = pending.iter().take(3).map(|(position, _)| *position).collect();
    for _ in 0..2 {
        store.outbox.mark_published(first.clone()).await.unwrap();
    }
    assert_eq!(store.outbox.pending(2).await.unwrap()[0].0, pending[3].0);
    let logged: usize = cmd("XLEN").arg(prefix.key("events")).query(&mut prefix.connection()).unwrap();
    assert_eq!(logged, pending.len(), "the log keeps what was published");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn of_two_relays_one_publishes_and_the_other_takes_over_when_it_is_gone() {
    let prefix = Prefix::new();
    let (one, two) = (prefix.open(), prefix.open());
    add(&one, "A", 1).await;
    assert_eq!(one.outbox.pending(10).await.unwrap().len(), 1);
    assert!(two.outbox.pending(10).await.unwrap().is_empty());
    let taken_over = async {
        while two.outbox.pending(10).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, taken_over).await.unwrap();
    assert!(one.outbox.pending(10).await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn what_another_process_appends_wakes_the_relay() {
    let prefix = Prefix::new();
    let (one, two) = (prefix.open(), prefix.open());
    let stop = tokio_util::sync::CancellationToken::new();
    let heard = async {
        // It says so once when it begins to listen.
        one.outbox.appended().await;
        add(&two, "A", 1).await;
        one.outbox.appended().await;
    };
    tokio::select! {
        () = one.outbox.listen(&stop) => panic!("it was not stopped"),
        heard = tokio::time::timeout(DEADLINE, heard) => heard.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn replicas_at_once_never_oversell_and_everything_adds_up() {
    let prefix = Prefix::new();
    let replicas: Vec<Arc<RedisStore>> = (0..3).map(|_| Arc::new(prefix.open())).collect();
    add(&replicas[0], "A", 30).await;
    add(&replicas[0], "B", 12).await;
    let mut customers = Vec::new();
    for n in 0..120_u128 {
        let store = Arc::clone(&replicas[n as usize % 3]);
        customers.push(tokio::spawn(async move {
            // Several share an order, so that commands of different replicas meet on it.
            let id = order(n % 40);
            let items = [("A", 1 + (n / 2 % 2) as u32), ("B", 1)];
            let _ = store.reservations.apply(id, hold(&items[..=(n % 2) as usize]), START).await;
            let _ = store.reservations.apply(id, ReservationCommand::Pin, START).await;
            // Too few are not sold in the end, or sold and returned, to hold all of A at any time: some are sold.
            let verdict = if n.is_multiple_of(10) { ReservationCommand::Release } else { ReservationCommand::Commit };
            let _ = store.reservations.apply(id, verdict, START).await;
            if n % 10 == 5 {
                let _ = store.reservations.apply(id, ReservationCommand::Return, START).await;
            }
        }));
        if n.is_multiple_of(10) {
            let store = Arc::clone(&replicas[n as usize % 3]);
            let command = ProductCommand::SetStock {
                on_hand: Count::new(25 + n as u64 / 10).unwrap(),
                reason: "count".to_owned(),
            };
            customers.push(tokio::spawn(async move {
                let _ = store.catalogue.change(sku("A"), command, START).await;
            }));
        }
    }
    for customer in customers {
        customer.await.unwrap();
    }
    let findings = replicas[0].audit.audit().await.unwrap();
    assert!(findings.is_clean() && findings.in_use.is_empty(), "{findings:?}");
    let mut sold = 0;
    for n in 0..40 {
        let found = replicas[1].reservations.find(order(n)).await.unwrap();
        sold += usize::from(found.is_some_and(|reservation| reservation.status() == Status::Committed));
    }
    assert!(sold > 0);
}
