//! What disagrees, and what to do about it.

use std::fmt;

use contracts::Timestamp;
use contracts::ids::{OrderId, UserId};
use serde_json::{Value, json};

/// How bad it is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nobody's money or goods are concerned; something is late or was not told.
    Minor,
    /// A promise to a customer is open.
    Major,
    /// Money or goods are where they must not be.
    Critical,
}

impl Severity {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An order.
    Order(String),
    /// A user's inbox.
    Inbox(String),
    /// A product's stock.
    Product(String),
    /// A service's outbox.
    Outbox(&'static str),
    /// A queue of the broker.
    Queue(String),
}

impl Subject {
    /// An order.
    pub fn order(id: OrderId) -> Self {
        Self::Order(id.to_string())
    }

    /// A user's inbox.
    pub fn inbox(id: UserId) -> Self {
        Self::Inbox(id.to_string())
    }

    /// What kind of thing, and which.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Order(id) => ("order", id),
            Self::Inbox(id) => ("inbox of user", id),
            Self::Product(sku) => ("product", sku),
            Self::Outbox(service) => ("outbox of", service),
            Self::Queue(name) => ("queue", name),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = self.parts();
        write!(f, "{kind} {id}")
    }
}

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its stable name, which is also its heading in docs/operations.md.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What each side says.
    pub what: String,
    /// Since when, as far as the stores tell.
    pub since: Option<Timestamp>,
    /// The next action, which is safe. Never to edit a store.
    pub next: &'static str,
}

impl Finding {
    /// What makes it the same finding when it is looked for again.
    pub(super) fn key(&self) -> (&'static str, Subject) {
        (self.code, self.subject.clone())
    }

    /// Where more is written about it.
    pub fn more(&self) -> String {
        format!("docs/operations.md#{}", self.code)
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let (kind, id) = self.subject.parts();
        json!({
            "code": self.code,
            "severity": self.severity.as_str(),
            "subject": { "kind": kind, "id": id },
            "what": self.what,
            "since": self.since.map(|since| since.to_string()),
            "next": self.next,
            "more": self.more(),
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8}  {}  {}", self.severity.as_str(), self.code, self.subject)?;
        writeln!(f, "          what:  {}", self.what)?;
        if let Some(since) = self.since {
            writeln!(f, "          since: {since}")?;
        }
        writeln!(f, "          next:  {}", self.next)?;
        write!(f, "          more:  {}", self.more())
    }
}
