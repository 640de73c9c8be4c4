//! What the world is told.

use std::time::Duration;

use contracts::Event;
use contracts::event_data::{LineData, ProductEvent, ReservationEvent};
use contracts::grpc::inventory as pb;
use messaging::bus::Deliveries;
use messaging::{Subscription, Verdict};
use observability::RequestContext;
use tokio::time::timeout;

use crate::helpers::{DEADLINE, World, commit, hold, order, pin, release, take_back, usd};

const TTL: Duration = Duration::from_mins(1);

async fn listen(world: &World) -> Box<dyn Deliveries> {
    world.bus.subscribe(Subscription::new("test.events", &["inventory.#", "product.#"])).await.unwrap()
}

async fn next(deliveries: &mut dyn Deliveries, wanted: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < wanted {
        let batch = timeout(DEADLINE, deliveries.next()).await.unwrap().unwrap();
        events.extend(batch.iter().map(|delivery| delivery.event.clone().unwrap()));
        deliveries.settle(batch.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect()).await.unwrap();
    }
    events
}

fn told(event: &Event) -> (String, String, u64) {
    (event.event_type.clone(), event.subject.clone(), event.aggregateversion)
}

#[tokio::test]
async fn a_reservation_tells_each_of_its_turns_once_with_gapless_versions() {
    let (world, clock) = World::at_rest().await;
    let mut heard = listen(&world).await;
    world.add_product("TEA-1", 10).await;
    assert_eq!(next(heard.as_mut(), 1).await[0].event_type, "product.created");
    let mut orders = world.service("orders");
    let context = RequestContext::accept(Some("checkout-7"), None);
    let sold = order(1);
    context
        .clone()
        .scope(async {
            for _ in 0..2 {
                orders.hold(hold(sold, &[("TEA-1", 2)], TTL)).await.unwrap();
            }
            clock.advance(Duration::from_secs(1));
            orders.hold(hold(sold, &[("TEA-1", 2)], TTL)).await.unwrap();
            for _ in 0..2 {
                orders.pin(pin(sold)).await.unwrap();
            }
            for _ in 0..2 {
                orders.commit(commit(sold)).await.unwrap();
            }
            for _ in 0..2 {
                orders.r#return(take_back(sold)).await.unwrap();
            }
        })
        .await;
    // Nothing was held: nothing is told. The next order's events prove that nothing came in between.
    orders.release(release(order(2))).await.unwrap();
    orders.hold(hold(order(3), &[("TEA-1", 1)], TTL)).await.unwrap();
    orders.release(release(order(3))).await.unwrap();

    let events = next(heard.as_mut(), 5).await;
    let (first, third) = (sold.to_string(), order(3).to_string());
    let expected = [
        ("inventory.reserved", &first, 1),
        ("inventory.committed", &first, 2),
        ("inventory.released", &first, 3),
        ("inventory.reserved", &third, 1),
        ("inventory.released", &third, 2),
    ];
    assert_eq!(
        events.iter().map(told).collect::<Vec<_>>(),
        expected.map(|(kind, subject, version)| (kind.to_owned(), subject.clone(), version))
    );
    let data: Vec<ReservationEvent> = events.iter().map(|event| event.data().unwrap()).collect();
    let statuses: Vec<_> = data.iter().map(|data| data.status.as_str()).collect();
    assert_eq!(statuses, ["held", "committed", "returned", "held", "released"]);
    assert_eq!(data[2].items, [LineData { sku: "TEA-1".parse().unwrap(), quantity: 2 }]);
    assert_eq!(data[2].order_id, sold);
    assert_eq!(events[0].requestid.as_deref(), Some("checkout-7"));
    assert!(events[0].traceparent.as_deref().unwrap().contains(&context.trace_id().to_string()));
    assert_eq!(events[0].source, "/souk/inventory");
}

#[tokio::test]
async fn a_product_tells_what_changed_and_how_many_can_be_ordered() {
    let (world, _) = World::at_rest().await;
    let mut heard = listen(&world).await;
    world.add_product("TEA-1", 10).await;
    let mut orders = world.service("orders");
    orders.hold(hold(order(1), &[("TEA-1", 4)], TTL)).await.unwrap();
    let sku = || "TEA-1".to_owned();
    let update = pb::UpdateProductRequest { sku: sku(), name: Some("Chai".to_owned()), ..Default::default() };
    let stock = pb::SetStockRequest { sku: sku(), on_hand: 7, reason: "two broke".to_owned() };
    // Each twice: what is so already is not told again.
    for _ in 0..2 {
        orders.update_product(world.by_admin(update.clone())).await.unwrap();
        let price = pb::SetPriceRequest { sku: sku(), price: Some(usd(5)) };
        orders.set_price(world.by_admin(price)).await.unwrap();
        orders.set_stock(world.by_admin(stock.clone())).await.unwrap();
    }
    orders.release(release(order(1))).await.unwrap();

    let events = next(heard.as_mut(), 6).await;
    let kinds: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
    let expected = [
        "product.created",
        "inventory.reserved",
        "product.updated",
        "product.price_changed",
        "product.stock_changed",
        "inventory.released",
    ];
    assert_eq!(kinds, expected);
    let products = events.iter().filter(|event| event.event_type.starts_with("product."));
    let data: Vec<ProductEvent> = products.map(|event| event.data().unwrap()).collect();
    let told: Vec<_> = data.iter().map(|data| (data.version, data.available, data.price.amount_minor())).collect();
    assert_eq!(told, [(1, 10, 1999), (2, 6, 1999), (3, 6, 5), (4, 3, 5)]);
    assert_eq!((data[3].name.as_str(), data[3].sku.as_str()), ("Chai", "TEA-1"));
}
