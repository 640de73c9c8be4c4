//! The ports' contract: each case is written once and runs against every adapter.

use std::sync::Arc;
use std::time::Duration;

use contracts::ids::{OrderId, UuidV7Generator};
use contracts::money::Currency;
use contracts::{Money, Quantity, Sku, Timestamp};
use inventory::adapters::persistence::memory::InMemoryStore;
use inventory::adapters::persistence::sqlite::SqliteStore;
use inventory::application::ports::{CatalogueRepository, ChangeError, ProductQuery, ReservationRepository};
use inventory::domain::error::{CatalogueError, ReservationError};
use inventory::domain::lines::{Line, Lines};
use inventory::domain::product::{Product, ProductChange, ProductChanges, ProductCommand, ProductDetails};
use inventory::domain::reservation::{ReleaseCause, Reservation, ReservationCommand, Status};
use inventory::domain::stock::Shortage;
use inventory::domain::values::{Count, Description, ImageUrl, Price, ProductName, Tag, Tags};
use tempfile::TempDir;

use crate::contract_loss::{
    what_is_given_back_of_an_unknown_product_ends_the_order_all_the_same,
    what_was_forgotten_is_restored_and_what_is_missing_is_booked_as_found,
};
use crate::contract_races::{
    of_concurrent_changes_of_one_product_none_is_lost, of_concurrent_holds_as_many_succeed_as_there_is_stock_for,
    of_concurrent_products_with_one_sku_one_is_added, of_concurrent_sweepers_each_hold_is_released_by_one,
    of_concurrent_verdicts_one_counts,
};
use crate::helpers::{START, order, url_of};

/// A store of its own for each test.
pub(crate) struct Stores {
    pub(crate) catalogue: Arc<dyn CatalogueRepository>,
    pub(crate) reservations: Arc<dyn ReservationRepository>,
    _owned: Box<dyn std::any::Any + Send + Sync>,
}

fn sqlite_in_tempdir() -> Stores {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&url_of(&folder, "x").parse().unwrap(), Arc::new(UuidV7Generator)).unwrap();
    Stores {
        catalogue: Arc::new(store.catalogue),
        reservations: Arc::new(store.reservations),
        _owned: Box::new(folder),
    }
}

pub(crate) fn in_memory() -> Stores {
    Stores::of_memory(&InMemoryStore::new(Arc::new(UuidV7Generator)))
}

#[cfg(feature = "redis")]
pub(crate) fn redis_with_own_prefix() -> Stores {
    let prefix = crate::redis::Prefix::new();
    let store = prefix.open();
    Stores {
        catalogue: Arc::new(store.catalogue),
        reservations: Arc::new(store.reservations),
        _owned: Box::new(prefix),
    }
}

/// A named test of each case for each adapter; between the brackets go attributes, such as `#[ignore = "needs a server"]`.
macro_rules! contract {
    ($($adapter:ident $attributes:tt: $stores:expr => $cases:tt;)*) => {
        $(mod $adapter { contract!(@cases $attributes $stores => $cases); })*
    };
    (@cases $attributes:tt $stores:expr => [$($case:ident),* $(,)?]) => {
        $(contract!(@case $attributes $stores => $case);)*
    };
    (@case [$($attribute:tt)*] $stores:expr => $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($attribute)*
        async fn $case() {
            super::$case($stores).await;
        }
    };
}

/// Every case, for each adapter that is named.
macro_rules! every_case {
    ($($adapter:ident $attributes:tt: $stores:expr;)*) => {
        contract! {
            $($adapter $attributes: $stores => [
                a_product_is_found_as_it_was_added,
                a_taken_sku_is_refused_and_changes_nothing,
                many_are_found_in_the_order_asked_for_each_once,
                pages_follow_the_bytes_of_the_sku,
                pages_neither_skip_nor_repeat_while_products_are_added,
                a_search_ignores_letter_case_and_gives_no_character_a_meaning,
                a_product_is_found_by_all_its_present_tags,
                a_refused_or_empty_change_saves_nothing,
                of_concurrent_changes_of_one_product_none_is_lost,
                of_concurrent_products_with_one_sku_one_is_added,
                all_lines_are_held_or_none,
                a_reservation_and_its_stock_move_together,
                an_unknown_order_has_no_reservation,
                repeating_a_command_changes_nothing,
                of_concurrent_holds_as_many_succeed_as_there_is_stock_for,
                of_concurrent_verdicts_one_counts,
                holds_run_out_on_their_millisecond_oldest_first,
                of_concurrent_sweepers_each_hold_is_released_by_one,
                what_was_forgotten_is_restored_and_what_is_missing_is_booked_as_found,
                what_is_given_back_of_an_unknown_product_ends_the_order_all_the_same,
            ];)*
        }
    };
}

every_case! {
    memory []: super::in_memory();
    sqlite []: super::sqlite_in_tempdir();
}

#[cfg(feature = "redis")]
every_case! {
    redis [#[ignore = "needs SOUK_TEST_REDIS_URL"]]: super::redis_with_own_prefix();
}

pub(crate) fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

pub(crate) fn named(sku_text: &str, name: &str, on_hand: u64, tags: &[&str]) -> (Product, ProductChange) {
    let details = ProductDetails {
        name: ProductName::parse(name).unwrap(),
        description: Description::parse("Erste\nZeile ÄÖÜ").unwrap(),
        image_url: ImageUrl::parse("https://cdn.example/x.jpg").unwrap(),
        tags: tags_of(tags),
    };
    let price = Price::new(Money::new(1999, Currency::parse("EUR").unwrap()).unwrap()).unwrap();
    Product::create(sku(sku_text), details, price, Count::new(on_hand).unwrap(), START)
}

fn tags_of(tags: &[&str]) -> Tags {
    Tags::new(tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect()).unwrap()
}

impl Stores {
    pub(crate) fn of_memory(store: &InMemoryStore) -> Self {
        Self { catalogue: Arc::new(store.clone()), reservations: Arc::new(store.clone()), _owned: Box::new(()) }
    }

    pub(crate) async fn add(&self, sku_text: &str, name: &str, on_hand: u64, tags: &[&str]) -> Product {
        let (product, change) = named(sku_text, name, on_hand, tags);
        self.catalogue.add(product.clone(), change).await.unwrap();
        product
    }

    async fn found(&self, search: &str, tags: &[&str]) -> Vec<String> {
        let tags = tags_of(tags).as_slice().to_vec();
        let query = ProductQuery { search: search.to_owned(), tags, after: None, limit: 100 };
        let page = self.catalogue.list(query).await.unwrap();
        page.items.iter().map(|product| product.sku().to_string()).collect()
    }

    pub(crate) async fn ask(&self, n: u128, command: ReservationCommand) -> Result<Reservation, ReservationError> {
        self.ask_at(START, n, command).await
    }

    async fn ask_at(
        &self,
        now: Timestamp,
        n: u128,
        command: ReservationCommand,
    ) -> Result<Reservation, ReservationError> {
        self.ask_for_at(now, order(n), command).await
    }

    pub(crate) async fn ask_for(
        &self,
        id: OrderId,
        command: ReservationCommand,
    ) -> Result<Reservation, ReservationError> {
        self.ask_for_at(START, id, command).await
    }

    async fn ask_for_at(
        &self,
        now: Timestamp,
        id: OrderId,
        command: ReservationCommand,
    ) -> Result<Reservation, ReservationError> {
        self.reservations.apply(id, command, now).await.map_err(|error| match error {
            ChangeError::Refused(refused) => refused,
            ChangeError::Store(error) => panic!("{error:?}"),
        })
    }

    /// On hand and reserved.
    pub(crate) async fn stock(&self, sku_text: &str) -> (u64, u64) {
        let stock = self.catalogue.find(sku(sku_text)).await.unwrap().unwrap().stock();
        (stock.on_hand(), stock.reserved())
    }
}

fn hold_until(expires_at: Timestamp, items: &[(&str, u32)]) -> ReservationCommand {
    let line = |(text, units): &(&str, u32)| Line { sku: sku(text), quantity: Quantity::try_from(*units).unwrap() };
    ReservationCommand::Hold { lines: Lines::new(items.iter().map(line)).unwrap(), expires_at }
}

pub(crate) fn hold(items: &[(&str, u32)]) -> ReservationCommand {
    hold_until(START.plus(Duration::from_mins(1)), items)
}

async fn a_product_is_found_as_it_was_added(stores: Stores) {
    let added = stores.add("TEA-1", "Grüner Tee ☕", 12, &["tea", "green"]).await;
    assert_eq!(stores.catalogue.find(sku("TEA-1")).await.unwrap(), Some(added));
    assert_eq!(stores.catalogue.find(sku("tea-1")).await.unwrap(), None, "letter case tells skus apart");
}

async fn a_taken_sku_is_refused_and_changes_nothing(stores: Stores) {
    let first = stores.add("TEA-1", "Tea", 12, &["tea"]).await;
    let (second, change) = named("TEA-1", "Other", 3, &["other"]);
    let refused = stores.catalogue.add(second, change).await;
    assert!(matches!(refused, Err(ChangeError::Refused(CatalogueError::Exists(taken))) if taken == sku("TEA-1")));
    assert_eq!(stores.catalogue.find(sku("TEA-1")).await.unwrap(), Some(first));
    assert!(stores.found("", &["other"]).await.is_empty());
}

async fn many_are_found_in_the_order_asked_for_each_once(stores: Stores) {
    for text in ["A", "B", "C"] {
        stores.add(text, text, 1, &[]).await;
    }
    let asked = ["C", "NOPE", "A", "C"].map(sku).to_vec();
    let found = stores.catalogue.find_many(asked).await.unwrap();
    assert_eq!(found.iter().map(|product| product.sku().as_str()).collect::<Vec<_>>(), ["C", "A"]);
    assert!(stores.catalogue.find_many(vec![]).await.unwrap().is_empty());
}

async fn pages_follow_the_bytes_of_the_sku(stores: Stores) {
    for text in ["b", "A-1", "B", "A.1", "a", "A"] {
        stores.add(text, "Tea", 1, &["tea"]).await;
    }
    for (search, tags) in [("", &[][..]), ("tea", &["tea"][..])] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let tags = tags_of(tags).as_slice().to_vec();
            let query = ProductQuery { search: search.to_owned(), tags, after, limit: 2 };
            let page = stores.catalogue.list(query).await.unwrap();
            assert!(page.items.len() <= 2);
            seen.extend(page.items.iter().map(|product| product.sku().to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["A", "A-1", "A.1", "B", "a", "b"]);
    }
}

async fn a_search_ignores_letter_case_and_gives_no_character_a_meaning(stores: Stores) {
    stores.add("TEA-1", "Grüner Tee 100%", 1, &[]).await;
    stores.add("MUG_1", "Becher", 1, &[]).await;
    for (search, expected) in [
        ("GRÜNER", &["TEA-1"][..]),
        ("tea-", &["TEA-1"]),
        ("%", &["TEA-1"]),
        ("_", &["MUG_1"]),
        ("zeile äöü", &["MUG_1", "TEA-1"]),
        ("0%tea", &[]),
        ("'", &[]),
        ("\\", &[]),
        ("", &["MUG_1", "TEA-1"]),
    ] {
        assert_eq!(stores.found(search, &[]).await, expected, "{search}");
    }
    let changes = ProductChanges { name: Some(ProductName::parse("Tasse").unwrap()), ..ProductChanges::default() };
    stores.catalogue.change(sku("MUG_1"), ProductCommand::Update(changes), START).await.unwrap();
    assert_eq!(stores.found("tasse", &[]).await, ["MUG_1"]);
    assert!(stores.found("becher", &[]).await.is_empty());
}

async fn a_product_is_found_by_all_its_present_tags(stores: Stores) {
    stores.add("A", "A", 1, &["tea", "green"]).await;
    stores.add("B", "B", 1, &["tea", "black"]).await;
    assert_eq!(stores.found("", &["tea"]).await, ["A", "B"]);
    assert_eq!(stores.found("", &["tea", "black"]).await, ["B"]);
    assert!(stores.found("", &["green", "black"]).await.is_empty());
    let changes = ProductChanges { tags: Some(tags_of(&["black"])), ..ProductChanges::default() };
    let changed = stores.catalogue.change(sku("A"), ProductCommand::Update(changes), START).await.unwrap();
    assert_eq!(changed.details().tags, tags_of(&["black"]));
    assert_eq!(stores.found("", &["tea"]).await, ["B"]);
    assert_eq!(stores.found("", &["black"]).await, ["A", "B"]);
}

async fn a_refused_or_empty_change_saves_nothing(stores: Stores) {
    let added = stores.add("A", "A", 5, &[]).await;
    let later = START.plus(Duration::from_secs(1));
    let set = |units| ProductCommand::SetStock { on_hand: Count::new(units).unwrap(), reason: "x".to_owned() };
    let unknown = stores.catalogue.change(sku("B"), set(1), later).await;
    assert!(matches!(unknown, Err(ChangeError::Refused(CatalogueError::NotFound(_)))));
    assert_eq!(stores.catalogue.change(sku("A"), set(5), later).await.unwrap(), added);
    stores.ask(1, hold(&[("A", 3)])).await.unwrap();
    let below = stores.catalogue.change(sku("A"), set(2), later).await;
    assert!(matches!(below, Err(ChangeError::Refused(CatalogueError::StockBelowReserved { .. }))));
    assert_eq!(stores.stock("A").await, (5, 3));
    assert_eq!(stores.catalogue.find(sku("A")).await.unwrap().unwrap().version(), 1);
}

async fn all_lines_are_held_or_none(stores: Stores) {
    stores.add("A", "A", 5, &[]).await;
    stores.add("B", "B", 5, &[]).await;
    stores.ask(1, hold(&[("B", 4)])).await.unwrap();
    let refused = stores.ask(2, hold(&[("A", 2), ("B", 2), ("C", 1)])).await.unwrap_err();
    let short = |text, requested, available| Shortage { sku: sku(text), requested, available };
    let missing = vec![short("B", 2, 1), short("C", 1, 0)];
    assert_eq!(refused, ReservationError::OutOfStock { order_id: order(2), missing });
    assert_eq!((stores.stock("A").await, stores.stock("B").await), ((5, 0), (5, 4)));
    assert_eq!(stores.reservations.find(order(2)).await.unwrap(), None);
}

async fn a_reservation_and_its_stock_move_together(stores: Stores) {
    stores.add("A", "A", 5, &[]).await;
    stores.add("B", "B", 5, &[]).await;
    let steps = [
        (hold(&[("B", 1), ("A", 2)]), (5, 2), (5, 1)),
        (ReservationCommand::Pin, (5, 2), (5, 1)),
        (ReservationCommand::Commit, (3, 0), (4, 0)),
        (ReservationCommand::Return, (5, 0), (5, 0)),
    ];
    for (command, a, b) in steps {
        let after = stores.ask(1, command.clone()).await.unwrap();
        assert_eq!((stores.stock("A").await, stores.stock("B").await), (a, b), "{command:?}");
        assert_eq!(stores.reservations.find(order(1)).await.unwrap(), Some(after.clone()), "{command:?}");
        assert_eq!(after.lines().iter().map(|line| line.sku.as_str()).collect::<Vec<_>>(), ["B", "A"]);
    }
    stores.ask(2, hold(&[("A", 5)])).await.unwrap();
    stores.ask(2, ReservationCommand::Release).await.unwrap();
    assert_eq!(stores.stock("A").await, (5, 0));
}

async fn an_unknown_order_has_no_reservation(stores: Stores) {
    assert_eq!(stores.reservations.find(order(1)).await.unwrap(), None);
    assert_eq!(stores.ask(1, ReservationCommand::Pin).await, Err(ReservationError::NotFound(order(1))));
    assert_eq!(stores.reservations.find(order(1)).await.unwrap(), None);
    let tombstone = stores.ask(1, ReservationCommand::Release).await.unwrap();
    assert!(tombstone.is_tombstone());
    assert_eq!(stores.reservations.find(order(1)).await.unwrap(), Some(tombstone));
    stores.add("A", "A", 1, &[]).await;
    assert!(matches!(stores.ask(1, hold(&[("A", 1)])).await, Err(ReservationError::Closed { .. })));
}

async fn holds_run_out_on_their_millisecond_oldest_first(stores: Stores) {
    stores.add("A", "A", 100, &[]).await;
    let at = |ms| START.plus(Duration::from_millis(ms));
    assert_eq!(stores.reservations.next_expiry().await.unwrap(), None);
    for (n, ms) in [(1, 30), (2, 10), (3, 20), (4, 5)] {
        stores.ask(n, hold_until(at(ms), &[("A", 1)])).await.unwrap();
    }
    stores.ask(4, ReservationCommand::Pin).await.unwrap();
    assert_eq!(stores.reservations.next_expiry().await.unwrap(), Some(at(10)));
    assert_eq!(stores.reservations.release_expired(at(9), 10).await.unwrap(), 0);
    assert_eq!(stores.reservations.release_expired(at(20), 1).await.unwrap(), 1);
    let statuses = async || {
        let mut statuses = Vec::new();
        for n in 1..=4 {
            statuses.push(stores.reservations.find(order(n)).await.unwrap().unwrap().status());
        }
        statuses
    };
    let (held, over) = (|ms| Status::Held { expires_at: at(ms) }, Status::Released(ReleaseCause::Expired));
    assert_eq!(statuses().await, [held(30), over, held(20), Status::Pinned]);
    assert_eq!(stores.reservations.release_expired(at(20), 10).await.unwrap(), 1);
    assert_eq!(statuses().await, [held(30), over, over, Status::Pinned]);
    assert_eq!(stores.reservations.next_expiry().await.unwrap(), Some(at(30)));
    assert_eq!(stores.stock("A").await, (100, 2));

    assert_eq!(stores.ask_at(at(20), 2, ReservationCommand::Pin).await, Err(ReservationError::HoldExpired(order(2))));
    let anew = stores.ask_at(at(20), 2, hold_until(at(50), &[("A", 7)])).await.unwrap();
    assert_eq!((anew.status(), anew.version()), (held(50), 3));
    stores.ask_at(at(20), 3, ReservationCommand::Release).await.unwrap();
    let late = stores.ask_at(at(20), 3, hold_until(at(50), &[("A", 1)])).await;
    assert!(matches!(late, Err(ReservationError::Closed { .. })), "the verdict came after the hold ran out");
    assert_eq!(stores.stock("A").await, (100, 9));
}

async fn pages_neither_skip_nor_repeat_while_products_are_added(stores: Stores) {
    for text in ["B", "D", "F", "H"] {
        stores.add(text, "Tea", 1, &[]).await;
    }
    let page = async |after: Option<Sku>| {
        let query = ProductQuery { search: String::new(), tags: Vec::new(), after, limit: 2 };
        stores.catalogue.list(query).await.unwrap()
    };
    let names = |items: &[Product]| items.iter().map(|product| product.sku().to_string()).collect::<Vec<_>>();
    let first = page(None).await;
    assert_eq!(names(&first.items), ["B", "D"]);
    // Before the cursor, right after it, and at the end.
    for text in ["A", "C", "E", "Z"] {
        stores.add(text, "Tea", 1, &[]).await;
    }
    let second = page(first.next).await;
    assert_eq!(names(&second.items), ["E", "F"]);
    let third = page(second.next).await;
    assert_eq!(names(&third.items), ["H", "Z"]);
    assert_eq!(third.next, None, "a last page that is full has no next");
}

async fn repeating_a_command_changes_nothing(stores: Stores) {
    stores.add("A", "A", 9, &[]).await;
    use ReservationCommand::{Commit, Pin, Release, Return};
    // After the hold, each command with the stock it leads to: redelivered at once, and the first hold late.
    for (n, commands) in [(1, &[(Pin, (9, 2)), (Commit, (7, 0)), (Return, (9, 0))][..]), (2, &[(Release, (9, 0))])] {
        let held = stores.ask(n, hold(&[("A", 2)])).await.unwrap();
        assert_eq!(stores.ask(n, hold(&[("A", 2)])).await.unwrap(), held);
        assert_eq!(stores.stock("A").await, (9, 2));
        for (command, stock) in commands {
            let once = stores.ask(n, command.clone()).await.unwrap();
            for _ in 0..2 {
                assert_eq!(stores.ask(n, command.clone()).await.unwrap(), once, "{command:?}");
            }
            assert_eq!(stores.stock("A").await, *stock, "{command:?}");
        }
        let late = stores.ask(n, hold(&[("A", 2)])).await;
        assert!(matches!(late, Err(ReservationError::Closed { .. })), "{late:?}");
        assert_eq!(stores.stock("A").await, (9, 0));
    }
}
