//! Who is online, told to those who share a room with them.
//!
//! Each gateway keeps the devices of its own sockets ([`registry`]) and tells a store of them, which all gateways share
//! ([`store`]: the port; [`memory`] and `redis`: its adapters). Sockets never wait for the store: what they do is
//! noted, and one task tells the store of it in batches, beats for the gateway, and looks for who is gone. Where the store
//! was away, the gateway tells it everything anew. Source: docs/adr/0028-presence.md.

pub mod memory;
mod metrics;
#[cfg(feature = "redis")]
pub mod redis;
mod registry;
pub mod sockets;
pub mod store;
mod worker;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::ids::UserId;
use service_kit::BackgroundTask;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::registry::Parting;
use self::registry::{Question, Registry};
pub use self::store::{Change, DeviceId, PresenceStore, Room, StoreAway, Timing};

/// Tells those who share a room with a user that they came or went.
pub trait Announce: Send + Sync {
    /// The user of the change came or went.
    fn announce(&self, change: &Change);
}

/// The presence of this gateway's users. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    gateway: Box<str>,
    store: Arc<dyn PresenceStore>,
    timing: Timing,
    registry: Mutex<Registry>,
    devices: AtomicU64,
    /// Something waits for the store.
    wake: Notify,
}

impl Presence {
    /// Nobody, until somebody comes. `gateway` is this one's name in the store.
    pub fn new(gateway: &str, store: Arc<dyn PresenceStore>, timing: Timing) -> Self {
        Self(Arc::new(Inner {
            gateway: gateway.into(),
            store,
            timing,
            registry: Mutex::default(),
            devices: AtomicU64::new(0),
            wake: Notify::new(),
        }))
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of the user; nobody knows of it until [`Self::arrive`].
    pub fn begin(&self, user: UserId) -> DeviceId {
        let device = DeviceId::new(&self.0.gateway, self.0.devices.fetch_add(1, Ordering::Relaxed));
        let mut registry = self.registry();
        registry.begin(user, device.clone());
        metrics::set_online(registry.users());
        device
    }

    /// The device is here, in these rooms, but for what was said of them since it began. Gives the rooms it is in; `None`
    /// where it has gone meanwhile.
    pub fn arrive(&self, device: &DeviceId, rooms: BTreeSet<Room>) -> Option<BTreeSet<Room>> {
        let rooms = self.registry().arrive(device, rooms);
        self.0.wake.notify_one();
        rooms
    }

    /// The device is in the room from now on, or no more.
    pub fn set_room(&self, device: &DeviceId, room: &Room, is_in: bool) {
        self.registry().set_room(device, room, is_in);
        self.0.wake.notify_one();
    }

    /// The user became a member of the room, on all devices, or is no more.
    pub fn set_membership(&self, user: UserId, room: &Room, is_in: bool) {
        self.registry().set_membership(user, room, is_in);
        self.0.wake.notify_one();
    }

    /// The device is gone.
    pub fn end(&self, device: &DeviceId, parting: Parting) {
        let mut registry = self.registry();
        registry.end(device, parting);
        metrics::set_online(registry.users());
        drop(registry);
        self.0.wake.notify_one();
    }

    /// For each user, whether they are online and share a room with `asker`; with everybody, where that is `None`. What was
    /// said before the question counts.
    ///
    /// # Errors
    /// The store is away, or the presence has ended.
    pub async fn online(&self, asker: Option<UserId>, users: Vec<UserId>) -> Result<Vec<bool>, StoreAway> {
        let (answer, answered) = oneshot::channel();
        self.registry().ask(Question { asker, users, answer });
        self.0.wake.notify_one();
        answered.await.unwrap_or_else(|_| Err(StoreAway("the gateway stops".into())))
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`StoreAway`].
    pub async fn ping(&self) -> Result<(), StoreAway> {
        self.0.store.ping().await
    }

    /// The task that tells the store, and `announce` of who came and went. When it is to stop, it still tells the store
    /// what waits, and that all that are left are going: what another gateway does not take over is gone after the grace.
    pub fn run(&self, announce: Arc<dyn Announce>, stop: CancellationToken) -> BackgroundTask {
        let presence = self.clone();
        BackgroundTask::new("gateway presence", move || {
            worker::run(presence.clone(), Arc::clone(&announce), stop.clone())
        })
    }
}
