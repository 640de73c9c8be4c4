//! The business's metrics, counted exactly: in a process of its own, since they are the whole process's.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "it/helpers.rs"]
#[expect(dead_code, reason = "shared with the other tests, and this one needs a part")]
mod helpers;

use std::collections::BTreeMap;

use helpers::{World, request};

/// The samples of these metrics, by name and labels.
fn samples() -> BTreeMap<String, f64> {
    let text = String::from_utf8(observability::metrics::render()).unwrap();
    let kept = text.lines().filter(|line| {
        line.starts_with("orders_total")
            || line.starts_with("order_value_dollars")
            || line.starts_with("checkout_duration_seconds_count")
            || line.starts_with("saga_step_duration_seconds_count")
    });
    kept.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    })
    .collect()
}

#[tokio::test]
async fn each_change_of_an_order_counts_once_and_a_repeated_request_not_at_all() {
    orders::metrics::announce();
    assert!(samples().iter().all(|(name, value)| *value == 0.0 || name.contains("quantile")), "{:?}", samples());
    let world = World::new();
    let place = async |units, method, key| world.ordering.place_order(request(units, method, key)).await;

    // Two confirmed, of which one is cancelled and the other shipped and delivered; the first is asked for three times.
    let first = place(2, "card_ok", Some("key")).await.unwrap().order.id();
    for _ in 0..2 {
        assert_eq!(place(2, "card_ok", Some("key")).await.unwrap().order.id(), first);
    }
    let second = place(4, "card_ok", None).await.unwrap().order.id();
    world.settle().await;
    for _ in 0..2 {
        world.ordering.cancel_order(first, "changed my mind".to_owned()).await.unwrap();
    }
    world.settle().await;
    world.ordering.ship_order(second).await.unwrap();
    assert!(world.ordering.ship_order(second).await.is_err());
    world.ordering.deliver_order(second).await.unwrap();
    for _ in 0..2 {
        world.ordering.refund_order(second, "broken".to_owned()).await.unwrap();
    }
    // One declined, one without stock.
    assert!(place(1, "card_declined", None).await.is_err());
    assert!(place(9, "card_ok", None).await.is_err());
    world.settle().await;

    let samples = samples();
    let wanted: &[(&str, f64)] = &[
        (r#"orders_total{status="pending"}"#, 4.0),
        (r#"orders_total{status="confirmed"}"#, 2.0),
        (r#"orders_total{status="shipped"}"#, 1.0),
        (r#"orders_total{status="delivered"}"#, 1.0),
        (r#"orders_total{status="refunded"}"#, 1.0),
        (r#"orders_total{status="rejected"}"#, 1.0),
        // By the customer, and for the declined card.
        (r#"orders_total{status="cancelled"}"#, 2.0),
        // 2 and 4 units at 2.50 dollars.
        ("order_value_dollars_sum", 15.0),
        ("order_value_dollars_count", 2.0),
        (r#"checkout_duration_seconds_count{outcome="confirmed"}"#, 2.0),
        (r#"checkout_duration_seconds_count{outcome="declined"}"#, 1.0),
        (r#"checkout_duration_seconds_count{outcome="rejected"}"#, 1.0),
        (r#"checkout_duration_seconds_count{outcome="failed"}"#, 0.0),
        (r#"checkout_duration_seconds_count{outcome="undecided"}"#, 0.0),
        (r#"saga_step_duration_seconds_count{outcome="done",step="confirm"}"#, 2.0),
        (r#"saga_step_duration_seconds_count{outcome="done",step="commit"}"#, 2.0),
        (r#"saga_step_duration_seconds_count{outcome="done",step="refund"}"#, 2.0),
        (r#"saga_step_duration_seconds_count{outcome="refused",step="charge"}"#, 1.0),
        (r#"saga_step_duration_seconds_count{outcome="refused",step="reserve"}"#, 1.0),
    ];
    for (name, value) in wanted {
        assert_eq!(samples.get(*name), Some(value), "{name}: {samples:#?}");
    }
    let highest = samples[r#"order_value_dollars{quantile="0.99"}"#];
    assert!((4.9..=10.2).contains(&highest), "{highest}");
}
