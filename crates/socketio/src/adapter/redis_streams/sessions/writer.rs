//! Writes sessions, many at once and each only as it is now, and keeps those alive whose sockets live.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::time::Instant;

use super::{
    RedisSessions, Space,
    table::{Job, State},
};
use crate::{
    Offset,
    adapter::{
        AdapterError,
        redis_streams::{
            lane::Lane,
            link::{Backoff, Failed},
            names::session_key,
            scripts::{CLAIM, END, REFRESH, SAVE, invoke},
            wire::session::{self, header},
        },
    },
};

/// Most sessions written at once.
const MAX_BATCH: usize = 128;
/// Most sessions kept alive by one command.
const REFRESH_BATCH: usize = 500;

/// What is sent for one session.
struct Write {
    job: Job,
    space: Arc<Space>,
    key: String,
    /// Value and lifetime in milliseconds; none to end it.
    value: Option<(String, u64)>,
}

impl Write {
    fn command(&self) -> Cmd {
        let header = header(self.job.epoch, &self.space.uid);
        match &self.value {
            Some((value, lifetime_ms)) => {
                invoke(&SAVE, &[&self.key], &[header.as_str(), value, &lifetime_ms.to_string()])
            }
            None => invoke(&END, &[&self.key], &[header.as_str()]),
        }
    }
}

/// Writes what changed, for as long as the adapter lives.
pub(in super::super) async fn write(sessions: Arc<RedisSessions>) {
    let (mut backoff, mut failing) = (Backoff::new(), false);
    loop {
        let writes = match next(&sessions) {
            Ok(writes) => writes,
            // A session that began before starts there: that must be known first.
            Err(lane) => {
                lane.base().await;
                continue;
            }
        };
        if writes.is_empty() {
            if sessions.table().is_settled() {
                sessions.settled.notify_waiters();
            }
            sessions.changed.notified().await;
            continue;
        }
        let mut pipeline = Pipeline::with_capacity(writes.len());
        pipeline.ignore_errors();
        for write in &writes {
            pipeline.add_command(write.command());
        }
        let link = &sessions.shared.link;
        let answers = link.pipeline::<Vec<RedisResult<Value>>>(&pipeline, &sessions.shared.counters).await;
        let error = match answers {
            Ok(answers) => settle(&sessions, writes, answers).await,
            Err(failed) => {
                let mut table = sessions.table();
                writes.into_iter().rev().for_each(|write| table.put_back(write.job));
                Some(AdapterError::from(failed).to_string())
            }
        };
        match error {
            None => {
                backoff.reset();
                failing = false;
            }
            Some(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error, "sessions can't be written; trying on");
                }
                let wait = backoff.wait();
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// What is to be written next; the stream, if nothing can be written before its reading began.
fn next(sessions: &RedisSessions) -> Result<Vec<Write>, Arc<Lane>> {
    let (mut writes, now) = (Vec::new(), Instant::now());
    let options = &sessions.shared.options;
    let mut table = sessions.table();
    while writes.len() < MAX_BATCH {
        let Some((job, held)) = table.take() else { break };
        let lifetime = match held.state {
            State::Attached => Some(sessions.options.lifetime()),
            State::Detached { until } => Some(until.saturating_duration_since(now)),
            State::Ended { until } if until <= now => Some(Duration::ZERO),
            State::Ended { .. } => None,
        };
        if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            // Redis was away for so long that nobody may have it back.
            table.drop_job(&job);
            continue;
        }
        let space = Arc::clone(&held.space);
        let Some(base) = space.lane.known_base() else {
            table.put_back(job);
            if writes.is_empty() {
                return Err(Arc::clone(&space.lane));
            }
            break;
        };
        if held.session.start == Offset::ZERO {
            // It began before Redis was reached: what came before this node read is not for it.
            held.session.start = base;
        }
        let value = lifetime.map(|lifetime| {
            let value = session::encode(&held.session, &space.uid, &space.name);
            value.map(|value| (value, lifetime.as_millis().max(1) as u64))
        });
        match value.transpose() {
            Ok(value) => writes.push(Write { key: session_key(&job.pid, options), job, space, value }),
            Err(error) => {
                tracing::error!(error = %error, "a session can't be encoded: it can't be recovered");
                table.drop_job(&job);
            }
        }
    }
    sessions.shared.counters.sessions.set(table.len());
    Ok(writes)
}

/// Goes by the answers; gives why some were not written.
async fn settle(sessions: &RedisSessions, writes: Vec<Write>, answers: Vec<RedisResult<Value>>) -> Option<String> {
    let mut failed = None;
    let mut foreign = Vec::new();
    {
        let mut table = sessions.table();
        for (write, answer) in writes.into_iter().zip(answers) {
            match answer {
                Ok(Value::BulkString(kept)) => foreign.push((write, kept)),
                Ok(_) => table.done(&write.job),
                Err(error) => {
                    failed = Some(error.to_string());
                    table.put_back(write.job);
                }
            }
        }
        sessions.shared.counters.sessions.set(table.len());
    }
    if failed.is_some() {
        // The next connection brings the scripts, should they be what is missing.
        sessions.shared.link.forget().await;
    }
    for (write, kept) in foreign {
        found_foreign(sessions, write, kept).await;
    }
    failed
}

/// Another holder is there.
async fn found_foreign(sessions: &RedisSessions, write: Write, kept: Vec<u8>) {
    let shared = &sessions.shared;
    let Write { job, space, key, value } = write;
    let theirs = match session::decode(&kept) {
        // Whoever else wrote there, as a Node server that took it: it is not this node's any more.
        Ok(kept) if kept.own.is_none() => job.epoch + 1,
        Ok(kept) => kept.session.epoch,
        Err(_) => job.epoch + 1,
    };
    if theirs < job.epoch
        && let Some((value, lifetime_ms)) = &value
    {
        // Redis forgot that this node claimed it, and fell back to what was there before.
        let lifetime_ms = lifetime_ms.to_string();
        let again = invoke(&CLAIM, &[&key], &[kept.as_slice(), value.as_bytes(), lifetime_ms.as_bytes()]);
        if let Err(failed) = shared.link.command::<Value>(&again, &shared.counters).await {
            tracing::debug!(error = ?failed, "a session can't be written again");
        }
        return sessions.table().put_back(job);
    }
    let epoch = theirs.max(job.epoch + 1);
    let held = sessions.table().drop_job(&job);
    for waiting in held.into_iter().flat_map(|held| held.waiting) {
        let _ = waiting.send(Err(AdapterError::Unavailable("another node holds the session".to_owned())));
    }
    shared.counters.superseded.add(1);
    shared.node().superseded(&space.name, &job.pid, epoch);
}

/// Sets the lifetime of the sessions anew whose sockets live, many with one command.
pub(in super::super) async fn keep_alive(sessions: Arc<RedisSessions>) {
    // A session must outlive its node by the maximum disconnection, and lives as long as that and the heartbeat together.
    let heartbeat = sessions.options.heartbeat.max(Duration::from_millis(40));
    let (due_after, tick) = (heartbeat / 2, heartbeat / 8);
    loop {
        tokio::time::sleep(tick).await;
        let Some(before) = Instant::now().checked_sub(due_after) else { continue };
        let due = sessions.table().due(before);
        for chunk in due.chunks(REFRESH_BATCH) {
            if let Err(failed) = refresh(&sessions, chunk).await {
                // Who waits to write says so in the log.
                tracing::debug!(error = ?failed, "sessions can't be kept alive");
                break;
            }
        }
    }
}

async fn refresh(sessions: &RedisSessions, due: &[(String, u64, Arc<Space>)]) -> Result<(), Failed> {
    let shared = &sessions.shared;
    let keys: Vec<String> = due.iter().map(|(pid, ..)| session_key(pid, &shared.options)).collect();
    let mut args = vec![sessions.options.lifetime().as_millis().to_string()];
    args.extend(due.iter().map(|(_, epoch, space)| header(*epoch, &space.uid)));
    let asked = Instant::now();
    let results: Vec<i64> = shared.link.command(&invoke(&REFRESH, &keys, &args), &shared.counters).await?;
    let mut table = sessions.table();
    let mut changed = false;
    for ((pid, epoch, _), result) in due.iter().zip(results) {
        if result == 1 {
            if let Some(held) = table.of_epoch(pid, *epoch) {
                held.refreshed = asked;
            }
        } else {
            // Gone or another's: writing it again brings it back, or finds out who has it.
            changed |= table.change(pid, |held| held.session.epoch == *epoch);
        }
    }
    drop(table);
    if changed {
        sessions.changed.notify_one();
    }
    Ok(())
}
