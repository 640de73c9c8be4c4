//! One audit: everything once, and what looked wrong twice more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use contracts::audit::Span;
use contracts::{Clock as _, timestamp::SystemClock};
use uuid::Uuid;

use super::case::Walk;
use super::checks::{self, Limits};
use super::stores::{AuditError, OUTBOXES, Stores, unreadable};
use super::{Finding, Options, Report, Subject};

/// How often what looks wrong is read again before it is told.
const RECHECKS: usize = 2;
/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Inboxes read in one step.
const INBOXES: usize = 200;

type Found = BTreeMap<(&'static str, Subject), Finding>;

pub(super) async fn run(stores: &Stores, options: &Options) -> Result<Report, AuditError> {
    let started = Instant::now();
    let mut sweep = Sweep { stores, options, found: Found::new(), report: Report::default() };
    let whole = options.order.is_none();
    sweep.orders().await?;
    if whole {
        sweep.inboxes().await?;
        let everything_else = sweep.everything_else().await?;
        sweep.found.extend(everything_else);
        if stores.queues.is_none() {
            sweep.report.notes.push("dead letters of this broker: souk dlq list");
        }
    }
    if stores.sandbox.is_none() {
        sweep.report.notes.push("the payment provider's books: compare its own reports with the ledger");
    }
    for _ in 0..RECHECKS {
        if sweep.found.is_empty() {
            break;
        }
        tokio::time::sleep(options.recheck_wait).await;
        let again = sweep.look_again().await?;
        sweep.found = again.into_iter().filter(|(key, _)| sweep.found.contains_key(key)).collect();
    }
    let mut report = sweep.report;
    report.findings = sweep.found.into_values().collect();
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    report.took = started.elapsed();
    Ok(report)
}

struct Sweep<'a> {
    stores: &'a Stores,
    options: &'a Options,
    found: Found,
    report: Report,
}

impl Sweep<'_> {
    fn limits(&self) -> Limits {
        Limits { now: SystemClock.now(), grace: self.options.grace, stuck: self.options.stuck }
    }

    fn is_full(&mut self) -> bool {
        self.report.is_cut_short |= self.found.len() >= self.options.max_findings;
        self.report.is_cut_short
    }

    async fn orders(&mut self) -> Result<(), AuditError> {
        let span = match (self.options.order, self.options.since) {
            (Some(id), _) => Span::of(id),
            (None, Some(since)) => Span::since(since),
            (None, None) => Span::ALL,
        };
        let mut walk = Walk::new(self.stores, span, self.options.page);
        let mut told = Instant::now();
        while !self.is_full()
            && let Some(cases) = walk.next().await?
        {
            let limits = self.limits();
            for case in &cases {
                self.report.orders += 1;
                self.report.in_progress += u64::from(case.is_in_progress(&limits));
                self.found.extend(keyed(checks::of_order(case, &limits)));
            }
            if let Some(tell) = self.options.progress
                && told.elapsed() >= TELL_EVERY
            {
                tell(self.report.orders);
                told = Instant::now();
            }
        }
        Ok(())
    }

    async fn inboxes(&mut self) -> Result<(), AuditError> {
        let mut span = Span::ALL;
        while span.after < span.until && !self.is_full() {
            let page = self.stores.notification.list_inboxes(span, INBOXES).await;
            let page = page.map_err(|error| unreadable("notification")(&error))?;
            span.after = page.complete_to;
            self.report.inboxes += page.items.len() as u64;
            self.found.extend(keyed(page.items.iter().flat_map(checks::of_inbox)));
        }
        Ok(())
    }

    /// Stock, outboxes and queues: what is not of one order.
    async fn everything_else(&self) -> Result<Found, AuditError> {
        let mut found = Found::new();
        let stock = self.stores.inventory.list_suspect_stock().await;
        let stock = stock.map_err(|error| unreadable("inventory")(&error))?;
        found.extend(keyed(stock.iter().filter_map(checks::of_stock)));
        for service in OUTBOXES {
            let backlog = self.stores.backlog(service).await?;
            found.extend(keyed(checks::of_outbox(service, &backlog, &self.limits())));
        }
        for queue in self.stores.list_queues().await?.unwrap_or_default() {
            found.extend(keyed(checks::of_queue(&queue)));
        }
        Ok(found)
    }

    /// Reads again all that something was found about.
    async fn look_again(&self) -> Result<Found, AuditError> {
        let (mut again, mut else_wrong) = (Found::new(), false);
        let subjects: BTreeSet<&Subject> = self.found.keys().map(|(_, subject)| subject).collect();
        for subject in subjects {
            match subject {
                Subject::Order(id) => {
                    let mut walk = Walk::new(self.stores, span_of(id), self.options.page);
                    let limits = self.limits();
                    while let Some(cases) = walk.next().await? {
                        again.extend(keyed(cases.iter().flat_map(|case| checks::of_order(case, &limits))));
                    }
                }
                Subject::Inbox(id) => {
                    let page = self.stores.notification.list_inboxes(span_of(id), INBOXES).await;
                    let page = page.map_err(|error| unreadable("notification")(&error))?;
                    again.extend(keyed(page.items.iter().flat_map(checks::of_inbox)));
                }
                Subject::Product(_) | Subject::Outbox(_) | Subject::Queue(_) => else_wrong = true,
            }
        }
        if else_wrong {
            again.extend(self.everything_else().await?);
        }
        Ok(again)
    }
}

fn span_of(id: &str) -> Span {
    Span::of(id.parse().unwrap_or(Uuid::nil()))
}

fn keyed(findings: impl IntoIterator<Item = Finding>) -> impl Iterator<Item = ((&'static str, Subject), Finding)> {
    findings.into_iter().map(|finding| (finding.key(), finding))
}
