//! Reads a stream and has this node do what it says, in its order: the one order of the cluster.

use std::{sync::Arc, time::Duration};

use redis::{RedisResult, Value, aio::MultiplexedConnection, cmd};
use tokio::time::Instant;

use super::{
    Shared,
    entries::{Entry, read_of},
    lane::Lane,
    link::{Backoff, RESPONSE_TIMEOUT, connect},
    scripts::{StreamState, state_of},
    wire::entry::Order,
};
use crate::Offset;

/// How often a reader that is behind asks whether the stream still keeps what it has not read.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How far the stream was read.
#[derive(Clone, Copy)]
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
        }
    }
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
            Ok(Some(order)) => perform(shared, &space.name, &order, offset),
            Ok(None) => {}
            Err(error) => {
                shared.counters.malformed.add(1);
                tracing::debug!(stream = lane.stream, %offset, error = %error, "an entry can't be understood");
            }
        }
    }
    lane.move_to(offset);
}

fn perform(shared: &Shared, namespace: &str, order: &Order, offset: Offset) {
    let node = shared.node();
    match order {
        Order::Broadcast(broadcast) => {
            let offset = (shared.options.recovery.is_some() && !broadcast.volatile).then_some(offset);
            node.deliver(namespace, broadcast, offset);
        }
        Order::Join { target, rooms } => node.join(namespace, target, rooms),
        Order::Leave { target, rooms } => node.leave(namespace, target, rooms),
        Order::Disconnect { target, close } => node.disconnect(namespace, target, *close),
    }
}

/// Where to go on, after what the stream holds was asked for.
fn checked(shared: &Shared, lane: &Lane, at: Progress, state: StreamState) -> Progress {
    let known = Progress { added: state.added.filter(|_| at.offset == state.last), ..at };
    if state.last < at.offset {
        // What came before the last id can't be told from what was delivered: on from there.
        shared.counters.store_resets.add(1);
        tracing::error!(stream = lane.stream, was = %at.offset, is = %state.last, "Redis lost a part of the stream");
        lane.move_to(state.last);
        return Progress { offset: state.last, added: state.added };
    }
    let missed = match (state.added, at.added) {
        (Some(now), Some(read)) if now < read => {
            shared.counters.store_resets.add(1);
            tracing::error!(stream = lane.stream, "the stream was made anew");
            // Whether anything was between the old one's end and the new one's first can't be known.
            return Progress { added: Some(now - state.kept), ..at };
        }
        (Some(now), Some(read)) if state.last == at.offset => now - read,
        (Some(now), Some(read)) => (now - state.kept).saturating_sub(read),
        _ => u64::from(!state.is_complete_after(at.offset)),
    };
    if missed == 0 {
        return if at.added.is_none() { known } else { at };
    }
    shared.counters.missed.add(missed as usize);
    tracing::error!(
        stream = lane.stream,
        missed,
        "entries were trimmed before they were read: this node's clients missed them"
    );
    Progress { added: at.added.map(|added| added + missed), ..at }
}
