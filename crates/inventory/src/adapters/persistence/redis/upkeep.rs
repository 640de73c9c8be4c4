//! What is done whenever a Redis is met that was not known: it may have been restarted, and then have lost something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use observability::logs::error_chain;
use redis::{RedisResult, cmd};
use tokio_util::sync::CancellationToken;

use super::audit::{Findings, RedisAudit};
use super::connection::Connection;
use super::failure::Failure;
use crate::application::ports::RepositoryError;

/// How often it is looked whether Redis was restarted.
const LOOK: Duration = Duration::from_secs(10);
/// Wait while Redis is away.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Audits and repairs after every start, and says what a crash would lose.
pub struct Upkeep {
    connection: Connection,
    audit: RedisAudit,
    evicts: Arc<AtomicBool>,
}

impl Upkeep {
    pub(super) fn new(connection: Connection, audit: RedisAudit, evicts: Arc<AtomicBool>) -> Self {
        Self { connection, audit, evicts }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut known = String::new();
        while !stop.is_cancelled() {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look(&mut known) => looked,
            };
            let wait = match looked {
                Ok(()) => LOOK,
                Err(error) => {
                    tracing::warn!(error = %error_chain(&error), "the stock could not be audited, trying again");
                    RETRY_WAIT
                }
            };
            let _ = tokio::time::timeout(wait, stop.cancelled()).await;
        }
    }

    async fn look(&self, known: &mut String) -> Result<(), RepositoryError> {
        let info: String = self.connection.command(&cmd("INFO")).await.map_err(Failure::from)?;
        let said = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("");
        let evicts = said("maxmemory") != "0" && said("maxmemory_policy").starts_with("allkeys");
        self.evicts.store(evicts, Ordering::Relaxed);
        let run = said("run_id");
        if run == known {
            return Ok(());
        }
        self.judge(said("aof_enabled") == "1", evicts).await;
        let findings = self.audit.audit().await?;
        report(&findings);
        let repaired = self.audit.repair(&findings).await?;
        if repaired > 0 {
            tracing::warn!(repaired, "counters of stock, or the list of holds that run out, were rebuilt");
        }
        run.clone_into(known);
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
            self.connection.command(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
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
