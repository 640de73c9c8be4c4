//! The presence of one process. Several gateways can share it, as tests do.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::ids::UserId;
use contracts::{Clock, Timestamp};

use super::store::{Change, Deed, DeviceId, Lease, PresenceStore, Room, Step, StoreAway, Timing};

/// See the module.
#[derive(Clone)]
pub struct MemoryPresence {
    gateway: Arc<str>,
    timing: Timing,
    clock: Arc<dyn Clock>,
    table: Arc<Mutex<Table>>,
}

impl MemoryPresence {
    /// An empty store, as this gateway sees it.
    pub fn new(gateway: &str, timing: Timing, clock: Arc<dyn Clock>) -> Self {
        Self { gateway: gateway.into(), timing, clock, table: Arc::default() }
    }

    /// The same store, as another gateway sees it.
    #[must_use]
    pub fn seen_by(&self, gateway: &str) -> Self {
        Self { gateway: gateway.into(), ..self.clone() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Table {
    gateways: HashMap<Arc<str>, Leased>,
    users: HashMap<UserId, User>,
    lingering: BTreeMap<(UserId, DeviceId), Timestamp>,
    swept: Option<Timestamp>,
    hold: Option<Timestamp>,
}

struct Leased {
    until: Timestamp,
    /// Since the first heartbeat nothing of it was given up.
    is_whole: bool,
}

#[derive(Default)]
struct User {
    devices: BTreeMap<DeviceId, Device>,
    /// On how many of the devices.
    rooms: BTreeMap<Room, usize>,
}

#[derive(Default)]
struct Device {
    gateway: Arc<str>,
    rooms: BTreeSet<Room>,
}

impl User {
    fn enter(&mut self, device: &DeviceId, room: &Room) {
        let Some(device) = self.devices.get_mut(device) else { return };
        if device.rooms.insert(Arc::clone(room)) {
            *self.rooms.entry(Arc::clone(room)).or_default() += 1;
        }
    }

    fn quit(&mut self, device: &DeviceId, room: &Room) {
        let Some(device) = self.devices.get_mut(device) else { return };
        if device.rooms.remove(room)
            && let Some(count) = self.rooms.get_mut(room)
        {
            *count -= 1;
            if *count == 0 {
                self.rooms.remove(room);
            }
        }
    }

    fn all_rooms(&self) -> Vec<Room> {
        self.rooms.keys().cloned().collect()
    }
}

impl Table {
    fn arrive(&mut self, gateway: &Arc<str>, step: &Step, rooms: &[Room]) -> Option<Change> {
        let user = self.users.entry(step.user).or_default();
        let came = user.devices.is_empty();
        let device = user.devices.entry(step.device.clone()).or_default();
        device.gateway = Arc::clone(gateway);
        let wanted: HashSet<_> = rooms.iter().collect();
        let gone: Vec<_> = device.rooms.iter().filter(|room| !wanted.contains(room)).cloned().collect();
        for room in &gone {
            user.quit(&step.device, room);
        }
        for room in rooms {
            user.enter(&step.device, room);
        }
        let change = Change { user: step.user, is_online: true, rooms: user.all_rooms() };
        self.lingering.remove(&(step.user, step.device.clone()));
        came.then_some(change)
    }

    fn remove(&mut self, id: UserId, device: &DeviceId) -> Option<Change> {
        self.lingering.remove(&(id, device.clone()));
        let user = self.users.get_mut(&id)?;
        let rooms: Vec<_> = user.devices.get(device)?.rooms.iter().cloned().collect();
        let all = user.all_rooms();
        for room in &rooms {
            user.quit(device, room);
        }
        user.devices.remove(device);
        if !user.devices.is_empty() {
            return None;
        }
        self.users.remove(&id);
        Some(Change { user: id, is_online: false, rooms: all })
    }

    fn has(&self, step: &Step) -> bool {
        self.users.get(&step.user).is_some_and(|user| user.devices.contains_key(&step.device))
    }

    fn is_held(&mut self, now: Timestamp, timing: &Timing) -> bool {
        let before = self.swept.replace(now);
        if before.is_none_or(|before| now.since(before) > timing.gap() || before > now) {
            self.hold = Some(now.plus(timing.hold()));
        }
        self.hold.is_some_and(|until| until > now)
    }

    fn expired(&mut self, now: Timestamp) -> Vec<(UserId, DeviceId)> {
        let mut expired: Vec<_> =
            self.lingering.iter().filter(|(_, until)| **until <= now).map(|(key, _)| key.clone()).collect();
        let silent: Vec<_> =
            self.gateways.iter().filter(|(_, leased)| leased.until <= now).map(|(name, _)| Arc::clone(name)).collect();
        if !silent.is_empty() {
            for (id, user) in &self.users {
                let theirs = user.devices.iter().filter(|(_, device)| silent.contains(&device.gateway));
                expired.extend(theirs.map(|(device, _)| (*id, device.clone())));
            }
            self.gateways.retain(|_, leased| leased.until > now);
        }
        expired
    }
}

#[async_trait]
impl PresenceStore for MemoryPresence {
    async fn apply(&self, steps: &[Step]) -> Result<Vec<Change>, StoreAway> {
        let now = self.clock.now();
        let mut table = self.table();
        let changes = steps.iter().filter_map(|step| match &step.deed {
            Deed::Arrive(rooms) => {
                let leased = || Leased { until: now.plus(self.timing.expiry), is_whole: false };
                table.gateways.entry(Arc::clone(&self.gateway)).or_insert_with(leased);
                table.arrive(&self.gateway, step, rooms)
            }
            Deed::Leave => table.remove(step.user, &step.device),
            Deed::Linger => {
                if table.has(step) {
                    table.lingering.insert((step.user, step.device.clone()), now.plus(self.timing.grace));
                }
                None
            }
            Deed::Join(room) => {
                table.users.get_mut(&step.user)?.enter(&step.device, room);
                None
            }
            Deed::LeaveRoom(room) => {
                table.users.get_mut(&step.user)?.quit(&step.device, room);
                None
            }
        });
        Ok(changes.collect())
    }

    async fn beat(&self) -> Result<Lease, StoreAway> {
        let now = self.clock.now();
        let leased = Leased { until: now.plus(self.timing.expiry), is_whole: true };
        let before = self.table().gateways.insert(Arc::clone(&self.gateway), leased);
        let kept = before.is_some_and(|before| before.is_whole && before.until > now);
        Ok(if kept { Lease::Kept } else { Lease::Lost })
    }

    async fn doubt(&self, within: Duration) -> Result<(), StoreAway> {
        let until = self.clock.now().plus(within);
        let mut table = self.table();
        let Table { users, lingering, .. } = &mut *table;
        for (id, user) in users {
            for (device, _) in user.devices.iter().filter(|(_, device)| device.gateway == self.gateway) {
                lingering.entry((*id, device.clone())).or_insert(until);
            }
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<Change>, StoreAway> {
        let now = self.clock.now();
        let mut table = self.table();
        if table.is_held(now, &self.timing) {
            return Ok(Vec::new());
        }
        let expired = table.expired(now);
        Ok(expired.into_iter().filter_map(|(user, device)| table.remove(user, &device)).collect())
    }

    async fn online(&self, asker: Option<UserId>, users: &[UserId]) -> Result<Vec<bool>, StoreAway> {
        let table = self.table();
        let shared = asker.map(|asker| table.users.get(&asker));
        let knows = |user: &User| match shared {
            None => true,
            Some(None) => false,
            Some(Some(asker)) => asker.rooms.keys().any(|room| user.rooms.contains_key(room)),
        };
        Ok(users.iter().map(|id| table.users.get(id).is_some_and(knows)).collect())
    }

    async fn ping(&self) -> Result<(), StoreAway> {
        Ok(())
    }
}
