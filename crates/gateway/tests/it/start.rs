//! Building the gateway, and what keeps it from being built.

use std::sync::Arc;

use contracts::Clock as _;
use contracts::timestamp::{ManualClock, SystemClock};
use gateway::Settings;
use observability::Health;
use observability::logs::error_chain;
use service_kit::grpc::client::Neighbour;
use service_kit::grpc::local;
use tempfile::TempDir;

use crate::world::{World, bus, platform, settings};

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
    let message = refused(Settings { realtime_url: "redis://cache:6379".to_owned(), ..settings() }, ALL).await;
    assert!(message.contains("redis://") && message.contains("SOUK_REALTIME_URL"), "{message}");
    assert!(!message.contains("6379"), "an address may hold a password: {message}");
}

#[tokio::test]
async fn a_neighbour_that_nobody_told_of_is_named() {
    let message = refused(settings(), &ALL[..4]).await;
    assert!(message.contains("SOUK_NOTIFICATION_URL"), "{message}");
}
