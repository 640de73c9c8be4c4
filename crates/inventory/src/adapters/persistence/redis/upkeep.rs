//! Lets callers to Redis once it is known to have forgotten nothing, or has been told again what it forgot.
//!
//! The data carries the run of Redis (its `run_id`) at which it was last known to be whole, and the position of the order log up
//! to which it has all that was done for orders. Both are lost with the rest: so after a loss they are exactly as old
//! as what is left. Where the run is another one, orders are asked for what came after the position; nobody is let in
//! meanwhile. Source: docs/adr/0017-rebuilding-stock-from-orders.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::{Clock, Timestamp};
use observability::logs::error_chain;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, cmd};
use tokio_util::sync::CancellationToken;

use super::audit::{Findings, RedisAudit};
use super::failure::Failure;
use super::gate::{Gate, Passage};
use super::journal::Journal;
use crate::application::ports::RepositoryError;
use crate::application::recover::{Recovery, RecoveryError, SafePoint};

/// How often it is looked whether Redis still has what it had.
const LOOK: Duration = Duration::from_secs(2);
/// How often orders are asked how far all is settled.
const ASK: Duration = Duration::from_secs(15);
/// Wait while Redis is away or nothing can be restored.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// Looks after a Redis: lets callers in, restores, audits, and says what a crash would lose.
pub struct Upkeep {
    /// To whatever Redis is there.
    journal: Journal,
    gate: Gate,
    audit: RedisAudit,
    recovery: Recovery,
    clock: Arc<dyn Clock>,
    evicts: Arc<AtomicBool>,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("Redis is away")]
    Away(#[source] RepositoryError),
    #[error("this Redis is no primary")]
    Replica,
    #[error("what Redis forgot could not be restored yet")]
    Unrestored(#[source] RecoveryError),
}

impl From<redis::RedisError> for Closed {
    fn from(error: redis::RedisError) -> Self {
        Self::Away(Failure::from(error).into())
    }
}

/// What a Redis says of itself.
struct Known {
    run: String,
    append_only: bool,
    evicts: bool,
}

/// What is done again and again while callers are let in.
#[derive(Default)]
struct Rounds {
    safe_point: SafePoint,
    asked: Option<Timestamp>,
}

impl Upkeep {
    pub(super) fn new(
        journal: Journal,
        gate: Gate,
        audit: RedisAudit,
        recovery: Recovery,
        clock: Arc<dyn Clock>,
        evicts: Arc<AtomicBool>,
    ) -> Self {
        Self { journal, gate, audit, recovery, clock, evicts }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut told = String::new();
        while !stop.is_cancelled() {
            let kept = tokio::select! {
                () = stop.cancelled() => return,
                kept = self.keep() => kept,
            };
            let Err(error) = kept;
            if !matches!(error, Closed::Unrestored(_)) {
                self.gate.set(Passage::Away);
            }
            // Once for each outage.
            let now = error_chain(&error);
            if told == now {
                tracing::debug!(error = now, "the stock is not served");
            } else {
                tracing::warn!(error = now, "the stock is not served, trying again");
                told = now;
            }
            let _ = tokio::time::timeout(RETRY_WAIT, stop.cancelled()).await;
        }
    }

    /// Lets callers in, for as long as they may be.
    async fn keep(&self) -> Result<std::convert::Infallible, Closed> {
        let mut link = self.journal.connection.connect().await?;
        let known = self.look(&mut link).await?;
        let verified = self.is_verified(&mut link, &known).await?;
        if !verified {
            self.gate.set(Passage::Recovering);
            self.judge(known.append_only, known.evicts).await;
            self.restore(&known).await?;
        }
        tracing::info!(redis.run = known.run, "the stock is served");
        self.gate.set(Passage::Open(link.clone()));
        let lost = async {
            self.gate.broken().await;
            Closed::Away(Failure::Elsewhere("the connection broke".into()).into())
        };
        tokio::select! {
            lost = lost => Err(lost),
            gone = self.rounds(&mut link, &known, verified) => gone,
        }
    }

    async fn rounds(
        &self,
        link: &mut MultiplexedConnection,
        known: &Known,
        verified: bool,
    ) -> Result<std::convert::Infallible, Closed> {
        if !verified && let Err(error) = self.audit_and_repair().await {
            tracing::warn!(error = %error_chain(&error), "the stock could not be audited");
        }
        let mut rounds = Rounds::default();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.look(link).await?;
            if !self.is_verified(link, &now).await? {
                let emptied = Failure::Elsewhere("this Redis was emptied, or its data replaced".into());
                return Err(Closed::Away(emptied.into()));
            }
            self.keep_mark(link, known, &mut rounds).await?;
        }
    }

    async fn look(&self, link: &mut MultiplexedConnection) -> Result<Known, Closed> {
        let info: String = cmd("INFO").query_async(link).await?;
        let said = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("");
        let evicts = said("maxmemory") != "0" && said("maxmemory_policy").starts_with("allkeys");
        self.evicts.store(evicts, Ordering::Relaxed);
        if said("role") == "slave" {
            return Err(Closed::Replica);
        }
        Ok(Known { run: said("run_id").to_owned(), append_only: said("aof_enabled") == "1", evicts })
    }

    async fn is_verified(&self, link: &mut MultiplexedConnection, known: &Known) -> RedisResult<bool> {
        let verified: Option<String> = cmd("GET").arg(self.journal.keys.verified()).query_async(link).await?;
        Ok(verified.is_some_and(|run| run == known.run))
    }

    /// Has what may be forgotten told again by orders.
    async fn restore(&self, known: &Known) -> Result<(), Closed> {
        let keys = &self.journal.keys;
        let mark: Option<u64> = self.journal.connection.command(cmd("GET").arg(keys.mark())).await?;
        let since = mark.unwrap_or(0);
        tracing::info!(since, "a Redis that was not known: reservations are compared with the orders");
        let orders = self.recovery.recover(since).await.map_err(Closed::Unrestored)?;
        // Should it have been started again meanwhile, this is the run of another, and all begins anew.
        let _: () = self.journal.connection.command(cmd("SET").arg(keys.verified()).arg(&known.run)).await?;
        tracing::info!(since, orders, "reservations are what the orders say");
        Ok(())
    }

    async fn audit_and_repair(&self) -> Result<(), RepositoryError> {
        let findings = self.audit.audit().await?;
        report(&findings);
        let repaired = self.audit.repair(&findings).await?;
        if repaired > 0 {
            tracing::warn!(repaired, "counters of stock, or the list of holds that run out, were rebuilt");
        }
        Ok(())
    }

    /// Moves the position that is kept with the data. Orders may be away: then the next recovery begins earlier.
    async fn keep_mark(
        &self,
        link: &mut MultiplexedConnection,
        known: &Known,
        rounds: &mut Rounds,
    ) -> Result<(), Closed> {
        let now = self.clock.now();
        if rounds.asked.is_some_and(|asked| now.since(asked) < ASK) {
            return Ok(());
        }
        rounds.asked = Some(now);
        let settled = match self.recovery.settled().await {
            Ok(settled) => settled,
            Err(error) => {
                tracing::debug!(error = %error_chain(&error), "orders do not say how far all is settled");
                return Ok(());
            }
        };
        let Some(mark) = rounds.safe_point.observe(now, settled) else { return Ok(()) };
        let mut script = self.journal.scripts.mark.prepare_invoke();
        script.key(self.journal.keys.verified()).key(self.journal.keys.mark()).arg(&known.run).arg(mark);
        // Over the connection that was looked at, and so to no other Redis.
        let _: u8 = script.invoke_async(link).await?;
        Ok(())
    }

    /// Says what this Redis may lose.
    async fn judge(&self, append_only: bool, evicts: bool) {
        if evicts {
            tracing::error!(
                "this Redis evicts keys when its memory is full: the inventory is not ready (set maxmemory-policy noeviction)"
            );
        }
        // May be forbidden: then nothing is known.
        let asked: RedisResult<(String, String)> =
            self.journal.connection.command(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
        match (append_only, asked) {
            (false, _) => {
                tracing::warn!("this Redis has no append-only file: a crash loses all since its last snapshot");
            }
            (true, Ok((_, policy))) if policy != "always" => {
                tracing::warn!(
                    appendfsync = policy,
                    "a crash of this Redis loses the last acknowledged changes (set appendfsync always)"
                );
            }
            _ => {}
        }
    }
}

fn report(findings: &Findings) {
    for product in &findings.products {
        let (ledger, promised, sold) = (product.ledger, product.promised, product.sold);
        if findings.can_repair(product) {
            tracing::warn!(sku = product.sku, counted = ?product.counted, ledger, promised, "the counters of a product are wrong");
        } else {
            tracing::error!(sku = product.sku, counted = ?product.counted, ledger, promised, ?sold, "the ledger of a product and its reservations contradict each other");
        }
    }
    for order in &findings.damaged {
        tracing::error!(order.id = order, "a reservation makes no sense");
    }
}
