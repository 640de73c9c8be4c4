//! The operator's port: messages that their consumer group gave up on, kept in `<group>.dead`.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use async_trait::async_trait;
use contracts::{Event, Timestamp};
use observability::RequestContext;
use prometheus::IntCounterVec;
use serde::{Deserialize, Serialize};

use crate::bus::Delivery;

/// What ends the name of a queue of dead letters.
pub(crate) const SUFFIX: &str = ".dead";

/// Where the dead letters of a group are.
pub(crate) fn dead_queue(group: &str) -> String {
    format!("{group}{SUFFIX}")
}

/// Messages that consumer groups gave up on, by group.
static BURIED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Messages that a consumer group gave up on: souk dlq shows those that are still there.";
    observability::metrics::counter("bus_dead_letters_total", help, &["group"])
});

/// Makes a group known to the metrics, at 0: the first dead letter is a rise.
pub(crate) fn announce(group: &str) {
    BURIED.with_label_values(&[group]);
}

/// Tells operators, by log and metric, that a message becomes a dead letter: work that will not be done without them.
pub(crate) fn tell(group: &str, delivery: &Delivery, why: &str) {
    BURIED.with_label_values(&[group]).inc();
    // Part of the trace that it ends.
    let cause = delivery
        .event
        .as_ref()
        .ok()
        .map(|event| RequestContext::accept(event.requestid.as_deref(), event.traceparent.as_deref()));
    let _entered = cause.as_ref().map(RequestContext::enter);
    let (id, kind) =
        delivery.event.as_ref().map_or((String::new(), ""), |event| (event.id.to_string(), &*event.event_type));
    tracing::error!(
        group,
        event.id = id,
        event.r#type = kind,
        attempt = delivery.attempt,
        why,
        "a message is given up and waits among the dead letters: souk dlq"
    );
}

/// Names a dead letter, written `<group>/<key>`. Stays the same as long as the letter is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// The queue of the consumer group that gave it up, such as `notification.events`.
    pub group: String,
    /// The adapter's name for it; letters that are the same message may share one.
    pub key: String,
}

/// The text names no dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected <queue>/<key>, as `souk dlq list` shows it")]
pub struct InvalidLetterId;

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.key)
    }
}

impl FromStr for LetterId {
    type Err = InvalidLetterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((group, key)) if !group.is_empty() && !key.is_empty() => {
                Ok(Self { group: group.to_owned(), key: key.to_owned() })
            }
            _ => Err(InvalidLetterId),
        }
    }
}

/// A message that its group gave up on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The group's queue.
    pub group: String,
    /// See [`LetterId::key`].
    pub key: String,
    /// The message as it came, JSON if it is an event.
    pub body: String,
    /// How often the group tried it.
    pub attempts: u32,
    /// When it failed for the first time, if that was noted.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed for the last time, if that was noted.
    pub last_failed_at: Option<Timestamp>,
    /// Why it was given up.
    pub error: String,
}

impl DeadLetter {
    /// Its name.
    pub fn id(&self) -> LetterId {
        LetterId { group: self.group.clone(), key: self.key.clone() }
    }

    /// The event in it, or why there is none.
    ///
    /// # Errors
    /// What the parser said.
    pub fn event(&self) -> Result<Event, serde_json::Error> {
        serde_json::from_str(&self.body)
    }
}

/// How many letters a group has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pile {
    /// The group's queue.
    pub group: String,
    /// Letters that nobody is looking at.
    pub letters: u64,
}

/// Which letters of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those that are there now.
    All,
    /// Those with these keys.
    Keys(Vec<String>),
}

impl Which {
    /// Whether a letter with this key is meant.
    pub(crate) fn contains(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.iter().any(|wanted| wanted == key),
        }
    }

    /// The wanted keys that are not among `found`.
    pub(crate) fn missing<'a>(&self, found: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let Self::Keys(keys) = self else { return Vec::new() };
        let found: std::collections::HashSet<_> = found.into_iter().collect();
        keys.iter().filter(|key| !found.contains(key.as_str())).cloned().collect()
    }
}

/// What became of the letters asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handled {
    /// How many were replayed or discarded.
    pub done: u64,
    /// Keys under which there was none.
    pub missing: Vec<String>,
}

/// Why dead letters could not be handled. What was done before it stays done, and repeating is safe.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The broker is away or failing.
    #[error("the dead letters can't be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A letter can't go back: its group is not there. It stays where it is.
    #[error("there is no queue {0} that letters could go back to")]
    NoSuchGroup(String),
}

/// Dead letters, for operators.
///
/// - Looking removes nothing, keeps the order, and never uses a letter up. It takes a bounded number of letters and a
///   bounded time. While one looks, another may see less.
/// - A letter that is replayed goes to its own group alone, as if it had never been tried, and leaves the dead letters only
///   when it has arrived there: at least once.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The groups that have letters, by name: of `groups` and of those that the broker can tell of by itself.
    async fn piles(&self, groups: &[String]) -> Result<Vec<Pile>, DeadLetterError>;

    /// The letters of a group, those that were given up first at the front, at most `limit`.
    async fn list(&self, group: &str, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError>;

    /// One letter.
    async fn find(&self, id: &LetterId) -> Result<Option<DeadLetter>, DeadLetterError>;

    /// Hands letters to their group again.
    async fn replay(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError>;

    /// Throws letters away for good.
    async fn discard(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letters_name_is_a_queue_and_a_key() {
        let id: LetterId = "orders.events/17".parse().unwrap();
        assert_eq!((id.group.as_str(), id.key.as_str()), ("orders.events", "17"));
        assert_eq!(id.to_string(), "orders.events/17");
        for bad in ["", "17", "orders.events/", "/17"] {
            assert_eq!(bad.parse::<LetterId>(), Err(InvalidLetterId), "{bad}");
        }
    }
}
