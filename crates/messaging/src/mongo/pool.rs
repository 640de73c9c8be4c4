//! The driver's pools, as its events tell of them (Connection Monitoring and Pooling specification, "Events").

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use observability::db::{Client, PoolState};

/// What the driver opens to one server, unless the address says otherwise (`maxPoolSize`).
pub(super) const DRIVERS_MAX: u32 = 10;

/// Connections to all servers of one database.
#[derive(Debug, Default)]
pub(super) struct PoolEvents {
    open: AtomicU64,
    used: AtomicU64,
}

impl PoolEvents {
    /// What to give the driver. Waits are told to `client`.
    pub(super) fn handler(self: &Arc<Self>, client: Client) -> EventHandler<CmapEvent> {
        let counts = Arc::clone(self);
        EventHandler::callback(move |event| match event {
            CmapEvent::ConnectionCreated(_) => add(&counts.open),
            CmapEvent::ConnectionClosed(_) => take(&counts.open),
            CmapEvent::ConnectionCheckedOut(event) => {
                add(&counts.used);
                client.waited(event.duration);
            }
            CmapEvent::ConnectionCheckedIn(_) => take(&counts.used),
            _ => {}
        })
    }

    pub(super) fn state(&self, max: u32) -> PoolState {
        let (open, used) = (self.open.load(Ordering::Relaxed), self.used.load(Ordering::Relaxed));
        PoolState { idle: open.saturating_sub(used), used, max: u64::from(max) }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn take(count: &AtomicU64) {
    // Never below nothing, whatever the driver tells twice.
    let _ = count.try_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
}
