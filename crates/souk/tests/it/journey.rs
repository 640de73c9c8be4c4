//! The journey of `souk demo`, against a Souk of its own, and what a stop and a start leave.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Souk, souk};

#[tokio::test]
async fn the_demo_finds_the_running_souk_and_meets_no_surprise() {
    let folder = TempDir::new().unwrap();
    let instance = Souk::start(folder.path()).await;
    let output = souk().args(["demo", "--data-dir"]).arg(folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(&format!("visiting http://{}", instance.gateway)), "{told}");
    assert!(told.contains("no surprises"), "{told}");
}

#[tokio::test]
async fn accounts_keys_and_orders_outlive_a_clean_stop() {
    let folder = TempDir::new().unwrap();
    let client = reqwest::Client::new();
    let first = Souk::start(folder.path()).await;
    let token = first.register(&client, "steady").await;
    let body = json!({ "items": [{ "sku": "TEA-MINT-100", "quantity": 1 }], "payment_method": "card_ok" });
    let placed = client.post(first.url("/api/orders")).bearer_auth(&token).json(&body).send().await.unwrap();
    assert_eq!(placed.status(), 201);
    let order: Value = placed.json().await.unwrap();
    assert_eq!(first.stop().await, Some(0));
    let leftovers: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with("-wal"))
        .collect();
    assert!(leftovers.is_empty(), "a clean stop leaves whole files: {leftovers:?}");

    let second = Souk::start(folder.path()).await;
    let url = second.url(&format!("/api/orders/{}", order["id"].as_str().unwrap()));
    let found = client.get(url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(found.status(), 200, "the token of before the stop is good after it");
    assert_eq!(found.json::<Value>().await.unwrap()["status"], "confirmed");
    second.log_in(&client, "steady@souk.test", "a-long-password").await;
}

#[tokio::test]
async fn seeding_a_running_souk_again_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let client = reqwest::Client::new();
    let instance = Souk::start(folder.path()).await;
    let admin = instance.log_in(&client, "admin@souk.test", "souk-demo-1").await;
    let stock = client.put(instance.url("/api/products/TEA-MINT-100/stock")).bearer_auth(&admin);
    assert_eq!(stock.json(&json!({ "on_hand": 7 })).send().await.unwrap().status(), 200);
    let output = souk().args(["seed", "--data-dir"]).arg(folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        told.contains("products: 0 made, 72 were there") && told.contains("accounts: 0 made, 3 were there"),
        "{told}"
    );
    let product = client.get(instance.url("/api/products/TEA-MINT-100")).send().await.unwrap();
    assert_eq!(product.json::<Value>().await.unwrap()["available"], 7);
    let metrics =
        client.get(format!("http://{}/metrics", instance.internal)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("http_request_duration_seconds_count{"), "{metrics}");
}
