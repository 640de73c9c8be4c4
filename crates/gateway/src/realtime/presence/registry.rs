//! The devices of this gateway, and what the store is still to be told of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contracts::ids::UserId;
use tokio::sync::oneshot;

use super::store::{Deed, DeviceId, Room, Step, StoreAway};

/// Most steps that wait to be told; beyond, all devices are told anew instead.
const MAX_WAITING: usize = 10_000;

/// Something for the store, in the order in which it came.
pub(super) enum Item {
    Do(Step),
    /// A question comes after what was done before it.
    Ask(Question),
}

/// Who of the users is online, as far as the asker may know.
pub(super) struct Question {
    pub(super) asker: Option<UserId>,
    pub(super) users: Vec<UserId>,
    pub(super) answer: oneshot::Sender<Result<Vec<bool>, StoreAway>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Registry {
    devices: HashMap<DeviceId, Entry>,
    users: HashMap<UserId, BTreeSet<DeviceId>>,
    waiting: Vec<Item>,
    /// The store may not have what this gateway knows.
    pub(super) is_behind: bool,
}

struct Entry {
    user: UserId,
    stage: Stage,
}

enum Stage {
    /// Its rooms are being looked up; what happened to them meanwhile.
    Coming(BTreeMap<Room, bool>),
    /// The store knows of it, in these rooms.
    Here(BTreeSet<Room>),
}

/// How a device went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Its user left, or was made to: others are told at once.
    AtOnce,
    /// Its connection was lost, and may come back elsewhere: others are told after the grace.
    Lost,
}

impl Registry {
    /// Users with a device at this gateway.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    pub(super) fn begin(&mut self, user: UserId, device: DeviceId) {
        self.users.entry(user).or_default().insert(device.clone());
        self.devices.insert(device, Entry { user, stage: Stage::Coming(BTreeMap::new()) });
    }

    /// The device is in these rooms, but for what happened since it began to come. Gives the rooms it is in; `None` where
    /// it has gone already.
    pub(super) fn arrive(&mut self, device: &DeviceId, rooms: BTreeSet<Room>) -> Option<BTreeSet<Room>> {
        let entry = self.devices.get_mut(device)?;
        let mut rooms = rooms;
        if let Stage::Coming(meanwhile) = &mut entry.stage {
            for (room, is_in) in std::mem::take(meanwhile) {
                if is_in {
                    rooms.insert(room);
                } else {
                    rooms.remove(&room);
                }
            }
        }
        entry.stage = Stage::Here(rooms.clone());
        let user = entry.user;
        let step = Step { user, device: device.clone(), deed: Deed::Arrive(rooms.iter().cloned().collect()) };
        self.tell(step);
        Some(rooms)
    }

    /// The device is in the room from now on, or no more.
    pub(super) fn set_room(&mut self, device: &DeviceId, room: &Room, is_in: bool) {
        let Some(entry) = self.devices.get_mut(device) else { return };
        let user = entry.user;
        let changed = match &mut entry.stage {
            Stage::Coming(meanwhile) => {
                meanwhile.insert(Room::clone(room), is_in);
                false
            }
            Stage::Here(rooms) if is_in => rooms.insert(Room::clone(room)),
            Stage::Here(rooms) => rooms.remove(room),
        };
        if changed {
            let deed = if is_in { Deed::Join(Room::clone(room)) } else { Deed::LeaveRoom(Room::clone(room)) };
            self.tell(Step { user, device: device.clone(), deed });
        }
    }

    /// All devices of the user are in the room from now on, or no more.
    pub(super) fn set_membership(&mut self, user: UserId, room: &Room, is_in: bool) {
        let devices: Vec<_> = self.users.get(&user).into_iter().flatten().cloned().collect();
        for device in devices {
            self.set_room(&device, room, is_in);
        }
    }

    pub(super) fn end(&mut self, device: &DeviceId, parting: Parting) {
        let Some(entry) = self.devices.remove(device) else { return };
        if let Some(devices) = self.users.get_mut(&entry.user) {
            devices.remove(device);
            if devices.is_empty() {
                self.users.remove(&entry.user);
            }
        }
        if matches!(entry.stage, Stage::Here(_)) {
            let deed = match parting {
                Parting::AtOnce => Deed::Leave,
                Parting::Lost => Deed::Linger,
            };
            self.tell(Step { user: entry.user, device: device.clone(), deed });
        }
    }

    pub(super) fn ask(&mut self, question: Question) {
        self.waiting.push(Item::Ask(question));
    }

    fn tell(&mut self, step: Step) {
        if self.waiting.len() >= MAX_WAITING {
            self.is_behind = true;
            self.waiting.retain(|item| matches!(item, Item::Ask(_)));
        }
        if !self.is_behind {
            self.waiting.push(Item::Do(step));
        }
    }

    pub(super) fn take_waiting(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.waiting)
    }

    /// All devices, as the store should have them. What waits is told after them, for the devices that are gone; that some of
    /// it is then told twice changes nothing. From now on the store is told of what changes.
    pub(super) fn everything(&mut self) -> Vec<Step> {
        self.is_behind = false;
        let here = self.devices.iter().filter_map(|(device, entry)| match &entry.stage {
            Stage::Coming(_) => None,
            Stage::Here(rooms) => Some(Step {
                user: entry.user,
                device: device.clone(),
                deed: Deed::Arrive(rooms.iter().cloned().collect()),
            }),
        });
        here.collect()
    }
}
