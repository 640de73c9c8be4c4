//! Nothing that a caller sends gets in unchecked: each fault is told by its field, and nothing is written.

use std::time::Duration;

use contracts::Reason;
use contracts::grpc::inventory as pb;

use crate::helpers::{World, hold, new_product, order, refused, usd};

/// Refused as invalid, naming exactly this field.
macro_rules! names {
    ($field:expr, $call:expr) => {
        let refusal = refused($call.await);
        let fields: Vec<_> = refusal.fields.iter().map(|field| field.field.as_str()).collect();
        assert_eq!((refusal.reason, fields), (Reason::InvalidRequest, vec![$field]), "{refusal:?}");
    };
}

#[tokio::test]
async fn a_product_is_refused_by_the_field_at_fault() {
    let (world, _) = World::at_rest().await;
    let mut souk = world.service("souk");
    type Spoil = fn(&mut pb::CreateProductRequest);
    let cases: [(&str, Spoil); 16] = [
        ("/sku", |new| new.sku = String::new()),
        ("/sku", |new| new.sku = "A\0".to_owned()),
        ("/sku", |new| new.sku = "x".repeat(65)),
        ("/name", |new| new.name = "  ".to_owned()),
        ("/name", |new| new.name = "Te\0a".to_owned()),
        ("/name", |new| new.name = "x".repeat(201)),
        ("/description", |new| new.description = "x".repeat(4001)),
        ("/price", |new| new.price = None),
        ("/price", |new| new.price = Some(usd(i64::MAX))),
        ("/price", |new| new.price.as_mut().unwrap().currency = "usd".to_owned()),
        ("/price/amount_minor", |new| new.price = Some(usd(-1))),
        ("/image_url", |new| new.image_url = "javascript:alert(1)".to_owned()),
        ("/tags/1", |new| new.tags = vec!["tea".to_owned(), "Green Tea".to_owned()]),
        ("/tags", |new| new.tags = (0..21).map(|n| format!("t{n}")).collect()),
        ("/on_hand", |new| new.on_hand = u64::MAX),
        ("/on_hand", |new| new.on_hand = 1_000_000_001),
    ];
    for (field, spoil) in cases {
        let mut new = new_product("TEA-1", 1);
        spoil(&mut new);
        names!(field, souk.create_product(new));
    }
    let mut new = new_product("", 1);
    new.name = String::new();
    let fields: Vec<_> = refused(souk.create_product(new).await).fields.into_iter().map(|field| field.field).collect();
    assert_eq!(fields, ["/sku", "/name"], "all faults are told at once");
    let page = souk.list_products(pb::ListProductsRequest::default()).await.unwrap().into_inner();
    assert_eq!(page.items, [], "nothing was written");
}

#[tokio::test]
async fn a_change_of_a_product_is_refused_by_the_field_at_fault() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 5).await;
    let mut client = world.service("souk");
    let sku = || "TEA-1".to_owned();
    let update = pb::UpdateProductRequest { sku: sku(), ..Default::default() };
    let spoilt = pb::UpdateProductRequest { name: Some(String::new()), ..update.clone() };
    names!("/name", client.update_product(world.by_admin(spoilt)));
    let spoilt = pb::UpdateProductRequest { image_url: Some("ftp://x".to_owned()), ..update.clone() };
    names!("/image_url", client.update_product(world.by_admin(spoilt)));
    let spoilt = pb::UpdateProductRequest { tags: Some(pb::Tags { values: vec!["A".to_owned()] }), ..update };
    names!("/tags/0", client.update_product(world.by_admin(spoilt)));
    let spoilt = pb::SetPriceRequest { sku: sku(), price: None };
    names!("/price", client.set_price(world.by_admin(spoilt)));
    let spoilt = pb::SetStockRequest { sku: sku(), on_hand: 1 << 63, reason: String::new() };
    names!("/on_hand", client.set_stock(world.by_admin(spoilt)));
    let spoilt = pb::SetStockRequest { sku: sku(), on_hand: 1, reason: "a\0".to_owned() };
    names!("/reason", client.set_stock(world.by_admin(spoilt)));
    let spoilt = pb::SetPriceRequest { sku: "a/b".to_owned(), price: Some(usd(1)) };
    names!("sku", client.set_price(world.by_admin(spoilt)));
    let product = client.get_product(pb::GetProductRequest { sku: sku() }).await.unwrap().into_inner();
    assert_eq!((product.version, product.available), (1, 5), "nothing was written");
}

#[tokio::test]
async fn a_hold_is_refused_by_the_field_at_fault() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 100_000).await;
    let mut orders = world.service("orders");
    let ttl = Duration::from_mins(1);
    let good = hold(order(1), &[("TEA-1", 1)], ttl);
    for bad in ["", "1", "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b", "x\0"] {
        names!("/order_id", orders.hold(pb::HoldRequest { order_id: bad.to_owned(), ..good.clone() }));
    }
    for bad in [0, 24 * 3_600 * 1_000 + 1, u64::MAX] {
        names!("/ttl_ms", orders.hold(pb::HoldRequest { ttl_ms: bad, ..good.clone() }));
    }
    names!("/items", orders.hold(hold(order(1), &[], ttl)));
    names!("/items/1/quantity", orders.hold(hold(order(1), &[("TEA-1", 1), ("B", 0)], ttl)));
    names!("/items/0/quantity", orders.hold(hold(order(1), &[("TEA-1", u32::MAX)], ttl)));
    names!("/items/1/quantity", orders.hold(hold(order(1), &[("TEA-1", 10_000), ("TEA-1", 1)], ttl)));
    names!("/items/0/sku", orders.hold(hold(order(1), &[("a b", 1)], ttl)));
    let many: Vec<String> = (0..201).map(|n| format!("S{n}")).collect();
    let many: Vec<(&str, u32)> = many.iter().map(|sku| (sku.as_str(), 1)).collect();
    names!("/items", orders.hold(hold(order(1), &many, ttl)));
    names!("/items", orders.hold(hold(order(1), &vec![("TEA-1", 1); 1_001], ttl)));
    names!("/order_id", orders.pin(pb::PinRequest { order_id: "x".to_owned() }));
    assert_eq!(world.available("TEA-1").await, 100_000, "nothing was written");
}

#[tokio::test]
async fn a_read_is_refused_by_the_parameter_at_fault() {
    let (world, _) = World::at_rest().await;
    let mut client = world.anonymous();
    names!("sku", client.get_product(pb::GetProductRequest { sku: "a\0".to_owned() }));
    names!("/skus", client.batch_get_products(pb::BatchGetProductsRequest { skus: vec!["A".to_owned(); 201] }));
    let skus = vec!["A".to_owned(), "a b".to_owned()];
    names!("/skus/1", client.batch_get_products(pb::BatchGetProductsRequest { skus }));
    let all = pb::ListProductsRequest::default();
    for cursor in ["!", "VEVBLTE=", "TEA-1", "AAAA", "' OR 1=1"] {
        names!("cursor", client.list_products(pb::ListProductsRequest { cursor: cursor.to_owned(), ..all.clone() }));
    }
    names!("limit", client.list_products(pb::ListProductsRequest { limit: 101, ..all.clone() }));
    names!("search", client.list_products(pb::ListProductsRequest { search: "a\0".to_owned(), ..all.clone() }));
    names!("search", client.list_products(pb::ListProductsRequest { search: "x".repeat(201), ..all.clone() }));
    names!("tags/0", client.list_products(pb::ListProductsRequest { tags: vec!["A'".to_owned()], ..all.clone() }));
}
