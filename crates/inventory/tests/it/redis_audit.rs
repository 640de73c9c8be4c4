//! What an audit across stores is told of a damaged inventory in Redis: everything else, and which order is concerned.

use contracts::audit::Span;
use inventory::application::audit::{InventoryAudit, ReservationFacts};
use inventory::application::ports::ReservationRepository as _;

use crate::helpers::{START, order};
use crate::redis::{Prefix, add, hold};

/// Goes from page to page, as an audit does.
async fn all_statuses(audit: &dyn InventoryAudit, limit: usize) -> Vec<(u128, String)> {
    let (mut span, mut found) = (Span::ALL, Vec::new());
    while span.after < span.until {
        let page = audit.list_reservations(span, limit).await.unwrap();
        assert!(page.items.len() <= limit && page.complete_to > span.after, "{page:?}");
        span.after = page.complete_to;
        found.extend(page.items);
    }
    let number = |facts: &ReservationFacts| facts.order_id.as_uuid().as_u128() - order(0).as_uuid().as_u128();
    found.iter().map(|facts| (number(facts), facts.status.clone())).collect()
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn damage_of_one_reservation_is_told_and_hides_no_other() {
    let prefix = Prefix::new();
    let store = prefix.open();
    add(&store, "A", 20).await;
    for n in 1..=8 {
        store.reservations.apply(order(n), hold(&[("A", 1)]), START).await.unwrap();
    }
    let of = |n: u128| prefix.key(&format!("reservation:{}", order(n)));
    prefix.command(&["DEL", &of(1)]);
    prefix.command(&["HSET", &of(3), "lines", "secret"]);
    prefix.command(&["HDEL", &of(4), "updated_at"]);
    prefix.command(&["HSET", &of(5), "status", "sold"]);
    prefix.command(&["HSET", &of(6), "expires_at", "soon"]);
    prefix.command(&["DEL", &of(8)]);
    prefix.command(&["SET", &of(8), "secret"]);
    // Names that no order has, before, between and after those of orders; more of them than fit a page.
    for name in ["00", "01", "02", "a", "b", "c", &order(2).to_string().to_uppercase(), &format!("{}0", order(2))] {
        prefix.command(&["ZADD", &prefix.key("orders"), "0", name]);
    }
    let audit = inventory::bootstrap::audit(&prefix.url()).unwrap();
    let damaged = ReservationFacts::DAMAGED;
    let expected = [damaged, "held", damaged, damaged, damaged, damaged, "held", damaged];
    let expected: Vec<_> = (1..).zip(expected.map(str::to_owned)).collect();
    for limit in [1, 2, 3, 100] {
        assert_eq!(all_statuses(&*audit, limit).await, expected, "{limit}");
    }
    let one = audit.list_reservations(Span::of(order(3).as_uuid()), 10).await.unwrap();
    assert_eq!(one.items, [ReservationFacts::damaged(order(3))]);
    let suspects = audit.list_suspect_stock().await.unwrap();
    assert_eq!(suspects.iter().map(|stock| stock.sku.as_str()).collect::<Vec<_>>(), ["A"]);
}
