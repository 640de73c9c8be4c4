//! Live events to those who poll.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{BadAnswer, raw_json};
use crate::live::entry::Entry;

/// How to poll.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct PollQuery {
    /// The access token, where no header can be set; a header goes first.
    pub token: Option<String>,
    /// The `cursor` of the last answer, or of the last event seen on another transport. Without one the answer comes at
    /// once, with the newest.
    pub cursor: Option<String>,
    /// How long to wait for an event, in milliseconds.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 60_000, default = 30_000)]
    pub timeout: PollTimeout,
}

/// The longest wait, in milliseconds. Proxies are set up for it (deploy/nginx).
const MAX_TIMEOUT_MS: u64 = 60_000;
/// The wait of who asks for none, in milliseconds.
const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// How long to wait for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PollTimeout(pub Duration);

impl Default for PollTimeout {
    fn default() -> Self {
        Self(Duration::from_millis(DEFAULT_TIMEOUT_MS))
    }
}

impl TryFrom<String> for PollTimeout {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = Some(&text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let wait = digits.and_then(|text| text.parse().ok()).filter(|wait| *wait <= MAX_TIMEOUT_MS);
        wait.map(|wait| Self(Duration::from_millis(wait)))
            .ok_or_else(|| format!("must be a whole number of milliseconds from 0 to {MAX_TIMEOUT_MS}"))
    }
}

/// What came.
#[derive(Serialize, ToSchema)]
pub struct Polled {
    /// The events after the cursor, in order and without a gap: at most 100, and the next poll has more.
    pub messages: Vec<LiveEvent>,
    /// Send it with the next poll.
    #[schema(example = 7)]
    pub cursor: u64,
    /// Whether nothing came in time.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub timeout: bool,
    /// Whether the cursor can't be resumed from: read the state anew, then poll with this answer's cursor.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub resync: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// An event of the inbox.
#[derive(Serialize, ToSchema)]
pub struct LiveEvent {
    /// Its position in the inbox.
    #[schema(example = 7)]
    pub cursor: u64,
    /// What it is called.
    #[schema(example = "order_updated")]
    pub event: String,
    /// What it says.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

impl TryFrom<&Entry> for LiveEvent {
    type Error = BadAnswer;

    fn try_from(entry: &Entry) -> Result<Self, BadAnswer> {
        let data = raw_json(entry.data_json.to_string())?;
        Ok(Self { cursor: entry.seq, event: entry.event.to_string(), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_from_none_to_a_minute() {
        assert_eq!(PollTimeout::default().0, Duration::from_secs(30));
        for (text, wait) in [("0", Some(0)), ("60000", Some(60_000)), ("007", Some(7))] {
            let read = PollTimeout::try_from(text.to_owned()).ok();
            assert_eq!(read.map(|read| read.0), wait.map(Duration::from_millis), "{text}");
        }
        for bad in ["", "60001", "-1", "+5", "1.5", "30s", "99999999999999999999999"] {
            assert!(PollTimeout::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
