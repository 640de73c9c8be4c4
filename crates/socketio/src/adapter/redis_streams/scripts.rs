//! What Redis does in one step.

use std::sync::LazyLock;

use redis::{Cmd, Pipeline, RedisResult, aio::MultiplexedConnection, cmd};

use super::wire::session::HEADER_CHARS;
use crate::Offset;

/// A script and its digest, by which it is run.
pub(super) struct Script {
    source: String,
    digest: String,
}

impl Script {
    fn new(source: &str) -> Self {
        let source = source.replace("HEADER", &HEADER_CHARS.to_string());
        let digest = redis::Script::new(&source).get_hash().to_owned();
        Self { source, digest }
    }
}

/// KEYS: session. ARGV: header of who may write, value, lifetime in ms. Gives 1, or what another holder has there.
pub(super) static SAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local kept = redis.call('GET', KEYS[1])
    if kept and string.sub(kept, 1, HEADER) ~= ARGV[1] then return kept end
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 1",
    )
});

/// KEYS: session. ARGV: header of who may end it. Gives 1.
pub(super) static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local kept = redis.call('GETRANGE', KEYS[1], 0, HEADER - 1)
    if kept == ARGV[1] then redis.call('DEL', KEYS[1]) end
    return 1",
    )
});

/// KEYS: sessions. ARGV: lifetime in ms, then the header of each. Gives for each 1, 0 if it is gone, or -1 if it is
/// another holder's.
pub(super) static REFRESH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local results = {}
    for i, key in ipairs(KEYS) do
        local kept = redis.call('GETRANGE', key, 0, HEADER - 1)
        if kept == ARGV[i + 1] then
            results[i] = redis.call('PEXPIRE', key, ARGV[1])
        elseif kept == '' then
            results[i] = 0
        else
            results[i] = -1
        end
    end
    return results",
    )
});

/// KEYS: session. ARGV: what must be there, what shall be there, lifetime in ms. Gives whether it was done.
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 1",
    )
});

/// KEYS: stream. ARGV: an offset. Gives the last id ever given, the first and number of entries kept, the number of
/// entries ever added (-1 before Redis 7), and whether the offset is that of an entry.
static STATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[1]) == 0 then return {'0-0', '', 0, 0, 0} end
    local info = redis.call('XINFO', 'STREAM', KEYS[1])
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    local first = fields['first-entry'] and fields['first-entry'][1] or ''
    local found = #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1], 'COUNT', 1)
    return {fields['last-generated-id'], first, fields['length'], fields['entries-added'] or -1, found}",
    )
});

/// What a stream holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamState {
    /// The last id ever given.
    pub(super) last: Offset,
    /// The first entry still kept.
    pub(super) first: Option<Offset>,
    /// Entries kept.
    pub(super) kept: u64,
    /// Entries ever added; Redis tells it since version 7.
    pub(super) added: Option<u64>,
    /// Whether the offset asked for is that of an entry kept.
    pub(super) found: bool,
}

impl StreamState {
    /// Whether all that was ever added after the offset is still kept.
    pub(super) fn is_complete_after(&self, offset: Offset) -> bool {
        // An offset before the first entry although nothing was ever removed was given by a stream that
        // is lost: what came after it is not known. But for the very beginning, which all have in common.
        let untouched = self.added == Some(self.kept);
        offset >= self.last || self.first.is_some_and(|first| first <= offset) || untouched && offset == Offset::ZERO
    }
}

/// Asks what the stream holds; the answer is for [`StreamState::from_answer`].
pub(super) fn state_command(stream: &str, offset: Offset) -> Cmd {
    invoke(&STATE, &[stream], &[&offset.to_string()])
}

/// What [`STATE`] gives.
pub(super) type StateAnswer = (String, String, u64, i64, u64);

impl StreamState {
    pub(super) fn from_answer((last, first, kept, added, found): StateAnswer) -> RedisResult<Self> {
        let malformed = || redis::RedisError::from((redis::ErrorKind::UnexpectedReturnType, "no id of an entry"));
        Ok(Self {
            last: last.parse().map_err(|_| malformed())?,
            first: if first.is_empty() { None } else { Some(first.parse().map_err(|_| malformed())?) },
            kept,
            added: added.try_into().ok(),
            found: found > 0,
        })
    }
}

/// Asks what the stream holds, on this connection.
pub(super) async fn state_of(
    connection: &mut MultiplexedConnection,
    stream: &str,
    offset: Offset,
) -> RedisResult<StreamState> {
    StreamState::from_answer(state_command(stream, offset).query_async(connection).await?)
}

/// Makes all scripts known to the server behind this connection.
pub(super) async fn load(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut pipeline = Pipeline::new();
    for script in [&SAVE, &END, &REFRESH, &CLAIM, &STATE] {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(&script.source).ignore();
    }
    pipeline.exec_async(connection).await
}

/// The command that runs the script.
pub(super) fn invoke<K: redis::ToRedisArgs, A: redis::ToRedisArgs>(script: &Script, keys: &[K], args: &[A]) -> Cmd {
    let mut command = cmd("EVALSHA");
    command.arg(&script.digest).arg(keys.len()).arg(keys).arg(args);
    command
}

/// The server forgot its scripts, as when it was restarted.
pub(super) fn is_unknown(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
}
