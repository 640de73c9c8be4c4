//! What happened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the adapter was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisStreamsStats {
    /// Entries added to streams by this node.
    pub published: u64,
    /// Entries that were sent once, got no answer and were found to be there: not sent again.
    pub found_published: u64,
    /// Entries read, of all nodes and namespaces.
    pub read: u64,
    /// Entries that this node has yet to read, as far as it knows: it looks about every second while it can't keep up.
    pub behind: u64,
    /// Messages dropped because too many waited already.
    pub dropped: u64,
    /// Entries and messages that could not be understood.
    pub malformed: u64,
    /// Entries that were trimmed before this node read them, at least; clients of this node missed them.
    pub missed: u64,
    /// How often Redis was found to have lost what it had.
    pub store_resets: u64,
    /// How often a connection to Redis was lost or could not be had.
    pub connection_failures: u64,
    /// Messages waiting to be added to streams now.
    pub queued: u64,
    /// Sessions that this node keeps alive now.
    pub sessions: u64,
    /// Sessions of this node that another node took over.
    pub superseded: u64,
}

macro_rules! counters {
    ($($name:ident),*) => {
        #[derive(Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
        }

        impl Counters {
            pub(super) fn snapshot(&self) -> RedisStreamsStats {
                RedisStreamsStats { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters!(
    published,
    found_published,
    read,
    behind,
    dropped,
    malformed,
    missed,
    store_resets,
    connection_failures,
    queued,
    sessions,
    superseded
);

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// For what is a number of now, not a count.
    pub(super) fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
