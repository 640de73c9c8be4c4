//! Who is in a room, and how far they have read.

use contracts::Timestamp;
use contracts::ids::{ChatMessageId, UserId};

/// How far a member has read, and what of their own lies after that: by these two numbers alone the unread messages are
/// counted, however many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    read_seq: u64,
    own_after: u64,
}

impl Reading {
    /// Of somebody who joins a room with messages up to `last_seq`: what was said before is read.
    pub const fn joined_at(last_seq: u64) -> Self {
        Self { read_seq: last_seq, own_after: 0 }
    }

    /// As it was stored.
    pub const fn stored(read_seq: u64, own_after: u64) -> Self {
        Self { read_seq, own_after }
    }

    /// Position of the last message that was read; 0 for none.
    pub const fn read_seq(self) -> u64 {
        self.read_seq
    }

    /// How many of the member's own messages lie after that.
    pub const fn own_after(self) -> u64 {
        self.own_after
    }

    /// Messages of others after the position, in a room with messages up to `last_seq`.
    pub const fn unread(self, last_seq: u64) -> u64 {
        last_seq.saturating_sub(self.read_seq).saturating_sub(self.own_after)
    }

    /// The member posted the message at `seq`, the newest. Who had read everything before has read it, too; else it lies after
    /// what they still have to read.
    #[must_use]
    pub const fn posted(self, seq: u64) -> Self {
        if self.unread(seq.saturating_sub(1)) == 0 {
            Self { read_seq: seq, own_after: 0 }
        } else {
            Self { read_seq: self.read_seq, own_after: self.own_after + 1 }
        }
    }

    /// The member has read up to `seq`, after which `own_after` of their own messages lie. `None` if they had read as far.
    pub const fn read_to(self, seq: u64, own_after: u64) -> Option<Self> {
        if seq > self.read_seq { Some(Self { read_seq: seq, own_after }) } else { None }
    }
}

/// A member of a room, as the others see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// Since when.
    pub joined_at: Timestamp,
    /// Position of the last message that they have read; 0 for none.
    pub read_seq: u64,
    /// That message.
    pub read_message_id: Option<ChatMessageId>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a member who counts every message by hand.
        #[test]
        fn two_numbers_count_what_a_member_has_not_read(
            before in 0_u64..4,
            steps in proptest::collection::vec((0_u8..3, 0_u64..20), 0..40),
        ) {
            let mut own = vec![false; usize::try_from(before).unwrap()];
            let mut reading = Reading::joined_at(before);
            let mut furthest = before;
            for (step, n) in steps {
                let last = own.len() as u64;
                match step {
                    0 => own.push(false),
                    1 => {
                        own.push(true);
                        reading = reading.posted(last + 1);
                    }
                    _ => {
                        let seq = n.min(last);
                        let after = own.iter().skip(usize::try_from(seq).unwrap()).filter(|own| **own).count() as u64;
                        let moved = reading.read_to(seq, after);
                        prop_assert_eq!(moved.is_some(), seq > reading.read_seq());
                        reading = moved.unwrap_or(reading);
                    }
                }
                prop_assert!(reading.read_seq() >= furthest, "it never moves back");
                furthest = reading.read_seq();
                let rest = own.iter().skip(usize::try_from(furthest).unwrap());
                prop_assert_eq!(reading.unread(own.len() as u64), rest.filter(|own| !**own).count() as u64);
            }
        }
    }

    #[test]
    fn who_has_read_everything_has_read_what_they_say() {
        let reading = Reading::joined_at(4).posted(5);
        assert_eq!((reading.read_seq(), reading.unread(5)), (5, 0));
        let behind = Reading::joined_at(4).posted(6);
        assert_eq!((behind.read_seq(), behind.unread(6)), (4, 1));
    }
}
