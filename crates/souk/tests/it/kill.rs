//! `kill -9` in the middle of 200 concurrent checkouts, again and again on the same stores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::audit::Stores;
use crate::process::{Souk, eventually};

const CHECKOUTS: usize = 200;
const CUSTOMERS: usize = 6;
/// How long everything may take to come to its end, with nobody's help.
const SETTLE: Duration = Duration::from_secs(30);

/// Products that many want at once: one is scarce.
const SKUS: [&str; 3] = ["TEA-MINT-100", "CER-BOWL-18", "LAMP-MOSAIC-05"];

fn checkout(round: usize, n: usize) -> (String, Value) {
    let method = match n % 10 {
        7 => "card_declined",
        8 => "card_timeout_captured",
        9 => "card_timeout_declined",
        _ => "card_ok",
    };
    let body = json!({ "items": [{ "sku": SKUS[n % SKUS.len()], "quantity": 1 }], "payment_method": method });
    (format!("round-{round}-checkout-{n}"), body)
}

async fn place(
    client: &reqwest::Client,
    url: &str,
    token: &str,
    key: &str,
    body: &Value,
) -> Option<(StatusCode, Value)> {
    let request = client.post(url).bearer_auth(token).header("Idempotency-Key", key).json(body);
    let response = request.timeout(Duration::from_secs(20)).send().await.ok()?;
    let status = response.status();
    response.json().await.ok().map(|body| (status, body))
}

/// Sends all checkouts at once and kills Souk when `kill_after` of them were answered; the answers, by key.
async fn checkouts_until_killed(
    souk: Souk,
    tokens: &[String],
    round: usize,
    kill_after: usize,
) -> BTreeMap<String, (StatusCode, Value)> {
    let client = reqwest::Client::new();
    let (answered, rung) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let url = souk.url("/api/orders");
    let tasks = (0..CHECKOUTS).map(|n| {
        let (client, url, token) = (client.clone(), url.clone(), tokens[n % tokens.len()].clone());
        let (answered, rung) = (Arc::clone(&answered), Arc::clone(&rung));
        tokio::spawn(async move {
            let (key, body) = checkout(round, n);
            let answer = place(&client, &url, &token, &key, &body).await;
            if answer.is_some() && answered.fetch_add(1, Ordering::SeqCst) + 1 >= kill_after {
                rung.notify_one();
            }
            answer.map(|answer| (key, answer))
        })
    });
    let tasks: Vec<_> = tasks.collect();
    if kill_after == 0 {
        // Before the first answer: as soon as the first order is on disk.
        let stores = Stores::of(&souk.folder);
        let before = stores.statuses().len();
        eventually("the first order", SETTLE, || stores.statuses().len() > before).await;
    } else {
        tokio::time::timeout(SETTLE, rung.notified()).await.expect("checkouts should be answered");
    }
    souk.kill();
    join_all(tasks).await.into_iter().filter_map(|task| task.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_checkouts_nothing_acknowledged_is_lost_and_everything_adds_up() {
    let folder = TempDir::new().unwrap();
    let client = reqwest::Client::new();
    let mut souk = Souk::start(folder.path()).await;
    let customers = (0..CUSTOMERS).map(|n| format!("killed{n}"));
    let tokens = join_all(customers.map(|name| {
        let (souk, client) = (&souk, &client);
        async move { souk.register(client, &name).await }
    }))
    .await;

    for (round, kill_after) in [0, 1, 40, 100, 160].into_iter().enumerate() {
        let answers = checkouts_until_killed(souk, &tokens, round, kill_after).await;
        souk = Souk::start(folder.path()).await;
        let stores = Stores::of(folder.path());
        eventually("everything owed is done", SETTLE, || stores.settled()).await;

        let (statuses, by_key) = (stores.statuses(), stores.orders_by_key());
        for (key, (status, body)) in &answers {
            match status.as_u16() {
                201 => {
                    let id = body["id"].as_str().unwrap();
                    assert_eq!(by_key.get(key).map(String::as_str), Some(id), "{key} was acknowledged");
                    assert_eq!(statuses[id], "confirmed", "{key} got 201");
                }
                202 => assert!(by_key.contains_key(key), "{key} was accepted"),
                402 | 409 => {
                    let id = body["order_id"].as_str().unwrap();
                    assert!(["cancelled", "rejected"].contains(&statuses[id].as_str()), "{key} got {status}");
                }
                // Killed while answering: nothing was promised.
                503 | 504 => {}
                other => panic!("{key} got {other}: {body}"),
            }
        }
        assert_eq!(stores.disagreements(), Vec::<String>::new(), "round {round}, killed after {kill_after} answers");

        // Whoever was not answered asks again with the same key: one key, one order, whatever happened in between.
        let url = souk.url("/api/orders");
        let again = (0..CHECKOUTS).map(|n| {
            let (key, body) = checkout(round, n);
            let (client, url, token, by_key) = (&client, &url, &tokens[n % tokens.len()], &by_key);
            async move {
                let (status, answer) = place(client, url, token, &key, &body).await.expect("an answer");
                assert!([201, 202, 402, 409].contains(&status.as_u16()), "{key} again: {status} {answer}");
                if let Some(id) = by_key.get(&key) {
                    let named = answer["id"].as_str().or(answer["order_id"].as_str());
                    assert_eq!(named, Some(id.as_str()), "{key} again");
                }
            }
        });
        join_all(again).await;
        eventually("everything owed is done again", SETTLE, || stores.settled()).await;
        let keys = stores.orders_by_key();
        let of_round = keys.keys().filter(|key| key.starts_with(&format!("round-{round}-"))).count();
        assert_eq!(of_round, CHECKOUTS);
        assert_eq!(stores.statuses().len(), keys.len(), "one key, one order");
        assert_eq!(stores.disagreements(), Vec::<String>::new(), "round {round}, asked again");
        println!(
            "round {round}: {} answered before the kill, {} repeated charges",
            answers.len(),
            stores.repeated_charges()
        );
    }
}
