//! Collectors that are away, slow, late, or speak HTTP.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::process::PATIENCE;

use super::checkout::trace_of_the_order;
use super::otlp::Receiver;
use super::scrape::Scrape;
use super::shop::Shop;

/// What ends a Souk whose collector is gone: the last spans get three seconds.
const LONGEST_STOP: Duration = Duration::from_secs(5);

fn lost(scrape: &Scrape) -> f64 {
    ["failed", "dropped"].iter().map(|outcome| scrape.value(&spans(outcome))).sum()
}

fn spans(outcome: &str) -> String {
    format!("telemetry_spans_total{{outcome=\"{outcome}\"}}")
}

/// Waits until the metrics are so.
async fn until(shop: &Shop, what: &str, holds: impl Fn(&Scrape) -> bool) {
    let started = Instant::now();
    while !holds(&Scrape::of(&shop.souk).await) {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checkouts succeed, what is lost is counted and said, and the end does not wait for the collector.
async fn assert_costs_no_checkout(endpoint: String) {
    let shop = Shop::open(&[("SOUK_OTLP_ENDPOINT", endpoint)]).await;
    let token = shop.ada().await;
    join_all((0..20).map(|_| shop.order(&token, &[]))).await;
    until(&shop, "lost spans are counted", |scrape| lost(scrape) > 0.0).await;
    join_all((0..20).map(|_| shop.order(&token, &[]))).await;
    assert!(Scrape::of(&shop.souk).await.value(&spans("exported")).abs() < f64::EPSILON);
    let warnings = shop.output.lines().into_iter().filter(|line| line["level"] == "warn");
    let told: Vec<_> = warnings.filter(|line| line["message"].as_str().unwrap().contains("spans are lost")).collect();
    assert_eq!(told.len(), 1, "said once: {told:?}");

    let Shop { souk, .. } = shop;
    let started = Instant::now();
    assert_eq!(souk.stop().await, Some(0));
    assert!(started.elapsed() < LONGEST_STOP, "it took {:?} to stop", started.elapsed());
}

/// A port that nobody listens on.
fn nobody() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

/// A port where connections are accepted and nothing is ever said.
fn silent() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut kept = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            kept.push(connection);
        }
    });
    (endpoint, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_no_checkout() {
    assert_costs_no_checkout(nobody()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_costs_no_checkout() {
    let (endpoint, task) = silent();
    assert_costs_no_checkout(endpoint).await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_comes_late_gets_what_happens_from_then_on() {
    let endpoint = nobody();
    let shop = Shop::open(&[("SOUK_OTLP_ENDPOINT", endpoint.clone())]).await;
    let token = shop.ada().await;
    until(&shop, "lost spans are counted", |scrape| lost(scrape) > 0.0).await;

    let receiver = Receiver::grpc_at(endpoint.trim_start_matches("http://").parse().unwrap());
    // Something has to be sent for the two to meet.
    let started = Instant::now();
    while receiver.spans().0.is_empty() {
        assert!(started.elapsed() < PATIENCE, "nothing comes");
        let products = shop.client.get(shop.souk.url("/api/products?limit=1")).send().await.unwrap();
        assert_eq!(products.status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut listener = shop.listen(&token).await;
    let order = shop.order(&token, &[]).await;
    listener.until_notified(&order).await;
    trace_of_the_order(&receiver, None).await;
    assert!(shop.output.lines().iter().any(|line| line["message"] == "the collector takes spans again"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_comes_the_same() {
    let receiver = Receiver::http();
    let protocol = ("SOUK_OTLP_PROTOCOL", "http".to_owned());
    let shop = Shop::open(&[("SOUK_OTLP_ENDPOINT", receiver.endpoint()), protocol]).await;
    let token = shop.ada().await;
    let mut listener = shop.listen(&token).await;
    let order = shop.order(&token, &[]).await;
    listener.until_notified(&order).await;
    let trace = trace_of_the_order(&receiver, None).await;
    assert!(trace.0.iter().all(|span| span.resource["service.namespace"] == "souk"), "{trace}");
}
