//! The events that a session missed.

use redis::{RedisError, cmd};

use super::Space;
use crate::{
    Offset, Room,
    adapter::{
        AdapterError,
        redis_streams::{Shared, entries::entries_of, scripts::state_of, wire::entry::Order},
        target::Rooms,
    },
    recovery::{Missed, NotRecovered},
};

/// Entries read at once.
const PAGE: usize = 500;

/// Reads the stream from `from` to where it ends now: that is finite, however fast others add to it.
pub(super) async fn missed(
    shared: &Shared,
    space: &Space,
    rooms: &[Room],
    from: Offset,
) -> Result<Missed, NotRecovered> {
    let failed = |error: RedisError| NotRecovered::Store(AdapterError::Unavailable(error.to_string()));
    let mut connection = shared.link.connection(&shared.counters).await.map_err(AdapterError::from)?;
    let stream = &space.lane.stream;
    let state = state_of(&mut connection, stream, from).await.map_err(failed)?;
    if !state.is_complete_after(from) {
        return Err(NotRecovered::Trimmed);
    }
    if from > state.last {
        return Err(NotRecovered::InvalidOffset);
    }
    let rooms = Rooms::new(rooms);
    let mut missed = Missed { events: Vec::new(), up_to: from };
    let mut pages = 0;
    while missed.up_to < state.last {
        let mut range = cmd("XRANGE");
        range.arg(stream).arg(missed.up_to.next().to_string()).arg(state.last.to_string()).arg("COUNT").arg(PAGE);
        let page = entries_of(range.query_async(&mut connection).await.map_err(failed)?);
        pages += 1;
        let full = page.len() == PAGE;
        for entry in page {
            missed.up_to = entry.offset;
            if entry.namespace != space.name.as_bytes() {
                continue;
            }
            // What the reader could not understand is counted there.
            if let Ok(Some(Order::Broadcast(broadcast))) = Order::decode(&entry.kind, entry.data)
                && !broadcast.volatile
                && rooms.are_meant_by(&broadcast.target)
            {
                missed.events.push((entry.offset, broadcast.payload));
            }
        }
        if !full {
            missed.up_to = state.last;
        }
    }
    if pages > 0 {
        // What was trimmed meanwhile may have been trimmed before it was read.
        let state = state_of(&mut connection, stream, from).await.map_err(failed)?;
        if !state.is_complete_after(from) {
            return Err(NotRecovered::Trimmed);
        }
    }
    Ok(missed)
}
