//! Whose turn it is to change an inbox or a room.

use std::hash::{BuildHasher as _, Hash, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// More than are changed at once; two that share a line merely wait for each other.
const LINES: usize = 256;

/// Lines in which the writers of this process wait for each other, one line for all of one inbox or room.
///
/// It keeps nothing right: that is MongoDB's, for all processes. But there, of two writers of a document at once one has
/// to begin again, and of twenty nineteen; in a line each is done after the one before.
pub(super) struct Turns {
    lines: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { lines: (0..LINES).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Waits for its turn; it ends when the guard is dropped.
    pub(super) async fn of(&self, whose: impl Hash) -> MutexGuard<'_, ()> {
        let line = self.hasher.hash_one(whose) as usize % LINES;
        self.lines[line].lock().await
    }
}

/// Runs a transaction on an inbox or a room, in its turn, until it is not in another process's way.
macro_rules! in_transaction {
    ($store:ident, $operation:literal, $whose:expr, |$writing:ident| $try:expr) => {{
        let run = async {
            let _turn = $store.turns.of($whose).await;
            let mut $writing = $store.database.write();
            loop {
                let outcome: Result<_, $crate::adapters::persistence::mongo::error::StoreError> = $try.await;
                if let Some(done) = $writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok($store.database.within($operation, run).await?)
    }};
}

pub(super) use in_transaction;
