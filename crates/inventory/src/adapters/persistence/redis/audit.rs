//! Whether the counters say what the ledger and the reservations say, and setting them right where not.
//!
//! A product's view is of one moment if its revision is the same before and after: everything that moves its stock, its
//! ledger or the promises on it raises the revision. So this runs beside live traffic, and a repair is refused where
//! the product changed since.

use std::collections::{BTreeMap, BTreeSet};

use contracts::event_data::LineData;
use redis::{Pipeline, RedisResult, Value, cmd, from_redis_value};

use super::failure::Failure;
use super::journal::Journal;
use crate::adapters::persistence::rows::stock_of;
use crate::application::ports::RepositoryError;

/// Things read in one step.
const STEP: usize = 512;
/// How often a product is looked at again that was changed meanwhile.
const ROUNDS: u32 = 3;

/// A product whose counters, ledger and reservations do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Which.
    pub sku: String,
    /// Units on hand and reserved as stored; `None` when they are missing or no numbers.
    pub counted: Option<(i64, i64)>,
    /// Units on hand by the ledger.
    pub ledger: i64,
    /// Units that held and pinned orders have.
    pub promised: i64,
    /// Units that left by the ledger, and units that committed and returned orders got.
    pub sold: (i64, i64),
    revision: String,
}

impl Disagreement {
    /// Whether counters can be set that agree with both, and are possible.
    fn is_possible(&self) -> bool {
        !self.revision.is_empty() && self.sold.0 == self.sold.1 && stock_of(self.ledger, self.promised).is_some()
    }
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Findings {
    /// Products whose counters are wrong.
    pub products: Vec<Disagreement>,
    /// Orders that are not, or wrongly, where the sweeper looks for holds that run out.
    pub unlisted: Vec<String>,
    /// Reservations that make no sense.
    pub damaged: Vec<String>,
    /// Products that changed every time they were looked at.
    pub in_use: Vec<String>,
}

impl Findings {
    /// Whether everything adds up.
    pub fn is_clean(&self) -> bool {
        self.products.is_empty() && self.unlisted.is_empty() && self.damaged.is_empty()
    }

    /// Whether the counters of a product can be set. Not while any reservation makes no sense: it may have goods of this one.
    pub fn can_repair(&self, product: &Disagreement) -> bool {
        self.damaged.is_empty() && product.is_possible()
    }
}

/// Compares, and repairs.
#[derive(Clone)]
pub struct RedisAudit {
    journal: Journal,
}

/// What is said about one product, from all sides.
#[derive(Default)]
struct Sums {
    revision: String,
    counted: Option<(i64, i64)>,
    ledger: i64,
    shipped: i64,
    promised: i64,
    sold: i64,
}

impl Sums {
    fn agree(&self) -> bool {
        // What is not in the catalogue has no counters: sales of it were restored after a loss that took the catalogue.
        let unknown = self.counted.is_none() && self.revision.is_empty() && (self.ledger, self.promised) == (0, 0);
        (unknown || self.counted == Some((self.ledger, self.promised))) && self.shipped == self.sold
    }
}

impl RedisAudit {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal }
    }

    /// Looks for disagreements; changes nothing. Its cost grows with the ledger and the orders.
    ///
    /// # Errors
    /// When Redis failed.
    pub async fn audit(&self) -> Result<Findings, RepositoryError> {
        let mut findings = self.compare().await?;
        for _ in 1..ROUNDS {
            if findings.in_use.is_empty() {
                break;
            }
            findings = self.compare().await?;
        }
        Ok(findings)
    }

    /// Sets the counters that can be set, on hand by the ledger and reserved by the reservations, and lists holds for the
    /// sweeper. Returns how many things it changed; what changed since the audit it leaves alone.
    ///
    /// # Errors
    /// When Redis failed; repeating is safe.
    pub async fn repair(&self, findings: &Findings) -> Result<usize, RepositoryError> {
        let mut repaired = 0;
        for product in findings.products.iter().filter(|product| findings.can_repair(product)) {
            let mut script = self.journal.scripts.repair.prepare_invoke();
            script.key(self.journal.keys.product_named(&product.sku)).arg(&product.revision);
            script.arg(product.ledger).arg(product.promised);
            repaired +=
                self.journal.connection.script::<usize>("EVALSHA repair", &script).await.map_err(Failure::from)?;
        }
        for order_id in &findings.unlisted {
            let mut script = self.journal.scripts.reindex.prepare_invoke();
            script.key(self.journal.keys.reservation_named(order_id)).key(self.journal.keys.expiries()).arg(order_id);
            repaired +=
                self.journal.connection.script::<usize>("EVALSHA reindex", &script).await.map_err(Failure::from)?;
        }
        Ok(repaired)
    }

    async fn compare(&self) -> Result<Findings, Failure> {
        let mut sums = self.counters().await?;
        self.add_ledger(&mut sums).await?;
        let mut findings = Findings::default();
        let held = self.add_reservations(&mut sums, &mut findings).await?;
        findings.unlisted = self.unlisted(&held).await?;
        let suspects: Vec<String> = sums.iter().filter(|(_, sums)| !sums.agree()).map(|(sku, _)| sku.clone()).collect();
        let now = self.stored(&suspects).await?;
        for (sku, (revision, _)) in suspects.into_iter().zip(now) {
            let Some(sums) = sums.remove(&sku) else { continue };
            if sums.revision == revision {
                let Sums { counted, ledger, promised, shipped, sold, .. } = sums;
                findings.products.push(Disagreement {
                    sku,
                    counted,
                    ledger,
                    promised,
                    sold: (shipped, sold),
                    revision,
                });
            } else {
                findings.in_use.push(sku);
            }
        }
        Ok(findings)
    }

    async fn counters(&self) -> Result<BTreeMap<String, Sums>, Failure> {
        let (mut sums, mut after) = (BTreeMap::new(), String::new());
        loop {
            let skus = self.journal.members(&self.journal.keys.skus(), &after, STEP).await?;
            let stored = self.stored(&skus).await?;
            let Some(last) = skus.last() else { return Ok(sums) };
            after.clone_from(last);
            for (sku, (revision, counted)) in skus.into_iter().zip(stored) {
                sums.insert(sku, Sums { revision, counted, ..Sums::default() });
            }
        }
    }

    /// The revision (empty without one) and the counters of each product.
    async fn stored(&self, skus: &[String]) -> Result<Vec<(String, Option<(i64, i64)>)>, Failure> {
        let keys: Vec<String> = skus.iter().map(|sku| self.journal.keys.product_named(sku)).collect();
        let rows = self.fields_of(&keys, &["revision", "on_hand", "reserved"]).await?;
        let read = |row: Vec<Option<String>>| {
            let number = |at: usize| row.get(at)?.as_ref()?.parse().ok();
            (row.first().cloned().flatten().unwrap_or_default(), number(1).zip(number(2)))
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// These fields of each hash; none of what is no hash, or no text.
    pub(super) async fn fields_of(
        &self,
        keys: &[String],
        fields: &[&str],
    ) -> Result<Vec<Vec<Option<String>>>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(keys.len());
        pipeline.ignore_errors();
        for key in keys {
            pipeline.cmd("HMGET").arg(key).arg(fields);
        }
        let rows: Vec<RedisResult<Value>> = self.journal.connection.pipeline("PIPELINE HMGET", &pipeline).await?;
        let read = |row: RedisResult<Value>| match row.map_err(|error| Failure::reading(error, "", "")) {
            Ok(row) => Ok(from_redis_value(row).unwrap_or_default()),
            Err(Failure::Corrupt { .. }) => Ok(Vec::new()),
            Err(failure) => Err(failure),
        };
        rows.into_iter().map(read).collect()
    }

    async fn add_ledger(&self, sums: &mut BTreeMap<String, Sums>) -> Result<(), Failure> {
        let mut from = "-".to_owned();
        loop {
            let command =
                cmd("XRANGE").arg(self.journal.keys.movements()).arg(&from).arg("+").arg("COUNT").arg(STEP).to_owned();
            let entries: Vec<(String, Vec<String>)> = self
                .journal
                .connection
                .command(&command)
                .await
                .map_err(|error| Failure::reading(error, "stock_movements", &from))?;
            let Some((last, _)) = entries.last() else { return Ok(()) };
            from = format!("({last}");
            for (id, fields) in entries {
                let mut found = [None; 3];
                for pair in fields.chunks_exact(2) {
                    if let Some(at) = ["sku", "kind", "quantity"].iter().position(|name| *name == pair[0]) {
                        found[at] = Some(pair[1].as_str());
                    }
                }
                let quantity = found[2].and_then(|quantity| quantity.parse::<i64>().ok());
                let ([Some(sku), Some(kind), _], Some(quantity)) = (found, quantity) else {
                    return Err(Failure::corrupt("stock_movements", id));
                };
                let sums = sums.entry(sku.to_owned()).or_default();
                sums.ledger += quantity;
                if kind == "committed" {
                    sums.shipped -= quantity;
                }
            }
        }
    }

    /// Returns the held orders and when each runs out.
    async fn add_reservations(
        &self,
        sums: &mut BTreeMap<String, Sums>,
        findings: &mut Findings,
    ) -> Result<BTreeMap<String, i64>, Failure> {
        let (mut held, mut after) = (BTreeMap::new(), String::new());
        loop {
            let orders = self.journal.members(&self.journal.keys.orders(), &after, STEP).await?;
            let keys: Vec<String> = orders.iter().map(|order| self.journal.keys.reservation_named(order)).collect();
            let rows = self.fields_of(&keys, &["status", "lines", "expires_at"]).await?;
            let Some(last) = orders.last() else { return Ok(held) };
            after.clone_from(last);
            for (order, row) in orders.into_iter().zip(rows) {
                let [Some(status), Some(lines), expires_at] = row.as_slice() else {
                    findings.damaged.push(order);
                    continue;
                };
                let Ok(lines) = serde_json::from_str::<Vec<LineData>>(lines) else {
                    findings.damaged.push(order);
                    continue;
                };
                for LineData { sku, quantity } in lines {
                    let sums = sums.entry(sku.to_string()).or_default();
                    match status.as_str() {
                        "held" | "pinned" => sums.promised += i64::from(quantity),
                        "committed" | "returned" => sums.sold += i64::from(quantity),
                        _ => {}
                    }
                }
                if let ("held", Some(at)) = (status.as_str(), expires_at.as_ref().and_then(|at| at.parse().ok())) {
                    held.insert(order, at);
                }
            }
        }
    }

    /// Orders that the sweeper would not, or wrongly, find.
    async fn unlisted(&self, held: &BTreeMap<String, i64>) -> Result<Vec<String>, Failure> {
        let command = cmd("ZRANGE").arg(self.journal.keys.expiries()).arg(0).arg(-1).arg("WITHSCORES").to_owned();
        let listed: Vec<(String, f64)> = self.journal.connection.command(&command).await?;
        let listed: BTreeMap<String, i64> = listed.into_iter().map(|(order, at)| (order, at as i64)).collect();
        let suspects: BTreeSet<&String> = held.keys().chain(listed.keys()).collect();
        Ok(suspects.into_iter().filter(|order| held.get(*order) != listed.get(*order)).cloned().collect())
    }
}
