//! The embedded broker: durable queues in one SQLite file, for one process.
//!
//! A publish is one transaction over all queues it reaches; a settlement is one transaction over all deliveries of a
//! batch. Which messages are in work is known only in memory: after a crash they are simply ready again. The queue of one
//! instance ([`Audience::Instance`]) is in memory as a whole: it ends with the process as the instance does.

mod dead_letters;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::{Clock, Event};
use observability::db::{Client, System};
use rusqlite::Connection;
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};
use tokio::sync::Notify;

use crate::bus::{Audience, BusError, Deliveries, Delivery, EventBus, Subscription, Verdict};
use crate::connect::ConnectError;
use crate::mailbox::Mailboxes;
use crate::routing;
use crate::turns::{Turn, Turns};

pub use dead_letters::SqliteDeadLetters;

const SCHEMA: &[Migration] = &[
    Migration {
        component: "broker",
        version: 1,
        sql: "
            CREATE TABLE bindings (
                queue   TEXT NOT NULL,
                pattern TEXT NOT NULL,
                PRIMARY KEY (queue, pattern)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE messages (
                id           INTEGER PRIMARY KEY AUTOINCREMENT,
                queue        TEXT NOT NULL,
                body         TEXT NOT NULL,
                attempts     INTEGER NOT NULL DEFAULT 0,
                available_at INTEGER NOT NULL,
                last_error   TEXT
            ) STRICT;
            CREATE INDEX messages_by_queue ON messages (queue, available_at, id);
        ",
    },
    Migration {
        component: "broker",
        version: 2,
        // Gateways have queues of their own now; nobody would ever empty the one they shared.
        sql: "
            ALTER TABLE messages ADD COLUMN first_failed_at INTEGER;
            ALTER TABLE messages ADD COLUMN last_failed_at INTEGER;
            DELETE FROM bindings WHERE queue = 'gateway.realtime';
            DELETE FROM messages WHERE queue IN ('gateway.realtime', 'gateway.realtime.dead');
        ",
    },
];

/// Longest sleep of a consumer that has nothing to do but wait for a delayed message.
const MAX_SLEEP: Duration = Duration::from_mins(1);

/// A broker in a file.
pub struct SqliteBus {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    clock: Arc<dyn Clock>,
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    bindings: Mutex<Vec<(String, String)>>,
    mailboxes: Mailboxes,
}

/// What the process knows of a queue.
#[derive(Default)]
struct Queue {
    in_work: Mutex<HashSet<i64>>,
    arrived: Notify,
    turns: Arc<Turns>,
}

impl Shared {
    fn queue(&self, name: &str) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(queues.entry(name.to_owned()).or_default())
    }

    /// The queues that want an event of this type, each once.
    fn route(&self, event_type: &str) -> Vec<String> {
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queues: Vec<String> = bindings
            .iter()
            .filter(|(_, pattern)| routing::matches(pattern, event_type))
            .map(|(queue, _)| queue.clone())
            .collect();
        queues.dedup();
        queues
    }
}

impl SqliteBus {
    /// Opens the file, making it if need be.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(url: &SqliteUrl, clock: Arc<dyn Clock>) -> Result<Self, ConnectError> {
        let database = open_database(url)?;
        let bindings = database.read("list bindings", read_bindings).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                database,
                clock,
                queues: Mutex::default(),
                bindings: Mutex::new(bindings),
                mailboxes: Mailboxes::default(),
            }),
        })
    }
}

fn open_database(url: &SqliteUrl) -> Result<Database, OpenError> {
    // The broker of a process, not a store of its services.
    Database::open_as(
        Client::new(System::Sqlite, "broker").owned_by("broker").as_broker(),
        url,
        Durability::Full,
        SCHEMA,
    )
}

fn read_bindings(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = connection.prepare("SELECT queue, pattern FROM bindings ORDER BY queue, pattern")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn unavailable(error: StoreError) -> BusError {
    BusError::Unavailable(Box::new(error))
}

#[async_trait]
impl EventBus for SqliteBus {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let mut copies = Vec::new();
        let mut reached = HashSet::new();
        for event in events {
            let body: Arc<str> =
                serde_json::to_string(event).map_err(|error| BusError::Unavailable(Box::new(error)))?.into();
            for queue in self.shared.route(&event.event_type) {
                reached.insert(queue.clone());
                copies.push((queue, Arc::clone(&body)));
            }
        }
        if copies.is_empty() {
            self.shared.mailboxes.put(events);
            return Ok(());
        }
        let now = self.shared.clock.now().unix_ms();
        self.shared
            .database
            .write("publish", move |connection| {
                let mut insert = connection
                    .prepare_cached("INSERT INTO messages (queue, body, available_at) VALUES (?1, ?2, ?3)")?;
                for (queue, body) in &copies {
                    insert.execute((queue, &**body, now))?;
                }
                Ok(())
            })
            .await
            .map_err(unavailable)?;
        self.shared.mailboxes.put(events);
        for queue in reached {
            self.shared.queue(&queue).arrived.notify_one();
        }
        Ok(())
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Deliveries>, BusError> {
        if subscription.audience == Audience::Instance {
            return Ok(Box::new(self.shared.mailboxes.open(subscription)));
        }
        let (queue, patterns) = (subscription.queue.clone(), subscription.bindings.clone());
        let bindings = self
            .shared
            .database
            .write("subscribe", move |connection| {
                connection.execute("DELETE FROM bindings WHERE queue = ?1", [&queue])?;
                for pattern in &patterns {
                    connection.execute("INSERT OR IGNORE INTO bindings VALUES (?1, ?2)", (&queue, pattern))?;
                }
                read_bindings(connection)
            })
            .await
            .map_err(unavailable)?;
        *self.shared.bindings.lock().unwrap_or_else(PoisonError::into_inner) = bindings;
        let queue = self.shared.queue(&subscription.queue);
        let turn = (subscription.audience == Audience::Ordered).then(|| queue.turns.join());
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(SqliteDeliveries { shared, queue, subscription, held: HashSet::new(), turn }))
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.shared.database.ping().await.map_err(unavailable)
    }

    fn system(&self) -> &'static str {
        "sqlite"
    }
}

struct SqliteDeliveries {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    subscription: Subscription,
    /// What this consumer has in work; handed back when it goes away.
    held: HashSet<i64>,
    /// Of an ordered queue. Given up when all else is: after what was held has been handed back.
    turn: Option<Turn>,
}

impl Drop for SqliteDeliveries {
    fn drop(&mut self) {
        let mut in_work = self.queue.in_work.lock().unwrap_or_else(PoisonError::into_inner);
        for tag in &self.held {
            in_work.remove(tag);
        }
        drop(in_work);
        self.queue.arrived.notify_one();
    }
}

enum Fetched {
    Ready(Vec<Delivery>),
    /// Nothing yet; the next delayed message is due then, if there is one.
    Nothing(Option<i64>),
}

impl SqliteDeliveries {
    async fn fetch(&mut self) -> Result<Fetched, BusError> {
        let room = self.subscription.prefetch.saturating_sub(self.held.len());
        let taken = self.queue.in_work.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (queue, now) = (self.subscription.queue.clone(), self.shared.clock.now().unix_ms());
        let rows = self
            .shared
            .database
            .read("fetch deliveries", move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT id, body, attempts, available_at FROM messages WHERE queue = ?1 ORDER BY available_at, id LIMIT ?2",
                )?;
                let rows = statement.query_map((&queue, (room + taken.len()) as i64), |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?, row.get::<_, i64>(3)?))
                })?;
                let mut rows = rows.collect::<Result<Vec<_>, _>>().map_err(StoreError::from)?;
                rows.retain(|(id, ..)| !taken.contains(id));
                Ok(rows)
            })
            .await
            .map_err(unavailable)?;
        let next_due = rows.iter().map(|row| row.3).find(|due| *due > now);
        let mut in_work = self.queue.in_work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = Vec::new();
        for (tag, body, attempts, available_at) in rows.into_iter().take(room) {
            // Another consumer of the group may have taken it since the read.
            if available_at <= now && in_work.insert(tag) {
                self.held.insert(tag);
                let event = serde_json::from_str(&body).map_err(|error| error.to_string());
                ready.push(Delivery { tag, attempt: attempts + 1, event });
            }
        }
        Ok(if ready.is_empty() { Fetched::Nothing(next_due) } else { Fetched::Ready(ready) })
    }
}

#[async_trait]
impl Deliveries for SqliteDeliveries {
    async fn next(&mut self) -> Result<Vec<Delivery>, BusError> {
        if let Some(turn) = &self.turn {
            turn.has_come().await;
        }
        loop {
            let queue = Arc::clone(&self.queue);
            let mut arrived = std::pin::pin!(queue.arrived.notified());
            // Registered before looking: what arrives in between is not slept through.
            arrived.as_mut().enable();
            match self.fetch().await? {
                Fetched::Ready(deliveries) => {
                    // There may be more than this consumer takes at once: let another one look.
                    if deliveries.len() == self.subscription.prefetch {
                        queue.arrived.notify_one();
                    }
                    return Ok(deliveries);
                }
                Fetched::Nothing(next_due) => {
                    let wait = next_due.map_or(MAX_SLEEP, |due| {
                        let wait = due.saturating_sub(self.shared.clock.now().unix_ms()).max(1);
                        Duration::from_millis(wait.unsigned_abs()).min(MAX_SLEEP)
                    });
                    let _ = tokio::time::timeout(wait, arrived).await;
                }
            }
        }
    }

    async fn settle(&mut self, verdicts: Vec<(Delivery, Verdict)>) -> Result<(), BusError> {
        let tags: Vec<i64> = verdicts.iter().map(|(delivery, _)| delivery.tag).collect();
        let now = self.shared.clock.now().unix_ms();
        let dead_queue = crate::dead_letters::dead_queue(&self.subscription.queue);
        let dead_letters = self.shared.queue(&dead_queue);
        let (group, delays) = (self.subscription.queue.clone(), self.subscription.retry.delays.clone());
        let result = self
            .shared
            .database
            .write("settle delivery", move |connection| {
                let mut buried = 0;
                let mut delete = connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?;
                let mut delay = connection.prepare_cached(
                    "UPDATE messages SET attempts = ?2, available_at = ?3, last_error = ?4,
                         first_failed_at = coalesce(first_failed_at, ?5), last_failed_at = ?5 WHERE id = ?1",
                )?;
                let mut bury = connection.prepare_cached(
                    "UPDATE messages SET attempts = ?2, queue = ?3, last_error = ?4,
                         first_failed_at = coalesce(first_failed_at, ?5), last_failed_at = ?5 WHERE id = ?1",
                )?;
                for (delivery, verdict) in verdicts {
                    let (tag, attempt) = (delivery.tag, delivery.attempt);
                    match verdict {
                        Verdict::Ack => {
                            delete.execute([tag])?;
                        }
                        Verdict::Retry(why) if (attempt as usize) <= delays.len() => {
                            let due = now + delays[attempt as usize - 1].as_millis() as i64;
                            delay.execute((tag, attempt, due, why, now))?;
                        }
                        Verdict::Retry(why) | Verdict::Dead(why) => {
                            crate::dead_letters::tell(&group, &delivery, &why);
                            buried += bury.execute((tag, attempt, &dead_queue, why, now))?;
                        }
                    }
                }
                Ok(buried)
            })
            .await
            .map_err(unavailable);
        // Settled or not, they are out of this consumer's hands: unsettled ones are ready again.
        let mut in_work = self.queue.in_work.lock().unwrap_or_else(PoisonError::into_inner);
        for tag in &tags {
            in_work.remove(tag);
            self.held.remove(tag);
        }
        drop(in_work);
        if result? > 0 {
            dead_letters.arrived.notify_one();
        }
        Ok(())
    }
}
