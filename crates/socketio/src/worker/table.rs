//! The sockets of a namespace at one worker, and the rooms they are in.

use std::{collections::HashMap, sync::Arc};

use ahash::RandomState;
use indexmap::IndexSet;
use slab::Slab;

use crate::{Offset, Room, adapter::Target, id::Id, socket::Inner};

/// The sockets of one namespace that this worker holds, and their rooms.
pub(super) struct Table {
    pub(super) sockets: Slab<Resident>,
    /// Slots by the socket's address: while a session changes connections, two sockets have one id.
    slots: HashMap<usize, u32, RandomState>,
    by_id: HashMap<Id, u32, RandomState>,
    pub(super) by_pid: HashMap<Id, u32, RandomState>,
    rooms: HashMap<Room, IndexSet<u32, RandomState>, RandomState>,
    /// For each slot, the number of the last selection that has met it.
    met: Vec<u32>,
    selection: u32,
    /// The sockets of this table have been served up to here.
    pub(super) position: Offset,
}

/// A socket and the rooms a table has it in, which may be a step behind what the socket itself knows.
pub(crate) struct Resident {
    pub(super) socket: Arc<Inner>,
    pub(super) rooms: Vec<Room>,
}

fn address(socket: &Arc<Inner>) -> usize {
    Arc::as_ptr(socket).addr()
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            sockets: Slab::new(),
            slots: HashMap::default(),
            by_id: HashMap::default(),
            by_pid: HashMap::default(),
            rooms: HashMap::default(),
            met: Vec::new(),
            selection: 0,
            position: Offset::ZERO,
        }
    }

    /// Puts the socket in, with these rooms.
    pub(super) fn insert(&mut self, socket: &Arc<Inner>, rooms: &[Room]) {
        let slot = self.sockets.insert(Resident { socket: socket.clone(), rooms: Vec::new() }) as u32;
        self.slots.insert(address(socket), slot);
        self.by_id.insert(socket.id, slot);
        if let Some(pid) = socket.pid {
            self.by_pid.insert(pid, slot);
        }
        if self.met.len() <= slot as usize {
            self.met.resize(slot as usize + 1, 0);
        }
        self.join(socket, rooms);
    }

    /// Takes the socket out; none if it is not in.
    pub(super) fn remove(&mut self, socket: &Arc<Inner>) -> Option<Resident> {
        let slot = self.slots.remove(&address(socket))?;
        if self.by_id.get(&socket.id) == Some(&slot) {
            self.by_id.remove(&socket.id);
        }
        if let Some(pid) = socket.pid
            && self.by_pid.get(&pid) == Some(&slot)
        {
            self.by_pid.remove(&pid);
        }
        let resident = self.sockets.remove(slot as usize);
        for room in &resident.rooms {
            self.remove_member(slot, room);
        }
        Some(resident)
    }

    pub(super) fn join(&mut self, socket: &Arc<Inner>, rooms: &[Room]) {
        // One that is not in the table yet, or any more, takes its rooms along.
        let Some(&slot) = self.slots.get(&address(socket)) else { return };
        for room in rooms {
            let added = if let Some(members) = self.rooms.get_mut(room) {
                members.insert(slot)
            } else {
                let mut members = IndexSet::with_hasher(self.rooms.hasher().clone());
                members.insert(slot);
                self.rooms.insert(room.clone(), members);
                true
            };
            if added {
                self.sockets[slot as usize].rooms.push(room.clone());
            }
        }
    }

    pub(super) fn leave(&mut self, socket: &Arc<Inner>, rooms: &[Room]) {
        let Some(&slot) = self.slots.get(&address(socket)) else { return };
        for room in rooms {
            let known = &mut self.sockets[slot as usize].rooms;
            if let Some(at) = known.iter().position(|known| known == room) {
                known.swap_remove(at);
                self.remove_member(slot, room);
            }
        }
    }

    fn remove_member(&mut self, slot: u32, room: &Room) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.swap_remove(&slot);
            if members.is_empty() {
                self.rooms.remove(room);
            }
        }
    }

    /// The slot of the socket whose own room this is.
    fn own_room(&self, room: &str) -> Option<u32> {
        self.by_id.get(&room.parse::<Id>().ok()?).copied()
    }

    /// Calls `each` once for every socket that is meant.
    pub(super) fn select(&mut self, target: &Target, mut each: impl FnMut(&Arc<Inner>)) {
        if target.except.is_empty() {
            match &target.rooms[..] {
                [] => {
                    self.sockets.iter().for_each(|(_, entry)| each(&entry.socket));
                    return;
                }
                [room] => {
                    let members = self.rooms.get(room);
                    let own = self.own_room(room).filter(|slot| members.is_none_or(|members| !members.contains(slot)));
                    for &slot in members.into_iter().flatten().chain(&own) {
                        each(&self.sockets[slot as usize].socket);
                    }
                    return;
                }
                _ => {}
            }
        }
        self.selection = self.selection.wrapping_add(1);
        if self.selection == 0 {
            self.met.fill(0);
            self.selection = 1;
        }
        let selection = self.selection;
        for room in &target.except {
            let own = self.own_room(room);
            for &slot in self.rooms.get(room).into_iter().flatten().chain(&own) {
                self.met[slot as usize] = selection;
            }
        }
        if target.rooms.is_empty() {
            for (slot, entry) in &self.sockets {
                if self.met[slot] != selection {
                    each(&entry.socket);
                }
            }
            return;
        }
        for room in &target.rooms {
            let own = self.own_room(room);
            for &slot in self.rooms.get(room).into_iter().flatten().chain(&own) {
                if std::mem::replace(&mut self.met[slot as usize], selection) != selection {
                    each(&self.sockets[slot as usize].socket);
                }
            }
        }
    }

    pub(super) fn selected(&mut self, target: &Target) -> Vec<Arc<Inner>> {
        let mut found = Vec::new();
        self.select(target, |socket| found.push(socket.clone()));
        found
    }
}
