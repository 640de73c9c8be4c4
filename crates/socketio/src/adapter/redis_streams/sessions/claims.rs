//! Taking a session over.

use std::sync::Arc;

use redis::cmd;

use super::RedisSessions;
use crate::{
    Offset,
    adapter::{
        AdapterError,
        redis_streams::{
            Space, calls,
            link::Failed,
            names::{private_channel, session_key},
            scripts::{CLAIM, invoke},
            wire::{
                call::Message,
                session::{self, Kept},
            },
        },
    },
    recovery::{Claim, Claimed, NotRecovered, Session},
};

/// How often a claim is tried that meets a change of the session's state.
const MAX_ATTEMPTS: usize = 10;

/// Takes the session over, if it may.
///
/// A session that a Node server wrote has no user, no start and no namespace: it is given to a client without a user
/// only, who must show an offset.
pub(super) async fn claim(sessions: &RedisSessions, space: &Arc<Space>, claim: Claim) -> Result<Claimed, NotRecovered> {
    let shared = &sessions.shared;
    sessions.written_of(&space.name, &claim.pid).await?;
    let key = session_key(&claim.pid, &shared.options);
    let mut get = cmd("GET");
    get.arg(&key);
    for _ in 0..MAX_ATTEMPTS {
        let text: Option<Vec<u8>> = shared.link.command(&get, &shared.counters).await.map_err(unavailable)?;
        let text = text.ok_or(NotRecovered::UnknownSession)?;
        let kept = session::decode(&text).map_err(|error| {
            shared.counters.malformed.add(1);
            tracing::warn!(error = %error, "a session can't be understood");
            NotRecovered::UnknownSession
        })?;
        if kept.own.as_ref().is_some_and(|own| own.namespace != *space.name) || kept.session.pid != claim.pid {
            return Err(NotRecovered::UnknownSession);
        }
        if kept.session.user != claim.user {
            return Err(NotRecovered::OtherUser);
        }
        let from = checked_offset(sessions, space, &kept, &claim).await?;
        let Kept { session, own } = kept;
        let start = if own.is_some() { session.start } else { from };
        let session = Session { epoch: session.epoch + 1, start, ..session };
        let value = session::encode(&session, &space.uid, &space.name);
        let value = value.map_err(|error| AdapterError::Unavailable(error.to_string()))?;
        let lifetime_ms = sessions.options.lifetime().as_millis().to_string();
        let take = invoke(&CLAIM, &[&key], &[text.as_slice(), value.as_bytes(), lifetime_ms.as_bytes()]);
        let taken: bool = shared.link.command(&take, &shared.counters).await.map_err(unavailable)?;
        if !taken {
            continue;
        }
        {
            let mut table = sessions.table();
            table.hold_claimed(Arc::clone(space), session.clone());
            shared.counters.sessions.set(table.len());
        }
        match own {
            Some(own) if own.uid != space.uid => {
                let message = Message::Superseded { pid: claim.pid, epoch: session.epoch };
                calls::send(shared, space, private_channel(&space.name, &own.uid, &shared.options), message);
            }
            Some(_) => shared.node().superseded(&space.name, &claim.pid, session.epoch),
            None => {}
        }
        return Ok(Claimed { session, from });
    }
    Err(NotRecovered::Claimed)
}

/// Where the client goes on, if everything since is still there.
async fn checked_offset(
    sessions: &RedisSessions,
    space: &Space,
    kept: &Kept,
    claim: &Claim,
) -> Result<Offset, NotRecovered> {
    let shared = &sessions.shared;
    let start = kept.own.is_some().then_some(kept.session.start);
    // A Node server's session has no start: only the client knows where it is.
    let from = match (start, &claim.offset) {
        (None, None) => return Err(NotRecovered::InvalidOffset),
        (start, _) => claim.offset_since(start.unwrap_or(Offset::ZERO))?,
    };
    let state = shared.link.state_of(&space.lane.stream, from, &shared.counters).await.map_err(unavailable)?;
    if !state.is_complete_after(from) {
        return Err(NotRecovered::Trimmed);
    }
    // Of what Redis lost nobody knows what came after: such an offset is as good as none.
    let given = state.found || Some(from) == start || from == state.last;
    if from > state.last || !given {
        return Err(NotRecovered::InvalidOffset);
    }
    Ok(from)
}

fn unavailable(failed: Failed) -> NotRecovered {
    NotRecovered::Store(failed.into())
}
