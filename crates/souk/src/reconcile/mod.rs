//! A read-only audit of all stores against each other: orders × payments × reservations × inboxes × accounts × outboxes × the
//! sandbox provider's books.
//!
//! - [`stores`]: the facts of each store, read from the store itself, whatever engine it is and whether or not a Souk runs on it;
//! - [`case`](mod@case): what all stores say of one order; they are walked side by side in pages, so that memory stays bounded;
//! - [`checks`]: one pure function for each invariant of ARCHITECTURE.md;
//! - [`finding`]: what disagrees, since when, and what to do that is safe;
//! - [`report`]: all of it as text and as JSON; [`xray`]: what every store says of one order;
//! - [`owed`]: whether anything is still under way.
//!
//! The stores are read at different instants, beside live traffic. So an order that is young or that somebody still works on
//! is "in progress", and whatever looks wrong is read again, twice, before it is told.
//!
//! Source: docs/adr/0018-reconcile-reads-all-stores.md; every finding and its next action: docs/operations.md.

pub mod case;
pub mod checks;
pub mod finding;
pub mod owed;
pub mod report;
pub mod stores;
mod sweep;
pub mod xray;

use std::time::Duration;

use contracts::Timestamp;
use uuid::Uuid;

pub use finding::{Finding, Severity, Subject};
pub use owed::{Owed, owed};
pub use report::Report;
pub use stores::{AuditError, Stores, Unreadable, Urls};

/// How to look.
#[derive(Clone, Debug)]
pub struct Options {
    /// What changed less than this ago is in progress.
    pub grace: Duration,
    /// What is under way for longer than this, or left alone for longer, is stuck.
    pub stuck: Duration,
    /// Only orders placed at this moment or later; everything without it.
    pub since: Option<Timestamp>,
    /// Only this order.
    pub order: Option<Uuid>,
    /// How long to wait before what looks wrong is read again.
    pub recheck_wait: Duration,
    /// Orders read in one step.
    pub page: usize,
    /// Findings after which the audit ends, so that a lost store does not fill the memory.
    pub max_findings: usize,
    /// Told every two seconds how many orders have been read.
    pub progress: Option<fn(u64)>,
}

impl Default for Options {
    /// Everything, a grace of a minute, stuck after five.
    fn default() -> Self {
        Self {
            grace: Duration::from_mins(1),
            stuck: Duration::from_mins(5),
            since: None,
            order: None,
            recheck_wait: Duration::from_secs(2),
            page: 500,
            max_findings: 1000,
            progress: None,
        }
    }
}

/// Audits the stores at these addresses with [`Options::default`], changing nothing.
///
/// # Errors
/// [`AuditError`]: a store can't be read.
pub async fn audit(urls: &Urls) -> Result<Report, AuditError> {
    audit_with(urls, &Options::default()).await
}

/// Audits the stores at these addresses, changing nothing.
///
/// # Errors
/// [`AuditError`]: a store can't be read.
pub async fn audit_with(urls: &Urls, options: &Options) -> Result<Report, AuditError> {
    let stores = Stores::open(urls).await?;
    sweep::run(&stores, options).await
}
