//! Adds this node's messages to a stream: in order, each once, also across the end of a connection.
//!
//! A message leaves the outbox only once it is known to have been added. Where the answer was lost, it may or may not
//! have been; so every entry carries the node's name and a number, and before anything is sent again, the stream is
//! searched for the last of one's own. The connection that broke is killed first, lest it still brings what was
//! written to it.

use std::sync::Arc;

use redis::{Pipeline, RedisResult, Value, aio::MultiplexedConnection, cmd, from_redis_value};

use super::{
    Shared,
    entries::{Entry, entries_of},
    lane::{Batch, Lane},
    link::{Backoff, RESPONSE_TIMEOUT, connect},
};
use crate::Offset;

/// Most messages sent at once: their answer is waited for before the next.
const MAX_BATCH: usize = 256;
/// Most bytes sent at once, if more than one message.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Entries looked at at once when searching for one's own.
const SEARCH_PAGE: usize = 500;

/// What must be cleared up before anything is sent on a new connection.
struct Doubts {
    /// All that was sent before the unanswered is in the stream up to here.
    confirmed: Offset,
    /// Number of the last message that was sent and not answered.
    unanswered: Option<u64>,
    /// The connection that broke.
    before: Option<Identity>,
}

enum Never {}

/// A connection as its server knows it.
struct Identity {
    run_id: String,
    client_id: i64,
}

pub(super) async fn run(shared: Arc<Shared>, lane: Arc<Lane>) {
    let mut doubts = Doubts { confirmed: lane.base().await, unanswered: None, before: None };
    let (mut backoff, mut failing) = (Backoff::new(), false);
    loop {
        let Err(error) = session(&shared, &lane, &mut doubts, &mut backoff, &mut failing).await;
        shared.counters.connection_failures.add(1);
        if !failing {
            tracing::warn!(stream = lane.stream, error = %error, "messages can't be added to the stream; they are kept");
        }
        failing = true;
        let wait = backoff.wait();
        tokio::time::sleep(wait).await;
    }
}

/// One connection, until it breaks.
async fn session(
    shared: &Shared,
    lane: &Lane,
    doubts: &mut Doubts,
    backoff: &mut Backoff,
    failing: &mut bool,
) -> RedisResult<Never> {
    let mut connection = connect(&shared.client, RESPONSE_TIMEOUT).await?;
    let now = identify(&mut connection).await;
    if let (Some(before), Some(now)) = (&doubts.before, &now)
        && before.run_id == now.run_id
    {
        // It is gone already as a rule, which is an answer too.
        let kill =
            cmd("CLIENT").arg("KILL").arg("ID").arg(before.client_id).query_async::<Value>(&mut connection).await;
        if let Err(error) = kill {
            tracing::debug!(error = %error, "the connection before can't be ended");
        }
    }
    doubts.before = now;
    if let Some(last) = doubts.unanswered {
        let found = last_added(&mut connection, shared, lane, doubts.confirmed, last).await?;
        let known = lane.added(found);
        if known > 0 {
            tracing::info!(stream = lane.stream, messages = known, "messages without answer were found to be added");
        }
        shared.counters.found_published.add(known);
        shared.counters.published.add(known);
        doubts.unanswered = None;
    }
    loop {
        let batch = lane.next(MAX_BATCH, MAX_BATCH_BYTES).await;
        let pipeline = encode(shared, lane, &batch);
        if !pipeline.is_empty() {
            doubts.unanswered = Some(batch.last());
            let ids: Vec<String> = pipeline.query_async(&mut connection).await?;
            doubts.unanswered = None;
            doubts.confirmed = ids.last().and_then(|id| id.parse().ok()).unwrap_or(doubts.confirmed);
            shared.counters.published.add(ids.len());
        }
        lane.added(batch.last());
        backoff.reset();
        if std::mem::take(failing) {
            tracing::info!(stream = lane.stream, waiting = lane.queued(), "messages are added to the stream again");
        }
    }
}

/// The batch as one transaction: all of it is added, or nothing.
fn encode(shared: &Shared, lane: &Lane, batch: &Batch) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(batch.messages.len());
    pipeline.atomic();
    for (number, queued) in (batch.first..).zip(&batch.messages) {
        let data = match queued.order.encode(shared.options.only_plaintext) {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(namespace = &*queued.space.name, error = %error, "a message can't be encoded and is dropped");
                shared.counters.dropped.add(1);
                lane.lose(number);
                continue;
            }
        };
        pipeline.cmd("XADD").arg(&lane.stream).arg("MAXLEN").arg("~").arg(shared.options.max_len).arg("*");
        pipeline.arg("uid").arg(&queued.space.uid).arg("nsp").arg(&*queued.space.name);
        pipeline.arg("type").arg(queued.order.kind()).arg("data").arg(data);
        pipeline.arg("seq").arg(shared.sequence(number));
    }
    pipeline
}

/// Number of the last of one's own messages in the stream after this offset; messages after `last` were not sent.
async fn last_added(
    connection: &mut MultiplexedConnection,
    shared: &Shared,
    lane: &Lane,
    mut after: Offset,
    last: u64,
) -> RedisResult<u64> {
    let mut found = 0;
    loop {
        // The reader may have met it meanwhile, also where the stream no longer keeps it.
        found = found.max(lane.last_own());
        if found >= last {
            return Ok(last);
        }
        let mut page = cmd("XRANGE");
        page.arg(&lane.stream).arg(after.next().to_string()).arg("+").arg("COUNT").arg(SEARCH_PAGE);
        let page = entries_of(page.query_async(connection).await?);
        let Some(end) = page.last() else { return Ok(found) };
        after = end.offset;
        let own = page.iter().filter_map(|entry: &Entry| shared.own_number(entry.sequence.as_deref()?));
        found = found.max(own.max().unwrap_or_default());
    }
}

async fn identify(connection: &mut MultiplexedConnection) -> Option<Identity> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("CLIENT").arg("ID").cmd("INFO").arg("server");
    let mut answers: Vec<Value> = pipeline.query_async(connection).await.ok()?;
    let info: String = from_redis_value(answers.pop()?).ok()?;
    let client_id = from_redis_value(answers.pop()?).ok()?;
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?.trim().to_owned();
    Some(Identity { run_id, client_id })
}
