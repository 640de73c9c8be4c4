//! The events that a session missed.

use redis::cmd;

use super::Space;
use crate::{
    Offset, Room,
    adapter::{
        redis_streams::{Shared, entries::entries_of, link::Failed, wire::entry::Order},
        target::Rooms,
    },
    recovery::{Missed, NotRecovered},
};

/// Entries read at once.
const PAGE: usize = 500;

/// What this node read lately, where it reaches back far enough, else what the stream holds.
pub(super) async fn missed(
    shared: &Shared,
    space: &Space,
    rooms: &[Room],
    from: Offset,
) -> Result<Missed, NotRecovered> {
    match recent(space, rooms, from) {
        Some(missed) => Ok(missed),
        None => read(shared, space, rooms, from).await,
    }
}

fn recent(space: &Space, rooms: &[Room], from: Offset) -> Option<Missed> {
    let kept = {
        let recent = space.recent();
        let history = recent.as_ref()?;
        if from < history.complete_after() {
            return None;
        }
        // The last of this namespace may be before what was read of the others'.
        if from > history.position() { Vec::new() } else { history.after(from).ok()? }
    };
    // Asked for only now: what is kept was delivered, or is about to be.
    let position = space.lane.position();
    if from > position && kept.is_empty() {
        return None;
    }
    let rooms = Rooms::new(rooms);
    let meant = kept.iter().filter(|kept| rooms.are_meant_by(&kept.broadcast.target));
    Some(Missed {
        up_to: kept.last().map_or(from, |last| last.offset),
        events: meant.map(|kept| (kept.offset, kept.broadcast.payload.clone())).collect(),
    })
}

/// Reads the stream from `from` to where it ends now: that is finite, however fast others add to it.
async fn read(shared: &Shared, space: &Space, rooms: &[Room], from: Offset) -> Result<Missed, NotRecovered> {
    let unavailable = |failed: Failed| NotRecovered::Store(failed.into());
    let (stream, link, counters) = (&space.lane.stream, &shared.link, &shared.counters);
    let state = link.state_of(stream, from, counters).await.map_err(unavailable)?;
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
        let page = entries_of(link.command(&range, counters).await.map_err(unavailable)?);
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
        let state = link.state_of(stream, from, counters).await.map_err(unavailable)?;
        if !state.is_complete_after(from) {
            return Err(NotRecovered::Trimmed);
        }
    }
    Ok(missed)
}
