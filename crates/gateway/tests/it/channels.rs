//! Live updates over Socket.IO.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use contracts::event_data::{OrderData, event_type};
use contracts::grpc::orders::OrderOutcome;
use contracts::ids::UserId;
use contracts::{Reason, Refusal, Role};
use gateway::realtime::channels::merge_patch;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::replicas::{Gap, GappyBus};
use crate::sio::Client;
use crate::stubs::orders;
use crate::world::{World, eventually, user_id};

impl World {
    /// The client of a customer.
    async fn watcher(&self) -> Client {
        self.socket(&self.token()).await
    }

    fn admin_token(&self) -> String {
        self.token_with(&[Role::Customer, Role::Admin], user_id())
    }

    /// Tells the bus how the order stands at a version.
    async fn order_moved(&self, event: &str, version: u64) {
        let order: OrderData = serde_json::from_value(order_json(version)).unwrap();
        self.publish(event, user_id(), &order).await;
    }

    /// Tells the bus that units of these were reserved.
    async fn reserved(&self, skus: &[&str]) {
        let items: Vec<_> = skus.iter().map(|sku| json!({ "sku": sku, "quantity": 1 })).collect();
        let event = json!({ "order_id": orders::ID, "status": "held", "items": items });
        self.publish(event_type::INVENTORY_RESERVED, user_id(), &event).await;
    }
}

fn order_json(version: u64) -> Value {
    let money = |amount: i64| json!({ "amount_minor": amount, "currency": "USD" });
    json!({
        "id": orders::ID,
        "user_id": user_id(),
        "status": "confirmed",
        "items": [{ "sku": "TEA-1", "name": "Tea", "quantity": 2, "unit_price": money(500), "line_total": money(1000) }],
        "total": money(1000),
        "version": version,
        "created_at": "2026-11-22T10:09:08.007Z",
        "updated_at": "2026-11-22T10:09:09.000Z",
    })
}

fn order_channel() -> String {
    format!("order:{}", orders::ID)
}

/// What a careful client does with an update.
fn follow(known: &mut Value, update: &Value) {
    let (mine, theirs) = (known["version"].as_u64().unwrap(), update["version"].as_u64().unwrap());
    if theirs <= mine {
        return;
    }
    assert!(theirs == mine + 1 || update.get("data").is_some(), "a gap before a patch: {mine} {update}");
    match update.get("patch") {
        Some(patch) => merge_patch::apply(&mut known["data"], patch),
        None => known["data"] = update["data"].clone(),
    }
    known["version"] = update["version"].clone();
}

#[tokio::test]
async fn an_order_is_followed_from_its_snapshot_by_its_own_version_in_the_shape_of_the_rest_api() {
    let world = World::new().await;
    let mut client = world.watcher().await;
    let channel = order_channel();
    let mut known = client.ask("subscribe", &json!([channel])).await[&channel].clone();
    let path = format!("/api/orders/{}", orders::ID);
    let rest: Value = world.get(&path).bearer_auth(world.token()).send().await.unwrap().json().await.unwrap();
    assert_eq!(known, json!({ "version": 3, "data": rest }));
    for version in [4, 4, 5, 3] {
        world.order_moved(event_type::ORDER_SHIPPED, version).await;
        let update = client.hear("update").await;
        assert_eq!((&update["channel"], update["version"].as_u64()), (&json!(channel), Some(version)));
        let shape = |json: &Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(shape(&update["data"]), shape(&rest), "the same members");
        follow(&mut known, &update);
    }
    assert_eq!((known["version"].as_u64(), known["data"]["version"].as_u64()), (Some(5), Some(5)));
}

#[tokio::test]
async fn what_may_not_be_had_is_refused_beside_what_may() {
    let world = World::new().await;
    let mut client = world.watcher().await;
    let refusal = Refusal::new(Reason::OrderNotFound, Reason::OrderNotFound.title());
    world.script.refuse("GetOrder", refusal);
    let names = json!([
        order_channel(),
        "product:TEA-1",
        "product:NONE",
        "dashboard",
        "user:1",
        "live:catalogue",
        "catalogue:"
    ]);
    let answers = client.ask("subscribe", &names).await;
    let code = |name: &str| answers[name]["error"]["code"].as_str().unwrap_or("granted").to_owned();
    assert_eq!(code(&order_channel()), "ORDER_NOT_FOUND");
    assert_eq!(code("product:TEA-1"), "granted");
    assert_eq!(code("product:NONE"), "PRODUCT_NOT_FOUND");
    assert_eq!(code("dashboard"), "NOT_ALLOWED");
    for unknown in ["user:1", "live:catalogue", "catalogue:"] {
        assert_eq!(code(unknown), "CHANNEL_NOT_FOUND", "{unknown}");
    }
    assert!(answers["product:NONE"]["error"]["message"].is_string());

    // Nothing of what was refused comes.
    world.order_moved(event_type::ORDER_SHIPPED, 4).await;
    world.reserved(&["TEA-1"]).await;
    assert_eq!(client.hear("update").await["channel"], "product:TEA-1");
    assert!(client.heard_until_now().await.is_empty());
}

#[tokio::test]
async fn a_call_that_makes_no_sense_or_asks_for_too_much_is_refused() {
    let world = World::new().await;
    let mut client = world.watcher().await;
    for bad in [json!("catalogue"), json!({}), json!([1]), json!(null), json!(vec!["catalogue"; 21])] {
        assert_eq!(client.ask("subscribe", &bad).await["error"]["code"], "INVALID_REQUEST", "{bad}");
    }
    assert_eq!(client.ask("subscribe", &json!([])).await, json!({}));
    let names = |from: usize| (from..from + 20).map(|n| format!("product:TEA-{n}")).collect::<Vec<_>>();
    for call in 0..5 {
        let answers = client.ask("subscribe", &json!(names(call * 20))).await;
        assert!(answers.as_object().unwrap().values().all(|answer| answer["version"].is_u64()), "{answers}");
    }
    let full = client.ask("subscribe", &json!(["catalogue", "product:TEA-7"])).await;
    assert_eq!(full["catalogue"]["error"]["code"], "TOO_MANY_CHANNELS");
    assert!(full["product:TEA-7"]["version"].is_u64(), "what it watches already it may ask for again");
    assert_eq!(client.ask("unsubscribe", &json!(["product:TEA-7", "product:X", "nonsense"])).await, json!({}));
    assert!(client.ask("subscribe", &json!(["catalogue"])).await["catalogue"]["version"].is_u64());
}

#[tokio::test]
async fn a_product_moves_with_reservations_and_its_versions_have_no_gaps() {
    let world = World::new().await;
    let mut client = world.watcher().await;
    let mut known = client.ask("subscribe", &json!(["product:TEA-1"])).await["product:TEA-1"].clone();
    let rest: Value = world.get("/api/products/TEA-1").send().await.unwrap().json().await.unwrap();
    assert_eq!(known["data"], rest);
    let first = known["version"].as_u64().unwrap();
    for step in 1..=3 {
        world.inventory.available.store(7 - step, Ordering::SeqCst);
        world.reserved(&["TEA-1"]).await;
        let update = client.hear("update").await;
        assert_eq!(update["version"], first + step);
        follow(&mut known, &update);
        assert_eq!(known["data"]["available"], 7 - step);
    }
    // Asking again gives where it is now.
    let again = client.ask("subscribe", &json!(["product:TEA-1"])).await["product:TEA-1"].clone();
    assert_eq!(again, known);
}

#[tokio::test]
async fn many_changes_of_a_product_become_few_updates_and_the_last_one_counts() {
    let world = World::new().await;
    let mut client = world.watcher().await;
    let mut known = client.ask("subscribe", &json!(["product:TEA-1"])).await["product:TEA-1"].clone();
    let first = known["version"].as_u64().unwrap();
    for available in (0..200).rev() {
        world.inventory.available.store(available, Ordering::SeqCst);
        world.reserved(&["TEA-1", "TEA-2"]).await;
    }
    while known["data"]["available"] != 0 {
        let update = client.hear("update").await;
        assert_eq!(update["version"].as_u64(), known["version"].as_u64().map(|version| version + 1));
        follow(&mut known, &update);
    }
    let updates = known["version"].as_u64().unwrap() - first;
    assert!(updates < 100, "{updates} updates of 200 changes");
    let reads = world.script.calls("BatchGetProducts");
    assert!(reads.iter().all(|read| !read.message.contains("TEA-2")), "what nobody watches is not read");
}

#[tokio::test]
async fn the_catalogue_is_a_map_by_sku_that_patches_keep_up_to_date() {
    let world = World::new().await;
    let mut client = world.watcher().await;
    let mut known = client.ask("subscribe", &json!(["catalogue"])).await["catalogue"].clone();
    let price = json!({ "amount_minor": 500, "currency": "USD" });
    assert_eq!(known["data"], json!({ "TEA-1": { "name": "Tea", "price": price, "available": 7, "version": 1 } }));
    world.inventory.available.store(5, Ordering::SeqCst);
    world.reserved(&["TEA-1", "TEA-2", "NONE-1"]).await;
    let update = client.hear("update").await;
    assert_eq!(update["version"].as_u64(), known["version"].as_u64().map(|version| version + 1));
    assert_eq!(update["patch"]["NONE-1"], Value::Null);
    follow(&mut known, &update);
    let entry = json!({ "name": "Tea", "price": price, "available": 5, "version": 1 });
    assert_eq!(known["data"], json!({ "TEA-1": entry, "TEA-2": entry }));
}

#[tokio::test]
async fn nothing_is_read_or_sent_for_what_nobody_watches() {
    let world = World::new().await;
    let mut client = world.watcher().await;
    client.ask("subscribe", &json!(["product:TEA-1"])).await;
    client.ask("unsubscribe", &json!(["product:TEA-1"])).await;
    world.reserved(&["TEA-9"]).await;
    world.order_moved(event_type::ORDER_SHIPPED, 4).await;
    // What comes after those on the same queue has been handled after them.
    client.ask("subscribe", &json!(["product:TEA-2"])).await;
    world.reserved(&["TEA-2"]).await;
    assert_eq!(client.hear("update").await["channel"], "product:TEA-2");
    assert!(!world.script.calls("BatchGetProducts").iter().any(|call| call.message.contains("TEA-9")));
}

#[tokio::test]
async fn who_unsubscribes_hears_no_more() {
    let world = World::new().await;
    let (mut leaver, mut stayer) = (world.watcher().await, world.watcher().await);
    for client in [&mut leaver, &mut stayer] {
        client.ask("subscribe", &json!(["product:TEA-1", order_channel()])).await;
    }
    assert_eq!(leaver.ask("unsubscribe", &json!(["product:TEA-1", order_channel()])).await, json!({}));
    world.reserved(&["TEA-1"]).await;
    world.order_moved(event_type::ORDER_SHIPPED, 4).await;
    stayer.hear("update").await;
    stayer.hear("update").await;
    assert!(leaver.heard_until_now().await.is_empty());
}

#[tokio::test]
async fn what_moves_while_a_snapshot_is_on_its_way_comes_after_it() {
    let world = World::new().await;
    // The order moves on with every look at it: version 4 is what is read first, then 5.
    *world.orders.twist.lock().unwrap() = |outcome: &mut OrderOutcome| {
        static LOOKS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(4);
        outcome.order.as_mut().unwrap().version = LOOKS.fetch_add(1, Ordering::SeqCst);
    };
    let mut client = world.watcher().await;
    let known = client.ask("subscribe", &json!([order_channel()])).await[order_channel()].clone();
    assert_eq!(known["version"], 4);
    let update = client.hear("update").await;
    assert_eq!((&update["version"], &update["data"]["version"]), (&json!(5), &json!(5)));
}

#[tokio::test]
async fn an_admin_sees_the_dashboard_every_second_on_either_namespace() {
    let world = World::new().await;
    let token = json!({ "token": world.admin_token() });
    let mut main = Client::connect(world.address, "/", &token).await.unwrap();
    let mut admin = Client::connect(world.address, "/admin", &token).await.unwrap();
    world.order_moved(event_type::ORDER_CONFIRMED, 2).await;
    let answer = admin.ask("subscribe", &json!(["dashboard", "catalogue"])).await;
    assert_eq!(answer["catalogue"]["error"]["code"], "CHANNEL_NOT_FOUND", "that one is on the main namespace");
    let mut known = answer["dashboard"].clone();
    assert_eq!(known["data"]["gateways"], 1);
    assert!(main.ask("subscribe", &json!(["dashboard"])).await["dashboard"]["version"].is_u64());
    eventually("the order is counted", async || {
        let update = admin.hear("update").await;
        assert_eq!(update["version"].as_u64(), known["version"].as_u64().map(|version| version + 1), "no gaps");
        follow(&mut known, &update);
        known["data"]["orders"]["confirmed"] == 1
    })
    .await;
    assert_eq!(known["data"]["revenue"]["last_minute"], json!([{ "amount_minor": 1000, "currency": "USD" }]));
    assert!(known["data"]["sockets"].as_u64().unwrap() >= 2, "{known}");
    assert_eq!(main.hear("update").await["channel"], "dashboard");
}

#[tokio::test]
async fn the_dashboard_is_for_administrators() {
    let world = World::new().await;
    let support = world.token_with(&[Role::Customer, Role::Support], user_id());
    let mut client = world.socket(&support).await;
    assert_eq!(client.ask("subscribe", &json!(["dashboard"])).await["dashboard"]["error"]["code"], "NOT_ALLOWED");
}

#[tokio::test]
async fn a_session_that_goes_on_is_sent_what_it_missed_and_watches_what_it_still_may() {
    let world = World::new().await;
    let mut client = world.watcher().await;
    let channel = order_channel();
    client.ask("subscribe", &json!([channel, "product:TEA-1"])).await;
    world.order_moved(event_type::ORDER_SHIPPED, 4).await;
    let seen = client.hear_all("update").await;
    let offset = seen.last().unwrap().clone();
    let auth = json!({ "token": world.token(), "pid": client.hello["pid"], "offset": offset });
    drop(client);
    world.order_moved(event_type::ORDER_DELIVERED, 5).await;
    world.reserved(&["TEA-1"]).await;
    let mut back = Client::connect(world.address, "/", &auth).await.unwrap();
    let mut missed = [back.hear("update").await, back.hear("update").await].map(|update| update["channel"].clone());
    missed.sort_by_key(ToString::to_string);
    assert_eq!(missed, [json!(channel), json!("product:TEA-1")]);

    // The order is no longer for this user.
    world.script.refuse("GetOrder", Refusal::new(Reason::OrderNotFound, "not yours"));
    world.order_moved(event_type::ORDER_REFUNDED, 6).await;
    let last = back.hear_all("update").await.last().unwrap().clone();
    let auth = json!({ "token": world.token(), "pid": back.hello["pid"], "offset": last });
    drop(back);
    world.order_moved(event_type::ORDER_REFUNDED, 7).await;
    world.reserved(&["TEA-1"]).await;
    let mut again = Client::connect(world.address, "/", &auth).await.unwrap();
    assert_eq!(again.hear("update").await["channel"], "product:TEA-1", "nothing of the order");
}

#[tokio::test]
async fn who_watches_is_asked_to_begin_again_when_events_passed_the_gateway_by() {
    for (queue, channel) in
        [("gateway.live.orders", order_channel()), ("gateway.live.products", "catalogue".to_owned())]
    {
        let gap = Gap::open();
        let world = World::on(|bus| Arc::new(GappyBus(bus, gap.clone(), queue))).await;
        let mut client = world.watcher().await;
        client.ask("subscribe", &json!([channel])).await;
        world.order_moved(event_type::ORDER_SHIPPED, 4).await;
        world.reserved(&["TEA-1"]).await;
        gap.close();
        assert_eq!(client.hear("update").await, json!({ "channel": channel, "resync": true }));
    }
}

#[tokio::test]
async fn a_channel_is_named_by_no_room_that_a_client_may_join() {
    let world = World::new().await;
    let stranger = world.token_with(&[Role::Customer], UserId::from_uuid(Uuid::from_u128(9)));
    let mut client = world.socket(&stranger).await;
    let mut owner = world.watcher().await;
    owner.ask("subscribe", &json!([order_channel()])).await;
    for room in [format!("live:{}", order_channel()), order_channel(), "live:dashboard".to_owned()] {
        client.ask("join", &json!(room)).await;
    }
    world.order_moved(event_type::ORDER_SHIPPED, 4).await;
    owner.hear("update").await;
    assert!(!client.heard_until_now().await.contains(&"update".to_owned()));
}
