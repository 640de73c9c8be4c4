//! Whether a broadcast is meant for a socket in given rooms.

use ahash::AHashSet;

use super::Target;
use crate::Room;

/// The rooms of one socket, to be held against many targets.
pub(super) struct Rooms<'a>(AHashSet<&'a str>);

impl<'a> Rooms<'a> {
    pub(super) fn new(rooms: &'a [Room]) -> Self {
        Self(rooms.iter().map(|room| &**room).collect())
    }

    /// Source: `shouldIncludePacket` in socket.io-adapter 2.5.8, in-memory-adapter.ts
    pub(super) fn are_meant_by(&self, target: &Target) -> bool {
        let has = |room: &Room| self.0.contains(&**room);
        (target.rooms.is_empty() || target.rooms.iter().any(has)) && !target.except.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(names: &[&str]) -> Vec<Room> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn a_target_means_who_is_in_one_of_its_rooms_and_in_none_of_the_excepted() {
        for (mine, to, except, meant) in [
            (&["a"][..], &[][..], &[][..], true),
            (&["a"], &["b", "a"], &[], true),
            (&["a"], &["b"], &[], false),
            (&[], &["b"], &[], false),
            (&["a", "b"], &["a"], &["b"], false),
            (&["a"], &[], &["a"], false),
            (&["a"], &[], &["b"], true),
        ] {
            let target = Target { rooms: rooms(to), except: rooms(except) };
            assert_eq!(Rooms::new(&rooms(mine)).are_meant_by(&target), meant, "{mine:?} {target:?}");
        }
    }
}
