//! Reads a stream and has this node do what it says, in its order: the one order of the cluster.

use std::{sync::Arc, time::Duration};

use redis::{RedisResult, Value, aio::MultiplexedConnection, cmd};
use tokio::time::Instant;

use super::{
    Shared, Space,
    entries::{Entry, read_of},
    lane::Lane,
    link::{Backoff, RESPONSE_TIMEOUT, connect},
    scripts::{StreamState, state_of},
    wire::entry::Order,
};
use crate::{Offset, adapter::history::History};

/// How often a reader that is behind asks whether the stream still keeps what it has not read.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How far the stream was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    offset: Offset,
    /// Entries that were ever added up to here, where Redis tells it.
    added: Option<u64>,
}

pub(super) async fn run(shared: Arc<Shared>, lane: Arc<Lane>) {
    let (mut progress, mut backoff, mut failing) = (None, Backoff::new(), false);
    loop {
        let Err(error) = session(&shared, &lane, &mut progress, &mut backoff, &mut failing).await;
        shared.counters.connection_failures.add(1);
        if !failing {
            tracing::warn!(stream = lane.stream, server = shared.target, error = %error, "the stream can't be read; trying on");
        }
        failing = true;
        let wait = backoff.wait();
        tokio::time::sleep(wait).await;
    }
}

enum Never {}

/// One connection, until it breaks.
async fn session(
    shared: &Shared,
    lane: &Lane,
    progress: &mut Option<Progress>,
    backoff: &mut Backoff,
    failing: &mut bool,
) -> RedisResult<Never> {
    let block = shared.options.block_time;
    let mut connection = connect(&shared.client, block + RESPONSE_TIMEOUT).await?;
    let from = progress.map_or(Offset::ZERO, |progress| progress.offset);
    let state = state_of(&mut connection, &lane.stream, from).await?;
    let mut at = match *progress {
        Some(at) => checked(shared, lane, at, state),
        None => {
            lane.begin(state.last);
            Progress { offset: state.last, added: state.added }
        }
    };
    let mut last_check = Instant::now();
    loop {
        *progress = Some(at);
        let answer = read(&mut connection, shared, lane, at.offset).await?;
        backoff.reset();
        if std::mem::take(failing) {
            tracing::info!(stream = lane.stream, server = shared.target, offset = %at.offset, "the stream is read again");
        }
        let entries = read_of(answer);
        let (count, full) = (entries.len(), entries.len() >= shared.options.read_count);
        for entry in entries {
            at.offset = entry.offset;
            process(shared, lane, entry);
        }
        at.added = at.added.map(|added| added + count as u64);
        shared.counters.read.add(count);
        if count == 0 || full && last_check.elapsed() >= CHECK_INTERVAL {
            last_check = Instant::now();
            let state = state_of(&mut connection, &lane.stream, at.offset).await?;
            at = checked(shared, lane, at, state);
            shared.counters.behind.set(behind(at, state));
        } else if !full {
            shared.counters.behind.set(0);
        }
    }
}

/// Entries that are still to be read; none where Redis does not count them.
fn behind(at: Progress, state: StreamState) -> usize {
    state.added.zip(at.added).map_or(0, |(added, read)| added.saturating_sub(read) as usize)
}

async fn read(
    connection: &mut MultiplexedConnection,
    shared: &Shared,
    lane: &Lane,
    after: Offset,
) -> RedisResult<Value> {
    let mut read = cmd("XREAD");
    read.arg("COUNT").arg(shared.options.read_count).arg("BLOCK").arg(shared.options.block_time.as_millis() as u64);
    read.arg("STREAMS").arg(&lane.stream).arg(after.to_string());
    read.query_async(connection).await
}

/// Has the node do what the entry says.
fn process(shared: &Shared, lane: &Lane, entry: Entry) {
    let offset = entry.offset;
    if let Some(number) = entry.sequence.as_deref().and_then(|sequence| shared.own_number(sequence)) {
        lane.saw_own(number);
    }
    let space = std::str::from_utf8(&entry.namespace).ok().and_then(|namespace| shared.space(namespace));
    if let Some(space) = space {
        match Order::decode(&entry.kind, entry.data) {
            Ok(Some(order)) => perform(shared, &space, order, offset),
            Ok(None) => {}
            Err(error) => {
                shared.counters.malformed.add(1);
                tracing::debug!(stream = lane.stream, %offset, error = %error, "an entry can't be understood");
            }
        }
    }
    lane.move_to(offset);
}

fn perform(shared: &Shared, space: &Space, order: Order, offset: Offset) {
    let (node, namespace) = (shared.node(), &*space.name);
    match order {
        Order::Broadcast(broadcast) => match &shared.options.recovery {
            Some(options) if !broadcast.volatile => {
                node.deliver(namespace, &broadcast, Some(offset));
                let mut recent = space.recent();
                recent.get_or_insert_with(|| History::new(space.lane.whole_after(), options)).keep(offset, broadcast);
            }
            _ => node.deliver(namespace, &broadcast, None),
        },
        Order::Join { target, rooms } => node.join(namespace, &target, &rooms),
        Order::Leave { target, rooms } => node.leave(namespace, &target, &rooms),
        Order::Disconnect { target, close } => node.disconnect(namespace, &target, close),
    }
}

/// Where to go on, after what the stream holds was asked for.
fn checked(shared: &Shared, lane: &Lane, at: Progress, state: StreamState) -> Progress {
    let (next, finding) = judge(at, state);
    if finding != Finding::Fine {
        // The first that is left ends the gap; ids of a stream that is lost mean nothing in the new one.
        lane.has_gap_until(at.offset.max(state.first.unwrap_or(state.last)).next());
        shared.forget_recent(lane);
    }
    match finding {
        Finding::Fine => {}
        Finding::Lost => {
            shared.counters.store_resets.add(1);
            lane.move_to(next.offset);
            tracing::error!(stream = lane.stream, was = %at.offset, is = %next.offset, "Redis lost a part of the stream");
        }
        Finding::Anew => {
            shared.counters.store_resets.add(1);
            tracing::error!(stream = lane.stream, "the stream was made anew");
        }
        Finding::Missed(count) => {
            shared.counters.missed.add(count as usize);
            tracing::error!(
                stream = lane.stream,
                count,
                "entries were trimmed unread: this node's clients missed them"
            );
        }
    }
    next
}

/// What a look at the stream told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Fine,
    /// Its ids went back.
    Lost,
    /// It counts from the beginning again.
    Anew,
    /// So many entries, at least, were trimmed before they were read.
    Missed(u64),
}

fn judge(at: Progress, state: StreamState) -> (Progress, Finding) {
    // Where everything was read, the stream's own count holds for this reader.
    let counted_anew = Progress { added: state.added.filter(|_| at.offset == state.last), ..at };
    if state.last < at.offset {
        // What came before the last id can't be told from what was delivered: on from there.
        return (Progress { offset: state.last, added: state.added }, Finding::Lost);
    }
    let missed = match (state.added, at.added) {
        // Whether anything stood between the old one's end and the new one's beginning can't be known.
        (Some(now), Some(read)) if now < read => return (counted_anew, Finding::Anew),
        (Some(now), Some(read)) if state.last == at.offset => now - read,
        (Some(now), Some(read)) => (now - state.kept).saturating_sub(read),
        _ if state.is_complete_after(at.offset) => return (counted_anew, Finding::Fine),
        _ => return (counted_anew, Finding::Missed(1)),
    };
    match missed {
        0 => (at, Finding::Fine),
        count => (Progress { added: at.added.map(|added| added + count), ..at }, Finding::Missed(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(time_ms: u64) -> Offset {
        Offset { time_ms, sequence: 0 }
    }

    fn at(time_ms: u64, added: Option<u64>) -> Progress {
        Progress { offset: id(time_ms), added }
    }

    fn stream(last: u64, first: u64, kept: u64, added: Option<u64>) -> StreamState {
        StreamState { last: id(last), first: (kept > 0).then(|| id(first)), kept, added, found: false }
    }

    #[test]
    fn what_was_trimmed_unread_is_counted_to_the_entry() {
        for (progress, state, next, finding) in [
            // Everything read.
            (at(9, Some(9)), stream(9, 1, 9, Some(9)), at(9, Some(9)), Finding::Fine),
            // Behind, and all that was not read is kept; also where what was read last is not.
            (at(5, Some(5)), stream(9, 1, 9, Some(9)), at(5, Some(5)), Finding::Fine),
            (at(5, Some(5)), stream(9, 6, 4, Some(9)), at(5, Some(5)), Finding::Fine),
            // Behind, and the next two are gone.
            (at(5, Some(5)), stream(9, 8, 2, Some(9)), at(5, Some(7)), Finding::Missed(2)),
            // All read that was to be had, and three more were added than read.
            (at(9, Some(6)), stream(9, 8, 2, Some(9)), at(9, Some(9)), Finding::Missed(3)),
        ] {
            assert_eq!(judge(progress, state), (next, finding), "{progress:?} {state:?}");
        }
    }

    #[test]
    fn a_stream_that_was_lost_or_made_anew_is_read_on() {
        for (progress, state, next, finding) in [
            (at(9, Some(9)), stream(0, 0, 0, Some(0)), at(0, Some(0)), Finding::Lost),
            (at(9, Some(9)), stream(7, 1, 7, Some(7)), at(7, Some(7)), Finding::Lost),
            (at(9, Some(9)), stream(12, 11, 2, Some(2)), at(9, None), Finding::Anew),
            (at(12, Some(11)), stream(12, 11, 2, Some(2)), at(12, Some(2)), Finding::Anew),
            // Counting begins again once all is read.
            (at(12, None), stream(13, 11, 3, Some(3)), at(12, None), Finding::Fine),
            (at(13, None), stream(13, 11, 3, Some(3)), at(13, Some(3)), Finding::Fine),
        ] {
            assert_eq!(judge(progress, state), (next, finding), "{progress:?} {state:?}");
        }
    }

    #[test]
    fn a_redis_that_does_not_count_is_judged_by_its_first_entry() {
        assert_eq!(judge(at(9, None), stream(9, 3, 5, None)), (at(9, None), Finding::Fine));
        assert_eq!(judge(at(5, None), stream(9, 3, 5, None)), (at(5, None), Finding::Fine));
        assert_eq!(judge(at(5, None), stream(9, 7, 2, None)), (at(5, None), Finding::Missed(1)));
    }
}
