//! The service over real gRPC.

use std::time::Duration;

use contracts::grpc::inventory as pb;
use contracts::{Reason, Role};
use inventory::bootstrap::{self, BootstrapError};
use inventory::settings::Settings;
use service_kit::grpc::client::on_behalf_of;
use tonic::{Code, Request};

use crate::helpers::{START, World, commit, hold, new_product, order, pin, reason, refused, release, take_back, usd};

const TTL: Duration = Duration::from_mins(1);

fn status(reservation: &pb::Reservation) -> pb::ReservationStatus {
    reservation.status()
}

#[tokio::test]
async fn a_product_is_shown_to_everybody_as_it_was_made_and_changed() {
    let (world, clock) = World::at_rest().await;
    let mut client = world.service("souk");
    let new = pb::CreateProductRequest {
        name: "Grüner Tee".to_owned(),
        tags: vec!["tea".to_owned(), "green".to_owned(), "tea".to_owned()],
        ..new_product("TEA-1", 12)
    };
    let made = client.create_product(world.by_admin(new)).await.unwrap().into_inner();
    let expected = pb::Product {
        sku: "TEA-1".to_owned(),
        name: "Grüner Tee".to_owned(),
        description: "Good.".to_owned(),
        price: Some(usd(1999)),
        image_url: "/images/x.jpg".to_owned(),
        tags: vec!["tea".to_owned(), "green".to_owned()],
        available: 12,
        version: 1,
        updated_at_unix_ms: START.unix_ms(),
    };
    assert_eq!(made, expected);
    let get = || pb::GetProductRequest { sku: "TEA-1".to_owned() };
    assert_eq!(world.anonymous().get_product(get()).await.unwrap().into_inner(), expected);

    clock.advance(Duration::from_millis(1));
    let update = pb::UpdateProductRequest {
        sku: "TEA-1".to_owned(),
        description: Some(String::new()),
        tags: Some(pb::Tags { values: vec![] }),
        ..Default::default()
    };
    client.update_product(world.by_admin(update)).await.unwrap();
    let price = pb::SetPriceRequest { sku: "TEA-1".to_owned(), price: Some(usd(0)) };
    client.set_price(world.by_admin(price)).await.unwrap();
    let stock = pb::SetStockRequest { sku: "TEA-1".to_owned(), on_hand: 3, reason: String::new() };
    client.set_stock(world.by_admin(stock)).await.unwrap();
    let changed = pb::Product {
        description: String::new(),
        tags: vec![],
        price: Some(usd(0)),
        available: 3,
        version: 4,
        updated_at_unix_ms: START.unix_ms() + 1,
        ..expected
    };
    assert_eq!(world.anonymous().get_product(get()).await.unwrap().into_inner(), changed);
}

#[tokio::test]
async fn what_is_not_there_or_there_already_is_refused() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 1).await;
    let mut client = world.service("souk");
    let sku = || "NOPE".to_owned();
    assert_eq!(reason(client.create_product(new_product("TEA-1", 9)).await), Reason::ProductExists);
    assert_eq!(world.available("TEA-1").await, 1);
    assert_eq!(reason(client.get_product(pb::GetProductRequest { sku: sku() }).await), Reason::ProductNotFound);
    let update = pb::UpdateProductRequest { sku: sku(), ..Default::default() };
    assert_eq!(reason(client.update_product(world.by_admin(update)).await), Reason::ProductNotFound);
    let price = pb::SetPriceRequest { sku: sku(), price: Some(usd(1)) };
    assert_eq!(reason(client.set_price(world.by_admin(price)).await), Reason::ProductNotFound);
    let stock = pb::SetStockRequest { sku: sku(), on_hand: 1, reason: String::new() };
    assert_eq!(reason(client.set_stock(stock).await), Reason::ProductNotFound);
    let skus = ["NOPE", "TEA-1", "TEA-1"].map(str::to_owned).to_vec();
    let found = client.batch_get_products(pb::BatchGetProductsRequest { skus }).await.unwrap().into_inner().items;
    assert_eq!(found.iter().map(|product| product.sku.as_str()).collect::<Vec<_>>(), ["TEA-1"]);
}

#[tokio::test]
async fn pages_lead_through_the_whole_catalogue() {
    let (world, _) = World::at_rest().await;
    for n in 0..7 {
        world.add_product(&format!("TEA-{n}"), 1).await;
    }
    let mut client = world.anonymous();
    let (mut seen, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let request =
            pb::ListProductsRequest { limit: 3, cursor, search: "tea".to_owned(), tags: vec!["new".to_owned()] };
        let page = client.list_products(request).await.unwrap().into_inner();
        sizes.push(page.items.len());
        seen.extend(page.items.into_iter().map(|product| product.sku));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(seen, (0..7).map(|n| format!("TEA-{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_order_holds_pins_commits_and_returns_each_as_often_as_asked() {
    let (world, clock) = World::at_rest().await;
    world.add_product("TEA-1", 10).await;
    world.add_product("MUG-1", 5).await;
    let mut orders = world.service("orders");
    let request = hold(order(1), &[("TEA-1", 2), ("MUG-1", 1), ("TEA-1", 1)], TTL);
    let held = orders.hold(request.clone()).await.unwrap().into_inner();
    let line = |sku: &str, quantity| pb::Line { sku: sku.to_owned(), quantity };
    assert_eq!(
        held,
        pb::Reservation {
            order_id: order(1).to_string(),
            status: pb::ReservationStatus::Held.into(),
            items: vec![line("TEA-1", 3), line("MUG-1", 1)],
            expires_at_unix_ms: Some(START.plus(TTL).unix_ms()),
        }
    );
    clock.advance(Duration::from_secs(1));
    let extended = orders.hold(request.clone()).await.unwrap().into_inner();
    assert_eq!(extended.expires_at_unix_ms, Some(START.plus(TTL).unix_ms() + 1_000));
    assert_eq!((world.available("TEA-1").await, world.available("MUG-1").await), (7, 4));

    let expected = [pb::ReservationStatus::Pinned, pb::ReservationStatus::Committed, pb::ReservationStatus::Returned];
    for _ in 0..2 {
        let pinned = orders.pin(pin(order(1))).await.unwrap().into_inner();
        assert_eq!((status(&pinned), pinned.expires_at_unix_ms), (expected[0], None));
    }
    for _ in 0..2 {
        assert_eq!(status(orders.commit(commit(order(1))).await.unwrap().get_ref()), expected[1]);
    }
    assert_eq!(world.available("TEA-1").await, 7);
    for late in [orders.hold(request).await, orders.pin(pin(order(1))).await] {
        assert_eq!(status(late.unwrap().get_ref()), expected[1], "a late repetition changes nothing");
    }
    for _ in 0..2 {
        assert_eq!(status(orders.r#return(take_back(order(1))).await.unwrap().get_ref()), expected[2]);
    }
    assert_eq!((world.available("TEA-1").await, world.available("MUG-1").await), (10, 5));
    let shown = orders.get_reservation(pb::GetReservationRequest { order_id: order(1).to_string() }).await.unwrap();
    assert_eq!(status(shown.get_ref()), expected[2]);
}

#[tokio::test]
async fn a_hold_that_is_short_names_every_missing_item_and_holds_none() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 3).await;
    world.add_product("MUG-1", 5).await;
    let mut orders = world.service("orders");
    let request = hold(order(1), &[("TEA-1", 4), ("MUG-1", 2), ("NOPE", 1)], TTL);
    let refusal = refused(orders.hold(request).await);
    assert_eq!(refusal.reason, Reason::OutOfStock);
    assert_eq!(refusal.detail, "4 of TEA-1 wanted, 3 available; 1 of NOPE wanted, 0 available");
    assert_eq!(refusal.metadata["order_id"], order(1).to_string());
    assert_eq!(
        refusal.metadata["missing"],
        r#"[{"sku":"TEA-1","requested":4,"available":3},{"sku":"NOPE","requested":1,"available":0}]"#
    );
    assert_eq!(world.available("MUG-1").await, 5);
    let get = pb::GetReservationRequest { order_id: order(1).to_string() };
    assert_eq!(reason(orders.get_reservation(get).await), Reason::ReservationNotFound);
}

#[tokio::test]
async fn even_the_longest_list_of_missing_items_arrives() {
    let (world, _) = World::at_rest().await;
    let skus: Vec<String> = (0..200).map(|n| format!("{n:0>64}")).collect();
    let items: Vec<(&str, u32)> = skus.iter().map(|sku| (sku.as_str(), 10_000)).collect();
    let refusal = refused(world.service("orders").hold(hold(order(1), &items, TTL)).await);
    assert_eq!(refusal.reason, Reason::OutOfStock, "{refusal:?}");
    for sku in &skus {
        assert!(refusal.metadata["missing"].contains(sku.as_str()));
    }
}

#[tokio::test]
async fn a_hold_that_ran_out_is_not_pinned_and_may_be_held_anew() {
    let (world, clock) = World::at_rest().await;
    world.add_product("TEA-1", 3).await;
    let mut orders = world.service("orders");
    orders.hold(hold(order(1), &[("TEA-1", 3)], TTL)).await.unwrap();
    clock.advance(TTL);
    assert_eq!(reason(orders.pin(pin(order(1))).await), Reason::HoldExpired);
    assert_eq!(reason(orders.commit(commit(order(1))).await), Reason::HoldExpired);
    orders.hold(hold(order(1), &[("TEA-1", 3)], TTL)).await.unwrap();
    orders.pin(pin(order(1))).await.unwrap();
    clock.advance(TTL);
    orders.commit(commit(order(1))).await.unwrap();
}

#[tokio::test]
async fn a_verdict_is_final() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 3).await;
    let mut orders = world.service("orders");
    assert_eq!(reason(orders.pin(pin(order(1))).await), Reason::ReservationNotFound);
    assert_eq!(reason(orders.commit(commit(order(1))).await), Reason::ReservationNotFound);
    assert_eq!(reason(orders.r#return(take_back(order(1))).await), Reason::ReservationNotFound);
    let request = hold(order(1), &[("TEA-1", 3)], TTL);
    for _ in 0..2 {
        let released = orders.release(release(order(1))).await.unwrap().into_inner();
        assert_eq!(status(&released), pb::ReservationStatus::Released);
    }
    assert_eq!(reason(orders.hold(request).await), Reason::ReservationClosed, "the release came before the hold");

    orders.hold(hold(order(2), &[("TEA-1", 3)], TTL)).await.unwrap();
    assert_eq!(reason(orders.commit(commit(order(2))).await), Reason::ReservationClosed, "it is not pinned");
    orders.pin(pin(order(2))).await.unwrap();
    orders.release(release(order(2))).await.unwrap();
    assert_eq!(world.available("TEA-1").await, 3);
    assert_eq!(reason(orders.commit(commit(order(2))).await), Reason::ReservationClosed);
    assert_eq!(reason(orders.pin(pin(order(2))).await), Reason::ReservationClosed);

    orders.hold(hold(order(3), &[("TEA-1", 3)], TTL)).await.unwrap();
    orders.pin(pin(order(3))).await.unwrap();
    orders.commit(commit(order(3))).await.unwrap();
    assert_eq!(reason(orders.release(release(order(3))).await), Reason::ReservationClosed, "sold goods are returned");
}

#[tokio::test]
async fn stock_is_not_counted_below_what_orders_have_reserved() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 5).await;
    let mut souk = world.service("souk");
    souk.hold(hold(order(1), &[("TEA-1", 3)], TTL)).await.unwrap();
    let set = |on_hand| pb::SetStockRequest { sku: "TEA-1".to_owned(), on_hand, reason: String::new() };
    assert_eq!(reason(souk.set_stock(set(2)).await), Reason::StockBelowReserved);
    assert_eq!(souk.set_stock(set(4)).await.unwrap().into_inner().available, 1);
}

/// What each kind of caller is answered with; `Ok` stands for being let in, whatever comes of it.
#[tokio::test]
async fn every_call_lets_in_whom_it_should() {
    let (world, _) = World::at_rest().await;
    let (customer, support, admin) =
        (world.token(&[Role::Customer]), world.token(&[Role::Support]), world.token(&[Role::Admin]));
    macro_rules! answers {
        ($method:ident, $message:expr) => {{
            let mut codes = Vec::new();
            codes.push(world.anonymous().$method(Request::new($message)).await.err().map(|status| status.code()));
            for token in [&customer, &support, &admin] {
                let request = on_behalf_of(token, $message).unwrap();
                codes.push(world.service("x").$method(request).await.err().map(|status| status.code()));
            }
            for service in ["orders", "souk"] {
                codes.push(world.service(service).$method($message).await.err().map(|status| status.code()));
            }
            codes
                .into_iter()
                .map(|code| match code {
                    Some(Code::Unauthenticated) => "who?",
                    Some(Code::PermissionDenied) => "no",
                    _ => "yes",
                })
                .collect::<Vec<_>>()
                .join(" ")
        }};
    }
    let everybody = "yes yes yes yes yes yes";
    let (admins, seeders) = ("who? no no yes no no", "who? no no yes no yes");
    let (services, staff) = ("who? no no no yes yes", "who? no yes yes yes yes");
    assert_eq!(answers!(get_product, pb::GetProductRequest { sku: "A".to_owned() }), everybody);
    assert_eq!(answers!(list_products, pb::ListProductsRequest::default()), everybody);
    assert_eq!(answers!(batch_get_products, pb::BatchGetProductsRequest::default()), everybody);
    assert_eq!(answers!(create_product, new_product("A", 1)), seeders);
    assert_eq!(
        answers!(update_product, pb::UpdateProductRequest { sku: "A".to_owned(), ..Default::default() }),
        admins
    );
    assert_eq!(answers!(set_price, pb::SetPriceRequest { sku: "A".to_owned(), price: Some(usd(1)) }), admins);
    let stock = || pb::SetStockRequest { sku: "A".to_owned(), on_hand: 5, reason: String::new() };
    assert_eq!(answers!(set_stock, stock()), seeders);
    assert_eq!(answers!(hold, hold(order(1), &[("A", 1)], TTL)), services);
    assert_eq!(answers!(pin, pin(order(1))), services);
    assert_eq!(answers!(commit, commit(order(1))), services);
    assert_eq!(answers!(release, release(order(1))), services);
    assert_eq!(answers!(r#return, take_back(order(1))), services);
    assert_eq!(answers!(get_reservation, pb::GetReservationRequest { order_id: order(1).to_string() }), staff);
}

#[tokio::test]
async fn an_engine_that_this_build_lacks_is_refused_by_name() {
    let (world, _) = World::at_rest().await;
    let settings = Settings { database_url: "mongodb://localhost".to_owned() };
    let refused = bootstrap::build(&settings, world.platform(), world.bus.clone()).await.err().unwrap();
    assert!(matches!(refused, BootstrapError::NotCompiledIn { ref scheme } if scheme == "mongodb"), "{refused:?}");
}
