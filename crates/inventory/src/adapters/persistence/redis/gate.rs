//! Lets only those to Redis who may trust what it has.
//!
//! A connection does not outlive the process at its other end. So whoever is given one that was looked at once, speaks with
//! a Redis that has forgotten nothing since; and when it breaks, nobody is given the next before that was looked at, too
//! ([`super::upkeep`]).

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult};
use tokio::sync::{Notify, watch};

/// How long a caller waits while a connection that broke is made anew, and what was forgotten is restored: a blip is not
/// noticed, an outage told at once.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the way to Redis stands.
#[derive(Clone)]
pub(super) enum Passage {
    /// It broke, or was not made yet; nobody knows more.
    Connecting,
    /// This connection may be used.
    Open(MultiplexedConnection),
    /// Redis is away.
    Away,
    /// Redis is there, and what it forgot is not restored yet.
    Recovering,
}

/// A connection and which one it is.
pub(super) struct Pass {
    pub(super) connection: MultiplexedConnection,
    number: u64,
}

/// Clones share the passage.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    /// With a number that grows with every change.
    passage: watch::Sender<(u64, Passage)>,
    broken: Notify,
}

impl Gate {
    pub(super) fn closed() -> Self {
        Self(Arc::new(Inner { passage: watch::channel((0, Passage::Connecting)).0, broken: Notify::new() }))
    }

    /// What tells whether the passage is open, for as long as the gate stands. It does not keep the gate.
    pub(super) fn downgrade(&self) -> impl Fn() -> Option<bool> + Send + 'static {
        let gate = Arc::downgrade(&self.0);
        move || Some(matches!(gate.upgrade()?.passage.borrow().1, Passage::Open(_)))
    }

    /// The connection, if there is one that may be used.
    pub(super) async fn pass(&self) -> RedisResult<Pass> {
        let mut passage = self.0.passage.subscribe();
        let known = passage.wait_for(|(_, passage)| matches!(passage, Passage::Open(_) | Passage::Away));
        let _ = tokio::time::timeout(PATIENCE, known).await;
        let (number, passage) = passage.borrow().clone();
        match passage {
            Passage::Open(connection) => Ok(Pass { connection, number }),
            Passage::Connecting | Passage::Away => Err(refusal("Redis is away")),
            Passage::Recovering => Err(refusal("Redis lost its last changes: they are being restored from the orders")),
        }
    }

    /// This connection is of no use any more.
    pub(super) fn broke(&self, pass: &Pass) {
        let closed = self.0.passage.send_if_modified(|(number, passage)| {
            let current = *number == pass.number;
            if current {
                *number += 1;
                *passage = Passage::Connecting;
            }
            current
        });
        if closed {
            self.0.broken.notify_one();
        }
    }

    pub(super) fn set(&self, to: Passage) {
        self.0.passage.send_modify(|(number, passage)| {
            *number += 1;
            *passage = to;
        });
    }

    /// Waits until a connection broke.
    pub(super) async fn broken(&self) {
        self.0.broken.notified().await;
    }
}

fn refusal(why: &'static str) -> RedisError {
    (ErrorKind::Client, why).into()
}
