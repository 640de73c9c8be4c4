//! What is special to the SQLite store: its ledger, its audit queries, its answer to damage.

use std::sync::Arc;
use std::time::Duration;

use contracts::Reason;
use contracts::audit::Span;
use contracts::grpc::inventory as pb;
use rusqlite::Connection;

use crate::helpers::{Client, World, commit, hold, order, pin, reason, release, take_back};

const TTL: Duration = Duration::from_mins(1);

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// What an auditor asks of the file (README.md, Audit): how many products do not add up.
fn contradictions(connection: &Connection) -> i64 {
    count(
        connection,
        "SELECT count(*) FROM stock AS s
         WHERE on_hand <> (SELECT coalesce(sum(quantity), 0) FROM stock_movements AS m WHERE m.sku = s.sku)
            OR reserved <> (SELECT coalesce(sum(quantity), 0) FROM reservation_lines AS l
                            WHERE l.sku = s.sku AND l.status IN ('held', 'pinned'))
            OR (SELECT coalesce(sum(-quantity), 0) FROM stock_movements AS m WHERE m.sku = s.sku AND kind = 'committed')
               <> (SELECT coalesce(sum(quantity), 0) FROM reservation_lines AS l
                   WHERE l.sku = s.sku AND l.status IN ('committed', 'returned'))",
    )
}

async fn customer(mut orders: Client, n: u128) {
    let order_id = order(n % 20);
    let items = [("TEA-1", 1 + (n % 3) as u32), ("MUG-1", 1)];
    // Several customers share an order id, so that their commands meet in every state; what is refused is right too.
    let _ = orders.hold(hold(order_id, &items[..=(n % 2) as usize], TTL)).await;
    if !n.is_multiple_of(5) {
        let _ = orders.pin(pin(order_id)).await;
    }
    let _ = match n % 4 {
        0 => orders.release(release(order_id)).await,
        3 => orders.r#return(take_back(order_id)).await,
        _ => orders.commit(commit(order_id)).await,
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_adds_up_whatever_customers_and_counters_do_at_once() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 15).await;
    world.add_product("MUG-1", 6).await;
    let world = Arc::new(world);
    let mut tasks: Vec<_> = (0..80).map(|n| tokio::spawn(customer(world.service("orders"), n))).collect();
    for units in 10..20 {
        let mut souk = world.service("souk");
        let request = pb::SetStockRequest { sku: "TEA-1".to_owned(), on_hand: units, reason: "count".to_owned() };
        tasks.push(tokio::spawn(async move {
            let _ = souk.set_stock(request).await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let connection = Connection::open(world.database()).unwrap();
    assert_eq!(contradictions(&connection), 0);
    assert!(count(&connection, "SELECT count(*) FROM stock_movements WHERE kind = 'committed'") > 0);
    assert!(count(&connection, "SELECT count(*) FROM reservations WHERE status = 'released'") > 0);
    connection.execute("UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'TEA-1'", []).unwrap();
    assert_eq!(contradictions(&connection), 1, "the audit sees a unit too many");
}

#[tokio::test]
async fn the_ledger_keeps_what_was_counted_why_and_for_which_order() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 10).await;
    let mut souk = world.service("souk");
    let set = pb::SetStockRequest { sku: "TEA-1".to_owned(), on_hand: 7, reason: "three broke".to_owned() };
    souk.set_stock(set).await.unwrap();
    souk.hold(hold(order(1), &[("TEA-1", 2)], TTL)).await.unwrap();
    souk.pin(pin(order(1))).await.unwrap();
    souk.commit(commit(order(1))).await.unwrap();
    souk.r#return(take_back(order(1))).await.unwrap();

    let connection = Connection::open(world.database()).unwrap();
    let mut statement =
        connection.prepare("SELECT kind, quantity, order_id, reason FROM stock_movements ORDER BY position").unwrap();
    let entries: Vec<(String, i64, Option<String>, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let id = Some(order(1).to_string());
    let entry = |kind: &str, quantity, id: &Option<String>, reason: &str| {
        (kind.to_owned(), quantity, id.clone(), reason.to_owned())
    };
    assert_eq!(
        entries,
        [
            entry("counted", 10, &None, "joined the catalogue"),
            entry("counted", -3, &None, "three broke"),
            entry("committed", -2, &id, ""),
            entry("returned", 2, &id, ""),
        ]
    );
    assert!(connection.execute("UPDATE stock_movements SET quantity = 1", []).is_err(), "the ledger is append-only");
    assert!(connection.execute("DELETE FROM stock_movements", []).is_err(), "the ledger is append-only");
}

#[tokio::test]
async fn a_damaged_row_is_our_fault_and_tells_nothing_of_itself() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 10).await;
    let mut orders = world.service("orders");
    orders.hold(hold(order(1), &[("TEA-1", 2)], TTL)).await.unwrap();
    let connection = Connection::open(world.database()).unwrap();
    connection.execute("UPDATE reservations SET lines = 'secret'", []).unwrap();
    connection.execute("UPDATE products SET currency = 'secret'", []).unwrap();
    let damaged = orders.pin(pin(order(1))).await;
    assert!(!damaged.as_ref().unwrap_err().message().contains("secret"));
    assert_eq!(reason(damaged), Reason::Internal);
    let product = orders.get_product(pb::GetProductRequest { sku: "TEA-1".to_owned() }).await;
    assert_eq!(reason(product), Reason::Internal);
}

#[tokio::test]
async fn an_audit_is_told_of_a_damaged_reservation_and_of_everything_else() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 10).await;
    let mut orders = world.service("orders");
    for n in 1..=5 {
        orders.hold(hold(order(n), &[("TEA-1", 1)], TTL)).await.unwrap();
    }
    let connection = Connection::open(world.database()).unwrap();
    let damage = "UPDATE reservations SET lines = ?2 WHERE order_id = ?1";
    for (n, lines) in [(1, "secret"), (2, "[{}]"), (4, "[1, \"x\"]")] {
        connection.execute(damage, (order(n).to_string(), lines)).unwrap();
    }
    let misnamed = "UPDATE reservations SET order_id = 'a' WHERE order_id = ?1";
    connection.execute(misnamed, [order(5).to_string()]).unwrap();
    let audit = inventory::bootstrap::audit(&format!("sqlite://{}", world.database().display())).unwrap();
    let page = audit.list_reservations(Span::ALL, 10).await.unwrap();
    let statuses: Vec<_> = page.items.iter().map(|facts| (facts.order_id, facts.status.as_str())).collect();
    let expected = [(1, "damaged"), (2, "damaged"), (3, "held"), (4, "damaged")].map(|(n, status)| (order(n), status));
    assert_eq!((statuses, page.complete_to), (expected.to_vec(), Span::ALL.until));
    let suspects = audit.list_suspect_stock().await.unwrap();
    let told: Vec<_> = suspects.iter().map(|stock| (stock.sku.as_str(), stock.counted, stock.promised)).collect();
    assert_eq!(told, [("TEA-1", Some((10, 5)), 2)], "what the damaged have is not known");
}

#[tokio::test]
async fn a_damaged_hold_does_not_keep_others_from_running_out() {
    let (world, clock) = World::at_rest().await;
    world.add_product("TEA-1", 10).await;
    let mut orders = world.service("orders");
    for n in 1..=3 {
        orders.hold(hold(order(n), &[("TEA-1", 2)], TTL)).await.unwrap();
    }
    clock.advance(TTL);
    let connection = Connection::open(world.database()).unwrap();
    connection
        .execute(
            "UPDATE reservations SET lines = 'x', expires_at = expires_at - 1 WHERE order_id = ?1",
            [order(1).to_string()],
        )
        .unwrap();
    let inventory = world.use_cases();
    assert_eq!(inventory.release_expired().await.unwrap(), 2);
    assert_eq!(world.available("TEA-1").await, 8);
}

#[tokio::test]
async fn more_holds_than_a_batch_run_out_in_one_sweep() {
    let (world, clock) = World::at_rest().await;
    world.add_product("TEA-1", 1_000).await;
    let mut orders = world.service("orders");
    for n in 0..130 {
        orders.hold(hold(order(n), &[("TEA-1", 1)], TTL)).await.unwrap();
    }
    clock.advance(TTL);
    assert_eq!(world.use_cases().release_expired().await.unwrap(), 130);
    assert_eq!(world.available("TEA-1").await, 1_000);
}
