//! Several gateways on one bus, and a bus that lets events pass a gateway by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use contracts::Event;
use contracts::event_data::event_type;
use contracts::grpc::users::Revocation;
use contracts::{Clock as _, Reason, Refusal};
use messaging::bus::Deliveries;
use messaging::{BusError, Delivery, EventBus, Subscription, Verdict};
use reqwest::StatusCode;
use tokio::sync::Notify;

use crate::live_events::Listener;
use crate::world::{World, eventually, user_id};

#[tokio::test]
async fn every_gateway_pushes_every_entry_and_knows_every_revocation() {
    let world = World::new().await;
    let second = world.second_gateway().await;
    let token = world.token();
    let mut listeners = Vec::new();
    for gateway in [world.address, second] {
        let events = world.http.get(format!("http://{gateway}/events")).bearer_auth(&token);
        let mut listener = Listener::open(events).await;
        assert_eq!(listener.next().await.unwrap().event, "connected");
        listeners.push(listener);
    }
    let reads = world.script.calls("ListInbox").len();
    for _ in 0..10 {
        world.append("order_updated", "{}").await;
    }
    for listener in &mut listeners {
        assert_eq!(listener.ids_until(10).await, (1..=10).collect::<Vec<_>>());
    }
    assert_eq!(world.script.calls("ListInbox").len(), reads, "they were pushed, not read from the store");

    world.revoke(event_type::USER_BANNED, user_id(), None).await;
    for listener in &mut listeners {
        assert!(listener.next().await.is_none(), "its token counts no more");
    }
    for gateway in [world.address, second] {
        let url = format!("http://{gateway}/api/notifications/unread-count");
        let answer = world.http.get(url).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
}

/// What a broker does that lost the queue of an instance: events pass it by, then it says so.
#[derive(Clone)]
pub(crate) struct Gap {
    open: Arc<AtomicBool>,
    told: Arc<AtomicBool>,
    closed: Arc<Notify>,
}

impl Gap {
    pub(crate) fn open() -> Self {
        Self { open: Arc::new(true.into()), told: Arc::new(false.into()), closed: Arc::default() }
    }

    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.told.store(true, Ordering::SeqCst);
        self.closed.notify_one();
    }
}

/// A bus with a gap in one of its queues.
pub(crate) struct GappyBus(pub(crate) Arc<dyn EventBus>, pub(crate) Gap, pub(crate) &'static str);

struct GappyDeliveries(Box<dyn Deliveries>, Gap);

#[async_trait]
impl EventBus for GappyBus {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        self.0.publish(events).await
    }
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Deliveries>, BusError> {
        if subscription.group() != self.2 {
            return self.0.subscribe(subscription).await;
        }
        Ok(Box::new(GappyDeliveries(self.0.subscribe(subscription).await?, self.1.clone())))
    }
    async fn ping(&self) -> Result<(), BusError> {
        self.0.ping().await
    }
}

#[async_trait]
impl Deliveries for GappyDeliveries {
    async fn next(&mut self) -> Result<Vec<Delivery>, BusError> {
        loop {
            let batch = tokio::select! {
                batch = self.0.next() => batch?,
                () = self.1.closed.notified() => return Ok(Vec::new()),
            };
            if !self.1.open.load(Ordering::SeqCst) {
                return Ok(batch);
            }
            self.0.settle(batch.into_iter().map(|lost| (lost, Verdict::Ack)).collect()).await?;
        }
    }
    async fn settle(&mut self, verdicts: Vec<(Delivery, Verdict)>) -> Result<(), BusError> {
        self.0.settle(verdicts).await
    }
    fn has_missed(&mut self) -> bool {
        self.1.told.swap(false, Ordering::SeqCst)
    }
}

#[tokio::test]
async fn what_passed_a_gateway_by_is_made_up_for_streams_and_revocations_alike() {
    let gap = Gap::open();
    let world = World::on(|bus| Arc::new(GappyBus(bus, gap.clone(), "gateway.realtime"))).await;
    let mut listener = Listener::open(world.listen()).await;
    listener.next().await;
    for _ in 0..3 {
        world.append("order_updated", "{}").await;
    }
    gap.close();
    assert_eq!(listener.ids_until(3).await, [1, 2, 3], "the stream reads what it was not told");
    world.append("order_updated", "{}").await;
    assert_eq!(listener.next().await.unwrap().id, Some(4), "and goes on live");

    let revocation = Revocation {
        user_id: user_id().to_string(),
        session_id: None,
        not_before_unix_ms: world.clock.now().unix_ms(),
    };
    world.users.revocations.lock().unwrap().push(revocation);
    // Users is away when the list is wanted again: what is known goes on to hold, and it is asked until it answers.
    world.script.refuse("ListRevocations", Refusal::new(Reason::Unavailable, "away"));
    let asked = world.script.calls("ListRevocations").len();
    gap.close();
    eventually("the list is asked for", async || world.script.calls("ListRevocations").len() > asked).await;
    let answer = world.get("/api/notifications/unread-count").bearer_auth(world.token()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    world.script.relent("ListRevocations");
    assert!(listener.next().await.is_none(), "the revocation that was missed ends the stream");
}

#[tokio::test]
async fn the_end_of_a_membership_that_passed_a_gateway_by_is_made_up_for() {
    let gap = Gap::open();
    let world = World::on(|bus| Arc::new(GappyBus(bus, gap.clone(), "gateway.realtime"))).await;
    let room = world.rooms.open(true, &[]);
    let mut client = world.in_room(user_id(), &room).await;
    world.rooms.forget(&room, user_id());
    let asked = world.script.calls("ListMembers").len();
    gap.close();
    assert_eq!(client.hear("user:left").await["room_id"], room.as_str());
    assert_eq!(world.script.calls("ListMembers").len(), asked + 1);
    assert_eq!(client.ask("typing:start", &room.into()).await["error"]["code"], "NOT_A_MEMBER");
}
