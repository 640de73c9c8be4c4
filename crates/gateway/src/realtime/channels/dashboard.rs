//! `dashboard`: how the shop is doing, every second while somebody watches, for administrators.
//!
//! Orders are counted from the events of the bus: each by the one gateway that consumes it. So what a gateway shows is its own
//! figures and those of all others, which it asks for at each tick. Nobody is asked, and nothing read, while nobody watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use contracts::{Clock, Refusal, Timestamp};
use messaging::outbox_status;
use observability::metrics::ACTIVE_CONNECTIONS;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use socketio::SocketIo;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::latency::{Buckets, Latency};
use super::sales::{Figures, Sales};
use super::snapshots::Snapshot;
use super::update::{Change, Update};
use super::watching::Watchers;
use super::{Channel, metrics};
use crate::shapes::{BadAnswer, Money};

/// The event by which gateways ask each other for their share.
pub const SHARE_EVENT: &str = "live:share";
/// Namespaces whose sockets may watch it.
pub const NAMESPACES: [&str; 2] = ["/", "/admin"];

/// Time between two ticks.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the other gateways.
const OTHERS_WITHIN: Duration = Duration::from_millis(400);

/// What one gateway knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    sales: Figures,
    requests: Buckets,
    sockets: u64,
    streams: u64,
    since: Timestamp,
    outboxes: BTreeMap<String, Outbox>,
}

/// What waits to be published by one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// Events.
    depth: i64,
    /// How long ago what the oldest of them tells of happened, in whole seconds.
    oldest_age_seconds: i64,
}

/// What is shown.
#[derive(Debug, Serialize)]
struct Shown {
    orders_per_second: f64,
    orders: BTreeMap<String, u64>,
    revenue: Revenue,
    http: Http,
    sockets: u64,
    streams: u64,
    gateways: usize,
    outboxes: BTreeMap<String, Outbox>,
    at: Timestamp,
}

#[derive(Debug, Serialize)]
struct Revenue {
    last_minute: Vec<Money>,
    total: Vec<Money>,
    since: Timestamp,
}

/// Milliseconds; `null` without requests.
#[derive(Debug, Serialize)]
struct Http {
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// Gathers the figures, and sends them to who watches.
pub struct Dashboard {
    clock: Arc<dyn Clock>,
    sales: Arc<Sales>,
    watchers: Arc<Watchers>,
    latency: Latency,
    since: Timestamp,
    io: OnceLock<SocketIo>,
    wanted: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Snapshot>,
    others: Vec<Share>,
    running: bool,
}

impl Dashboard {
    /// Counts from now on.
    pub fn new(clock: Arc<dyn Clock>, sales: Arc<Sales>, watchers: Arc<Watchers>) -> Self {
        let since = clock.now();
        let (latency, io, wanted, state) = (Latency::default(), OnceLock::new(), Notify::new(), Mutex::default());
        Self { clock, sales, watchers, latency, since, io, wanted, state }
    }

    /// Where to send to, and where other gateways are.
    pub fn connect(&self, io: SocketIo) {
        // Once, by the composition root.
        let _ = self.io.set(io);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this gateway knows.
    pub fn share(&self) -> Share {
        Share {
            sales: self.sales.figures(self.clock.now()),
            requests: self.latency.lately(),
            sockets: self.io.get().map_or(0, |io| io.stats().sockets),
            streams: u64::try_from(ACTIVE_CONNECTIONS.with_label_values(&["sse"]).get()).unwrap_or(0),
            since: self.since,
            outboxes: outboxes(),
        }
    }

    /// What is shown now: the last tick while there are any.
    ///
    /// # Errors
    /// Never; what it shows has a form in JSON.
    pub async fn snapshot(&self) -> Result<Snapshot, Refusal> {
        {
            let state = self.state();
            if let (true, Some(last)) = (state.running, &state.last) {
                return Ok(last.clone());
            }
        }
        Ok(self.look().await?)
    }

    /// Somebody watches from now on.
    pub fn wake(&self) {
        self.wanted.notify_one();
    }

    /// Sends figures every second while somebody watches here, until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wanted.notified() => {}
            }
            self.tick_while_watched(&stop).await;
            self.state().running = false;
        }
    }

    async fn tick_while_watched(&self, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.state().running = true;
        while self.watchers.watch(&Channel::Dashboard) {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.look().await {
                Ok(snapshot) => self.send(&snapshot),
                Err(BadAnswer(what)) => tracing::error!(what, "the dashboard can't be shown"),
            }
        }
    }

    /// Gathers the figures of all gateways, and counts the version up.
    async fn look(&self) -> Result<Snapshot, BadAnswer> {
        let mine = self.share();
        let others = self.ask_others().await;
        let now = self.clock.now();
        let shown = shown(&mine, &others, now);
        let mut state = self.state();
        state.others = others;
        let second = now.unix_ms().unsigned_abs() / 1000;
        let version = match &state.last {
            Some(last) if state.running => last.version + 1,
            Some(last) => second.max(last.version + 1),
            None => second,
        };
        let snapshot = Snapshot::of(version, &shown)?;
        state.last = Some(snapshot.clone());
        Ok(snapshot)
    }

    async fn ask_others(&self) -> Vec<Share> {
        let Some(io) = self.io.get() else { return Vec::new() };
        let Ok(all) = io.of("/") else { return Vec::new() };
        match all.timeout(OTHERS_WITHIN).server_side_emit_with_acks(SHARE_EVENT, &()).await {
            Ok(answers) => answers.iter().filter_map(|answer| answer.decode().ok()).collect(),
            Err(error) => {
                tracing::debug!(%error, "other gateways did not tell their figures in time");
                self.state().others.clone()
            }
        }
    }

    fn send(&self, snapshot: &Snapshot) {
        let change: Change<&RawValue> = Change::Data(&snapshot.data);
        let update = Update { channel: "dashboard", version: Some(snapshot.version), change };
        let (Some(io), Ok(payload)) = (self.io.get(), update.payload()) else { return };
        for namespace in NAMESPACES {
            if let Ok(sockets) = io.of(namespace) {
                // Of this second alone: who can't take it now gets the next one.
                sockets.to(Channel::Dashboard.room()).local().volatile().emit_payload(payload.clone());
            }
        }
        metrics::ticked();
    }
}

fn shown(mine: &Share, others: &[Share], at: Timestamp) -> Shown {
    let mut all = mine.clone();
    for other in others {
        all.sales.add(&other.sales);
        all.requests.add(&other.requests);
        all.sockets += other.sockets;
        all.streams += other.streams;
        all.since = all.since.min(other.since);
        all.outboxes.extend(other.outboxes.iter().map(|(service, outbox)| (service.clone(), *outbox)));
    }
    let money = |sums: &BTreeMap<String, i64>| {
        sums.iter().map(|(currency, amount)| Money { amount_minor: *amount, currency: currency.clone() }).collect()
    };
    let ms = |share| all.requests.quantile(share).map(|seconds| (seconds * 1e6).round() / 1e3);
    Shown {
        orders_per_second: all.sales.orders_per_second(),
        revenue: Revenue {
            last_minute: money(&all.sales.minute.revenue),
            total: money(&all.sales.total.revenue),
            since: all.since,
        },
        http: Http { p50_ms: ms(0.5), p95_ms: ms(0.95), p99_ms: ms(0.99) },
        orders: all.sales.minute.orders,
        sockets: all.sockets,
        streams: all.streams,
        gateways: 1 + others.len(),
        outboxes: all.outboxes,
        at,
    }
}

/// The outboxes of the services that run in this process.
fn outboxes() -> BTreeMap<String, Outbox> {
    let seen = outbox_status::seen_here().into_iter();
    seen.map(|seen| (seen.service, Outbox { depth: seen.depth, oldest_age_seconds: seen.oldest_age_seconds })).collect()
}
