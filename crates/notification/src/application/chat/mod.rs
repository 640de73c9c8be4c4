//! The chat: one use case per file, and the port ([`ports`]) they share.

mod access;
pub mod add_member;
pub mod count_unread;
pub mod create_room;
pub mod error;
pub mod events;
pub mod join_room;
pub mod leave_room;
pub mod list_members;
pub mod list_rooms;
pub mod mark_room_read;
pub mod open_support_room;
pub mod ports;
pub mod post_message;
pub mod read_history;

pub use error::ChatError;

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Continue after this one; `None` at the end.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// A page of at most `limit`, from a list that was asked for one more: that one tells whether there is a next page.
    fn of(mut items: Vec<T>, limit: u32, key: impl FnOnce(&T) -> K) -> Self {
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| has_more).map(key);
        Self { items, next }
    }
}
