//! Connection state recovery: a client that lost its connection, or its whole node, goes on where it was.
//!
//! A session is written when it begins, with the offset it starts from, and whenever its rooms or data change; so it
//! can be claimed by any node at any time, also when the node that held it was killed.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::{Offset, Payload, Room, adapter::AdapterError};

/// What is kept for recovery, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryOptions {
    /// How long a session waits for its client once the connection is known to be lost. Two minutes by default, as in the
    /// original.
    pub max_disconnection: Duration,
    /// Ping interval and ping timeout together: how long a lost connection may go unnoticed. 45 seconds by default, as
    /// Engine.IO's own; to be changed with [`crate::Builder::ping_interval`] and [`crate::Builder::ping_timeout`].
    pub heartbeat: Duration,
    /// Most events kept in memory per namespace; the local adapter has no others, and with Redis there is the stream besides.
    /// 10 000 by default.
    pub max_events: usize,
    /// Most bytes of them. 64 MiB by default.
    pub max_bytes: usize,
}

impl RecoveryOptions {
    /// How long a session lives without a sign of its node, and an event for those who may have missed it.
    pub fn lifetime(&self) -> Duration {
        self.max_disconnection + self.heartbeat
    }
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        Self {
            max_disconnection: Duration::from_mins(2),
            heartbeat: Duration::from_secs(45),
            max_events: 10_000,
            max_bytes: 64 << 20,
        }
    }
}

/// What of a socket outlives its connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The secret by which the client claims the session.
    pub pid: String,
    /// The socket's id, which it keeps.
    pub sid: String,
    /// Its rooms, the one named by its id included.
    pub rooms: Vec<Room>,
    /// What the application keeps with the socket.
    pub data: Value,
    /// Who the application says the client is; a session is given back only to the same.
    pub user: Option<String>,
    /// Events up to here were not for this session: it began after them.
    pub start: Offset,
    /// Counts the claims. A socket of an earlier epoch has lost the session.
    pub epoch: u64,
}

/// What a reconnecting client shows for its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The session's secret.
    pub pid: String,
    /// Offset of the last event the client saw, as it sent it; none if it saw none. See [`Claim::offset_since`].
    pub offset: Option<String>,
    /// Who the application says the client is now.
    pub user: Option<String>,
}

impl Claim {
    /// Where the client goes on: at the offset it shows, but not before `start`.
    ///
    /// The client's library keeps the offset of an earlier session, until an event of the present one brings another: such an
    /// offset, like none at all, stands for the start.
    ///
    /// # Errors
    /// [`NotRecovered::InvalidOffset`] if what it shows is no offset.
    pub fn offset_since(&self, start: Offset) -> Result<Offset, NotRecovered> {
        match &self.offset {
            Some(offset) => {
                offset.parse().map(|offset: Offset| offset.max(start)).map_err(|_| NotRecovered::InvalidOffset)
            }
            None => Ok(start),
        }
    }
}

/// A session that changed hands, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The session, its epoch already counted up.
    pub session: Session,
    /// The client has seen every event for it up to here.
    pub from: Offset,
}

/// Events that a session missed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Missed {
    /// In order, without the offset among the arguments.
    pub events: Vec<(Offset, Payload)>,
    /// The stream was read up to here: what comes live after it was not read.
    pub up_to: Offset,
}

/// Why a session could not be recovered. The text is for people; [`Self::code`] is for programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRecovered {
    /// No such session: it ended, expired, or never was.
    #[error("the session is unknown or has expired")]
    UnknownSession,
    /// It belongs to another user.
    #[error("the session belongs to another user")]
    OtherUser,
    /// What the client sent is no offset of this session.
    #[error("the offset is malformed or was never given to this session")]
    InvalidOffset,
    /// The events after the offset are no longer kept, or not all of them; or they are more than may wait for a client, see
    /// [`crate::Limits::queued_messages`].
    #[error("the events after the offset are no longer kept")]
    Trimmed,
    /// Another connection claimed the session at the same time.
    #[error("another connection claimed the session")]
    Claimed,
    /// The application refused.
    #[error("refused: {0}")]
    Refused(String),
    /// The store can't be reached.
    #[error(transparent)]
    Store(#[from] AdapterError),
}

impl NotRecovered {
    /// A word that stays the same: `unknown_session`, `other_user`, `invalid_offset`, `trimmed`, `claimed`, `refused`,
    /// `store_unavailable`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownSession => "unknown_session",
            Self::OtherUser => "other_user",
            Self::InvalidOffset => "invalid_offset",
            Self::Trimmed => "trimmed",
            Self::Claimed => "claimed",
            Self::Refused(_) => "refused",
            Self::Store(_) => "store_unavailable",
        }
    }
}

/// Where sessions are kept, and the events they may have missed. A part of every adapter.
///
/// A session lives for the maximum disconnection after its socket lost its connection; while the socket lives, the
/// store keeps it alive by itself.
pub trait Sessions: Send + Sync + 'static {
    /// The offset up to which this node has delivered: where a session that begins now starts from. Asked also from
    /// within [`crate::adapter::Node::deliver`] and the like.
    fn position(&self, namespace: &str) -> Offset;

    /// Keeps a new session. Where the store is away, the future fails soon but the store goes on trying by itself,
    /// with whatever [`Self::update`] brings meanwhile.
    fn begin(&self, namespace: &str, session: Session) -> BoxFuture<'static, Result<(), AdapterError>>;

    /// Keeps the session's present state; no answer is needed. A session that was claimed by a later epoch is left alone,
    /// and this node is told by [`crate::adapter::Node::superseded`].
    fn update(&self, namespace: &str, session: Session);

    /// The connection was lost: the session waits for its client from now on, for the maximum disconnection.
    fn detach(&self, namespace: &str, pid: &str, epoch: u64);

    /// The session is over: client or server ended it on purpose. One that was claimed by a later epoch is left alone.
    fn end(&self, namespace: &str, pid: &str, epoch: u64);

    /// Hands the session over to this node, atomically: of several claims at once one succeeds, or they succeed one
    /// after the other, each with a higher epoch. A refused claim changes nothing. The node that held it before is told.
    fn claim(&self, namespace: &str, claim: Claim) -> BoxFuture<'static, Result<Claimed, NotRecovered>>;

    /// The stored events after `from` for a session in these rooms.
    fn missed(
        &self,
        namespace: &str,
        rooms: Vec<Room>,
        from: Offset,
    ) -> BoxFuture<'static, Result<Missed, NotRecovered>>;
}
