//! The event log and the outbox in PostgreSQL, published by any number of relays at once.
//!
//! **Order.** Positions come from a sequence, and transactions commit in another order than they draw from it. Over all
//! events that is harmless, within an aggregate it is not: so an append first takes a lock of its aggregate, which the
//! transaction holds to its end, and draws the position after. Whoever draws the next position of that aggregate sees
//! the former committed, or undone.
//!
//! **Several relays.** Aggregates are spread over [`PARTITIONS`] by a hash. A relay publishes only from partitions whose
//! advisory lock its own session holds, and reads them after it has the lock: nobody else publishes a later event of one
//! of their aggregates meanwhile. Locks are taken for one batch, so that relays share the work, and end with the session:
//! when a relay dies its work is taken up at once. SKIP LOCKED on single rows would not do: while one relay publishes an
//! aggregate's first event, another would skip that row and publish the second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use contracts::audit::Backlog;
use sqlx_core::query::query;
use sqlx_core::query_as::query_as;
use sqlx_core::query_scalar::query_scalar;
use sqlx_postgres::{PgConnection, PgListener};
use tokio::sync::Mutex;

use super::database::{Database, StoreError};
use super::migration::Migration;
use super::read_only;
use crate::outbox::{OutboxError, OutboxSource};

/// The tables, for the migrations of a publishing service's own database.
pub const SCHEMA: Migration = Migration {
    component: "outbox",
    version: 1,
    sql: "
        CREATE TABLE events (
            position          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id                UUID NOT NULL UNIQUE,
            type              TEXT NOT NULL,
            subject           TEXT NOT NULL,
            aggregate_version BIGINT NOT NULL,
            body              TEXT NOT NULL
        );
        CREATE INDEX events_by_subject ON events (subject, position);
        -- Rows come and go: vacuum it long before a fifth of a large table is dead.
        CREATE TABLE outbox (
            position  BIGINT PRIMARY KEY,
            partition INTEGER NOT NULL
        ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
        CREATE INDEX outbox_by_partition ON outbox (partition, position);
    ",
};

/// How many groups of aggregates there are: what several relays can share. Part of the stored data.
const PARTITIONS: i32 = 32;
/// Most partitions that one relay takes for a batch, so that another finds some, too.
const PARTITIONS_PER_BATCH: i32 = 16;
/// The longest that the relay's session may take to answer.
const SESSION_TIMEOUT: Duration = Duration::from_secs(8);

/// Every schema has a channel of its own: several services may share a database. What is sent tells who appended.
pub(super) const NOTIFY: &str = "SELECT pg_notify('souk_outbox_' || 'outbox'::regclass::oid, $1)";

/// The relay's end of the outbox: a session of its own that listens, holds locks and reads. Each relay has one.
pub struct PostgresOutbox {
    database: Database,
    session: Mutex<Option<Session>>,
    /// The last look took as many partitions as it may: there may be more.
    took_most: AtomicBool,
}

struct Session {
    /// Its connection is used for everything, so that the locks are known to be held while it works.
    listener: PgListener,
    /// The first key of the locks: the table's own number, so that schemas of one database do not meet.
    lock_class: i32,
    holds_locks: bool,
}

impl PostgresOutbox {
    /// The outbox of a database that has [`SCHEMA`]; connects when it is first used. Of several for the same [`Database`] one alone
    /// hears at once of what was appended by way of it; the others find it when they look by themselves.
    pub fn new(database: Database) -> Self {
        Self { database, session: Mutex::default(), took_most: AtomicBool::new(false) }
    }
}

impl Session {
    async fn open(database: &Database) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect_with(&database.dedicated()?).await?;
        // A lost connection took the locks with it: that must not be mended unseen.
        listener.eager_reconnect(false);
        // What it takes out of the outbox need not survive the server's own end: it is published once more, as after ours.
        query("SET synchronous_commit = off").execute(&mut listener).await?;
        let (lock_class, channel): (i32, String) =
            query_as("SELECT 'outbox'::regclass::oid::int, 'souk_outbox_' || 'outbox'::regclass::oid")
                .fetch_one(&mut listener)
                .await?;
        listener.listen(&channel).await?;
        Ok(Self { listener, lock_class, holds_locks: false })
    }

    /// With the number of partitions that it took.
    async fn pending(&mut self, limit: usize) -> Result<(Vec<(i64, Event)>, usize), StoreError> {
        self.release().await?;
        // OFFSET 0 keeps the lock attempt out of the sort, the outer LIMIT ends it when there are enough.
        let partitions: Vec<i32> = query_scalar(
            "SELECT p FROM (
                 SELECT p, oldest FROM generate_series(0, $1 - 1) AS p
                 CROSS JOIN LATERAL (
                     SELECT position AS oldest FROM outbox WHERE partition = p ORDER BY position LIMIT 1) AS head
                 ORDER BY oldest OFFSET 0) AS candidates
             WHERE pg_try_advisory_lock($2, p) LIMIT $3",
        )
        .bind(PARTITIONS)
        .bind(self.lock_class)
        .bind(PARTITIONS_PER_BATCH)
        .fetch_all(&mut self.listener)
        .await?;
        if partitions.is_empty() {
            return Ok((Vec::new(), 0));
        }
        self.holds_locks = true;
        let taken = partitions.len();
        // A statement of its own: it sees what the last holder of the locks has taken out.
        let rows: Vec<(i64, String)> = query_as(
            "SELECT position, body FROM (
                 SELECT o.position FROM unnest($1::int[]) AS p
                 CROSS JOIN LATERAL (
                     SELECT position FROM outbox WHERE partition = p ORDER BY position LIMIT $2) o
                 ORDER BY o.position LIMIT $2) AS batch
             JOIN events USING (position) ORDER BY position",
        )
        .bind(partitions)
        .bind(limit as i64)
        .fetch_all(&mut self.listener)
        .await?;
        if rows.is_empty() {
            self.release().await?;
        }
        let events = rows.into_iter().map(|(position, body)| {
            let event = serde_json::from_str(&body).map_err(|error| sqlx_core::Error::Decode(Box::new(error)))?;
            Ok::<_, StoreError>((position, event))
        });
        Ok((events.collect::<Result<_, _>>()?, taken))
    }

    async fn mark_published(&mut self, positions: Vec<i64>) -> Result<(), StoreError> {
        query("DELETE FROM outbox WHERE position = ANY ($1)").bind(positions).execute(&mut self.listener).await?;
        self.release().await
    }

    async fn release(&mut self) -> Result<(), StoreError> {
        if self.holds_locks {
            query("SELECT pg_advisory_unlock_all()").execute(&mut self.listener).await?;
            self.holds_locks = false;
        }
        Ok(())
    }
}

/// Runs `$work` on the relay's session, opening it if need be. A session that failed in any way is not used again: its end
/// frees its locks.
macro_rules! in_session {
    ($outbox:ident, $session:ident, $work:expr) => {{
        let mut slot = $outbox.session.lock().await;
        let worked = async {
            let mut $session = match slot.take() {
                Some(session) => session,
                None => Session::open(&$outbox.database).await?,
            };
            let result = $work.await?;
            *slot = Some($session);
            Ok::<_, StoreError>(result)
        };
        match tokio::time::timeout(SESSION_TIMEOUT, worked).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::TimedOut),
        }
        .map_err(|error| OutboxError(Box::new(error)))
    }};
}

#[async_trait]
impl OutboxSource for PostgresOutbox {
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError> {
        let (events, partitions) = in_session!(self, session, session.pending(limit))?;
        self.took_most.store(partitions == PARTITIONS_PER_BATCH as usize, Ordering::Release);
        Ok(events)
    }

    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError> {
        in_session!(self, session, session.mark_published(positions))
    }

    /// What is appended meanwhile is told of, and what another relay holds is that one's.
    fn was_all(&self, asked: usize, given: usize) -> bool {
        given < asked && !self.took_most.load(Ordering::Acquire)
    }

    async fn appended(&self) {
        let mut slot = self.session.lock().await;
        loop {
            let Some(session) = slot.as_mut() else {
                // The next look opens a session; until then the relay looks by itself.
                return self.database.appended().await;
            };
            let heard = tokio::select! {
                () = self.database.appended() => return,
                heard = session.listener.try_recv() => heard,
            };
            match heard {
                // That was heard without the server, and earlier.
                Ok(Some(notification)) if notification.payload() == self.database.instance() => {}
                // One look is the answer to all notifications that came so far.
                Ok(Some(_)) => {
                    while session.listener.next_buffered().is_some() {}
                    return;
                }
                // The connection is lost, and something may have been appended unheard.
                Ok(None) | Err(_) => {
                    *slot = None;
                    return;
                }
            }
        }
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        // Not in the relay's session: it may be waiting there.
        let read = self.database.within_time("count outbox", async {
            let mut connection = self.database.acquire().await?;
            read_only::backlog(&mut connection).await
        });
        read.await.map_err(|error: StoreError| OutboxError(Box::new(error)))
    }
}

/// Appends an event to the log and the outbox, inside the caller's transaction; after its commit call
/// [`Database::notify_appended`].
///
/// # Errors
/// What PostgreSQL said; the transaction is to be undone.
pub async fn append(transaction: &mut PgConnection, event: &Event) -> Result<(), sqlx_core::Error> {
    let body = serde_json::to_string(event).map_err(|error| sqlx_core::Error::Encode(Box::new(error)))?;
    let hash = hash_of(&event.subject);
    // The position is drawn where a row comes out of `aggregate`, that is with the lock held.
    query(
        "WITH aggregate AS MATERIALIZED (
             SELECT pg_advisory_xact_lock('events'::regclass::oid::int, $6)),
         logged AS (
             INSERT INTO events (id, type, subject, aggregate_version, body)
             SELECT $1, $2, $3, $4, $5 FROM aggregate RETURNING position)
         INSERT INTO outbox (position, partition) SELECT position, $7 FROM logged",
    )
    .bind(event.id)
    .bind(&event.event_type)
    .bind(&event.subject)
    .bind(event.aggregateversion as i64)
    .bind(body)
    .bind(hash)
    .bind(hash.rem_euclid(PARTITIONS))
    .execute(transaction)
    .await?;
    Ok(())
}

/// FNV-1a (Fowler, Noll, Vo), 32 bits: the same in every build, since the partition is stored.
fn hash_of(subject: &str) -> i32 {
    let hash = subject.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // Test vectors of the FNV reference implementation.
        for (text, hash) in [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(hash_of(text), hash.cast_signed(), "{text}");
        }
    }
}
