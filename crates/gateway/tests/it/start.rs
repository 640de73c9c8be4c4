//! Building the gateway, what keeps it from being built, and neighbours that are not there.

use std::sync::Arc;

use contracts::Clock as _;
use contracts::timestamp::{ManualClock, SystemClock};
use futures::StreamExt as _;
use gateway::Settings;
use observability::Health;
use observability::logs::error_chain;
use service_kit::grpc::client::Neighbour;
use service_kit::grpc::local;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use crate::world::{World, bus, platform, refusal, settings};

async fn refused(settings: Settings, neighbours: &[&'static str]) -> String {
    let clock = ManualClock::starting_at(SystemClock.now());
    let folder = TempDir::new().unwrap();
    let mut platform = platform(&clock);
    for name in neighbours {
        platform.neighbours.insert(name, Neighbour::Local(local::pair().0));
    }
    let bus: Arc<dyn messaging::EventBus> = bus(&folder, &clock).await;
    match gateway::build(&settings, &platform, bus, Health::default()).await {
        Ok(_) => panic!("it was built"),
        Err(error) => error_chain(&error),
    }
}

const ALL: &[&str] = &["users", "orders", "inventory", "payment", "notification"];

#[tokio::test]
async fn a_taken_port_is_named() {
    let world = World::new().await;
    let message = refused(Settings { address: world.address, ..settings() }, ALL).await;
    assert!(message.contains(&world.address.to_string()), "{message}");
    assert!(message.contains("SOUK_GATEWAY_ADDR"), "{message}");
}

#[tokio::test]
async fn a_hub_that_this_build_lacks_is_named() {
    let message = refused(Settings { realtime_url: "nats://cache:6379".to_owned(), ..settings() }, ALL).await;
    assert!(message.contains("nats://") && message.contains("SOUK_REALTIME_URL"), "{message}");
    assert!(!message.contains("6379"), "an address may hold a password: {message}");
}

#[tokio::test]
async fn a_neighbour_that_nobody_told_of_is_named() {
    let message = refused(settings(), &ALL[..4]).await;
    assert!(message.contains("SOUK_NOTIFICATION_URL"), "{message}");
}

/// What a catalogue read is answered with when inventory is at the end of this connector.
async fn catalogue_with(inventory: Neighbour) -> reqwest::Response {
    let clock = ManualClock::starting_at(SystemClock.now());
    let folder = TempDir::new().unwrap();
    let mut platform = platform(&clock);
    for name in ALL {
        platform.neighbours.insert(name, Neighbour::Local(local::pair().0));
    }
    platform.neighbours.insert("inventory", inventory);
    let bus: Arc<dyn messaging::EventBus> = bus(&folder, &clock).await;
    let settings = Settings { request_timeout: std::time::Duration::from_millis(500), ..settings() };
    let gateway = gateway::build(&settings, &platform, bus, Health::default()).await.unwrap();
    let handle = gateway.server.handle();
    tokio::spawn(gateway.server);
    let response = reqwest::get(format!("http://{}/api/products", gateway.address)).await.unwrap();
    drop(handle.stop(false));
    response
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_call_is_503_with_retry_after() {
    // After none, some and many bytes of the call: before, within and after the handshake of HTTP/2.
    for bytes in [0, 10, 60, 150] {
        let (connector, mut listener) = local::pair();
        tokio::spawn(async move {
            while let Some(Ok(mut connection)) = listener.next().await {
                let mut read = vec![0; bytes];
                let _ = connection.read_exact(&mut read).await;
            }
        });
        let response = catalogue_with(Neighbour::Local(connector)).await;
        assert!(response.headers().contains_key("retry-after"), "{bytes}: {response:?}");
        assert_eq!(refusal(response).await, "503 unavailable", "{bytes}");
    }
}

#[tokio::test]
async fn a_neighbour_that_takes_connections_but_never_answers_is_504() {
    let (connector, mut listener) = local::pair();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Some(connection) = listener.next().await {
            held.push(connection);
        }
    });
    let response = catalogue_with(Neighbour::Local(connector)).await;
    assert_eq!(refusal(response).await, "504 deadline-exceeded");
}

#[tokio::test]
async fn a_neighbour_that_takes_no_connections_is_503() {
    let (connector, listener) = local::pair();
    drop(listener);
    let response = catalogue_with(Neighbour::Local(connector)).await;
    assert_eq!(refusal(response).await, "503 unavailable");
}
