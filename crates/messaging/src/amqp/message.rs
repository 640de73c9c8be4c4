//! A message as it comes, and as it goes on to a retry queue or to the dead letters.

use contracts::{Event, Timestamp};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

use super::publisher::Outgoing;

/// Header: how often the message was tried when it comes next, 1 for the first time.
const ATTEMPT: &str = "x-souk-attempt";
/// Header: why it was not used.
const ERROR: &str = "x-souk-error";
/// Header: the routing key it was first published with.
const ROUTING_KEY: &str = "x-souk-routing-key";
/// Header: when it failed for the first time, milliseconds since the Unix epoch.
const FIRST_FAILED: &str = "x-souk-first-failed-at";
/// Header: when it failed for the last time, likewise.
const LAST_FAILED: &str = "x-souk-last-failed-at";
/// Header: what the broker itself did with it.
const BROKERS: &str = "x-death";
/// Longest error written to a header, in bytes.
const MAX_ERROR_BYTES: usize = 2_000;

/// A message in the hands of a consumer.
pub(super) struct Received {
    /// The broker's name for the delivery, on its channel.
    pub(super) delivery_tag: u64,
    /// 1 for the first time.
    pub(super) attempt: u32,
    body: Vec<u8>,
    routing_key: String,
    properties: BasicProperties,
}

impl Received {
    /// The event in it, or why there is none.
    pub(super) fn event(&self) -> Result<Event, String> {
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }

    /// The body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What names it among dead letters: a digest of the message's id, or of the body where it has none.
    pub(super) fn key(&self) -> String {
        let id = self.properties.message_id().as_ref().map(|id| id.as_str().as_bytes());
        format!("{:016x}", fnv1a(id.unwrap_or(&self.body)))
    }

    /// How often it was tried before it was given up.
    pub(super) fn attempts_made(&self) -> u32 {
        if self.header(ERROR).is_some() { self.attempt.saturating_sub(1) } else { self.attempt }
    }

    /// When it failed for the first time.
    pub(super) fn first_failed_at(&self) -> Option<Timestamp> {
        self.moment(FIRST_FAILED)
    }

    /// When it failed for the last time.
    pub(super) fn last_failed_at(&self) -> Option<Timestamp> {
        match (self.header(ERROR), self.brokers("time")) {
            (None, Some(AMQPValue::Timestamp(seconds))) => {
                Some(Timestamp::from_unix_ms(i64::try_from(*seconds).ok()?.saturating_mul(1000)))
            }
            _ => self.moment(LAST_FAILED),
        }
    }

    /// Why it was given up.
    pub(super) fn error(&self) -> String {
        match (self.header(ERROR), self.brokers("reason")) {
            (Some(AMQPValue::LongString(why)), _) => String::from_utf8_lossy(why.as_bytes()).into_owned(),
            (_, Some(AMQPValue::LongString(reason))) => format!(
                "given up by the broker ({}): its consumers ended again and again without settling it",
                String::from_utf8_lossy(reason.as_bytes())
            ),
            _ => "no reason was noted".to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name)
    }

    /// What the broker noted when it dead-lettered the message last.
    fn brokers(&self, name: &str) -> Option<&AMQPValue> {
        match self.header(BROKERS)? {
            AMQPValue::FieldArray(deaths) => match deaths.as_slice().first()? {
                AMQPValue::FieldTable(death) => death.inner().get(name),
                _ => None,
            },
            _ => None,
        }
    }

    fn moment(&self, name: &str) -> Option<Timestamp> {
        match self.header(name)? {
            AMQPValue::LongLongInt(unix_ms) => Some(Timestamp::from_unix_ms(*unix_ms)),
            _ => None,
        }
    }
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits: the same in every build, since operators write it down.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl From<Delivery> for Received {
    fn from(delivery: Delivery) -> Self {
        let headers = delivery.properties.headers();
        let header = |name: &str| headers.as_ref().and_then(|headers| headers.inner().get(name));
        let attempt = match header(ATTEMPT) {
            Some(AMQPValue::LongUInt(attempt)) => *attempt,
            // Brokers and other clients choose their own width.
            Some(AMQPValue::LongLongInt(attempt)) => u32::try_from(*attempt).unwrap_or(1),
            Some(AMQPValue::LongInt(attempt)) => u32::try_from(*attempt).unwrap_or(1),
            _ => 1,
        };
        let routing_key = match header(ROUTING_KEY) {
            Some(AMQPValue::LongString(key)) => String::from_utf8_lossy(key.as_bytes()).into_owned(),
            _ => delivery.routing_key.as_str().to_owned(),
        };
        Self {
            delivery_tag: delivery.delivery_tag,
            attempt: attempt.max(1),
            body: delivery.data,
            routing_key,
            properties: delivery.properties,
        }
    }
}

/// The message on its way to `queue`, with the reason. The broker's own headers stay behind: it drops what it believes to
/// go in circles.
pub(super) fn moved(received: &Received, queue: String, why: &str, now: Timestamp) -> Outgoing {
    let mut headers = FieldTable::default();
    headers.insert(ATTEMPT.into(), AMQPValue::LongUInt(received.attempt.saturating_add(1)));
    let why = &why[..why.floor_char_boundary(MAX_ERROR_BYTES)];
    headers.insert(ERROR.into(), AMQPValue::LongString(why.into()));
    headers.insert(ROUTING_KEY.into(), AMQPValue::LongString(received.routing_key.as_str().into()));
    let first = received.first_failed_at().unwrap_or(now);
    headers.insert(FIRST_FAILED.into(), AMQPValue::LongLongInt(first.unix_ms()));
    headers.insert(LAST_FAILED.into(), AMQPValue::LongLongInt(now.unix_ms()));
    sent_to(received, queue, headers)
}

/// A dead letter on its way back to its group, as if it had never been tried.
pub(super) fn replayed(received: &Received, queue: String) -> Outgoing {
    let mut headers = FieldTable::default();
    headers.insert(ROUTING_KEY.into(), AMQPValue::LongString(received.routing_key.as_str().into()));
    sent_to(received, queue, headers)
}

fn sent_to(received: &Received, queue: String, headers: FieldTable) -> Outgoing {
    Outgoing {
        exchange: String::new(),
        routing_key: queue,
        body: received.body.clone(),
        properties: received.properties.clone().with_headers(headers).with_delivery_mode(super::PERSISTENT),
        // A queue that is gone must not swallow it.
        mandatory: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_published_one() {
        // Test vectors of the FNV reference implementation.
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(fnv1a(text.as_bytes()), hash, "{text}");
        }
    }
}
