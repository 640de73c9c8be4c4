//! The presence of a gateway, without sockets: what it tells the store and those who announce.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::ids::UserId;
use contracts::timestamp::SystemClock;
use gateway::realtime::presence::memory::MemoryPresence;
use gateway::realtime::presence::store::{Change, DeviceId, Lease, PresenceStore, Room, Step, StoreAway, Timing};
use gateway::realtime::presence::{Announce, Parting, Presence};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::eventually;

const TIMING: Timing = Timing {
    beat: Duration::from_millis(200),
    expiry: Duration::from_millis(600),
    grace: Duration::from_millis(150),
    sweep: Duration::from_millis(20),
};

/// A store that can be away.
#[derive(Clone)]
struct Store(MemoryPresence, Arc<AtomicBool>);

impl Store {
    fn new(gateway: &str) -> Self {
        Self(MemoryPresence::new(gateway, TIMING, Arc::new(SystemClock)), Arc::default())
    }

    fn seen_by(&self, gateway: &str) -> Self {
        Self(self.0.seen_by(gateway), Arc::default())
    }

    fn set_away(&self, away: bool) {
        self.1.store(away, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreAway> {
        if self.1.load(Ordering::SeqCst) { Err(StoreAway("it was cut off".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl PresenceStore for Store {
    async fn apply(&self, steps: &[Step]) -> Result<Vec<Change>, StoreAway> {
        self.check()?;
        self.0.apply(steps).await
    }
    async fn beat(&self) -> Result<Lease, StoreAway> {
        self.check()?;
        self.0.beat().await
    }
    async fn doubt(&self, within: Duration) -> Result<(), StoreAway> {
        self.check()?;
        self.0.doubt(within).await
    }
    async fn sweep(&self) -> Result<Vec<Change>, StoreAway> {
        self.check()?;
        self.0.sweep().await
    }
    async fn online(&self, asker: Option<UserId>, users: &[UserId]) -> Result<Vec<bool>, StoreAway> {
        self.check()?;
        self.0.online(asker, users).await
    }
    async fn ping(&self) -> Result<(), StoreAway> {
        self.check()
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Announce for Heard {
    fn announce(&self, change: &Change) {
        let rooms: BTreeSet<_> = change.rooms.iter().map(|room| &**room).collect();
        let rooms = rooms.into_iter().collect::<Vec<_>>().join(",");
        let sign = if change.is_online { '+' } else { '-' };
        self.0.lock().unwrap().push(format!("{sign}{} {rooms}", change.user.as_uuid().as_u128()));
    }
}

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn becomes(&self, expected: &[&str]) {
        eventually(&format!("{expected:?} is told"), async || {
            let heard = self.all();
            assert!(heard.len() <= expected.len(), "{heard:?}");
            heard == expected
        })
        .await;
    }
}

/// A gateway's presence at work.
struct Gateway {
    presence: Presence,
    heard: Heard,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Gateway {
    fn on(store: Store, name: &str) -> Self {
        let presence = Presence::new(name, Arc::new(store), TIMING);
        let (heard, stop) = (Heard::default(), CancellationToken::new());
        let task = tokio::spawn((presence.run(Arc::new(heard.clone()), stop.clone()).start)());
        Self { presence, heard, stop, task }
    }

    fn comes(&self, who: u128, rooms: &[&str]) -> DeviceId {
        let device = self.presence.begin(user(who));
        self.presence.arrive(&device, rooms.iter().map(|room| Room::from(*room)).collect());
        device
    }

    async fn sees(&self, asker: u128, who: u128) -> Result<bool, StoreAway> {
        self.presence.online(Some(user(asker)), vec![user(who)]).await.map(|online| online[0])
    }
}

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(n))
}

#[tokio::test]
async fn a_user_with_several_devices_is_told_of_once_and_a_lost_one_is_missed_after_the_grace() {
    let store = Store::new("one");
    let (one, two) = (Gateway::on(store.seen_by("one"), "one"), Gateway::on(store.seen_by("two"), "two"));
    let phone = one.comes(1, &["room:a"]);
    one.heard.becomes(&["+1 room:a"]).await;
    let laptop = two.comes(1, &["chat:b"]);
    two.comes(2, &["chat:b"]);
    two.heard.becomes(&["+2 chat:b"]).await;
    assert!(two.sees(2, 1).await.unwrap());
    one.presence.end(&phone, Parting::AtOnce);
    two.presence.end(&laptop, Parting::Lost);
    let back = one.comes(1, &["room:c"]);
    eventually("the lost device ends", async || !two.sees(2, 1).await.unwrap()).await;
    assert!(one.presence.online(None, vec![user(1)]).await.unwrap()[0], "they came back");
    one.presence.end(&back, Parting::AtOnce);
    one.heard.becomes(&["+1 room:a", "-1 room:c"]).await;
    two.heard.becomes(&["+2 chat:b"]).await;
}

#[tokio::test]
async fn what_happens_while_a_device_comes_counts() {
    let one = Gateway::on(Store::new("one"), "one");
    let (stays, goes) = (one.presence.begin(user(1)), one.presence.begin(user(2)));
    one.presence.set_membership(user(1), &"chat:new".into(), true);
    one.presence.set_membership(user(1), &"chat:old".into(), false);
    one.presence.end(&goes, Parting::Lost);
    let rooms = ["chat:old", "chat:b"].map(Room::from);
    assert!(one.presence.arrive(&goes, rooms.clone().into()).is_none());
    let arrived = one.presence.arrive(&stays, rooms.into()).unwrap();
    assert_eq!(arrived, ["chat:b", "chat:new"].map(Room::from).into());
    one.heard.becomes(&["+1 chat:b,chat:new"]).await;
    one.presence.set_membership(user(1), &"chat:b".into(), false);
    one.presence.end(&stays, Parting::AtOnce);
    one.heard.becomes(&["+1 chat:b,chat:new", "-1 chat:new"]).await;
}

#[tokio::test]
async fn while_the_store_is_away_nobody_waits_and_then_it_is_told_everything() {
    let store = Store::new("one");
    let one = Gateway::on(store.clone(), "one");
    let stays = one.comes(1, &["room:a"]);
    // The first heartbeat tells of all who are here, in no order.
    one.heard.becomes(&["+1 room:a"]).await;
    let goes = one.comes(2, &["room:a"]);
    one.heard.becomes(&["+1 room:a", "+2 room:a"]).await;
    store.set_away(true);
    eventually("a question fails", async || one.sees(1, 2).await.is_err()).await;
    one.presence.end(&goes, Parting::AtOnce);
    let comes = one.comes(3, &["room:a"]);
    one.presence.set_room(&stays, &"room:b".into(), true);
    assert!(one.presence.ping().await.is_err());
    store.set_away(false);
    one.heard.becomes(&["+1 room:a", "+2 room:a", "+3 room:a", "-2 room:a"]).await;
    assert!(one.sees(1, 3).await.unwrap());
    one.presence.end(&comes, Parting::AtOnce);
    one.presence.end(&stays, Parting::AtOnce);
    one.heard.becomes(&["+1 room:a", "+2 room:a", "+3 room:a", "-2 room:a", "-3 room:a", "-1 room:a,room:b"]).await;
}

#[tokio::test]
async fn a_frozen_gateway_is_given_up_and_announces_its_users_when_it_goes_on() {
    let store = Store::new("one");
    let frozen = Gateway::on(store.clone(), "one");
    let other = Gateway::on(store.seen_by("two"), "two");
    frozen.comes(1, &["room:a"]);
    frozen.heard.becomes(&["+1 room:a"]).await;
    // To the others, one that does not reach the store is the same.
    store.set_away(true);
    other.heard.becomes(&["-1 room:a"]).await;
    store.set_away(false);
    frozen.heard.becomes(&["+1 room:a", "+1 room:a"]).await;
}

#[tokio::test]
async fn what_was_noted_before_the_end_is_still_told() {
    let store = Store::new("one");
    let one = Gateway::on(store.clone(), "one");
    let device = one.comes(1, &["room:a"]);
    one.heard.becomes(&["+1 room:a"]).await;
    one.presence.end(&device, Parting::AtOnce);
    one.stop.cancel();
    one.task.await.unwrap();
    assert_eq!(one.heard.all(), ["+1 room:a", "-1 room:a"]);
}
