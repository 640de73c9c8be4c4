//! A message as it comes, and as it goes on to a retry queue or to the dead letters.

use contracts::Event;
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
pub(super) fn moved(received: &Received, queue: String, why: &str) -> Outgoing {
    let mut headers = FieldTable::default();
    headers.insert(ATTEMPT.into(), AMQPValue::LongUInt(received.attempt.saturating_add(1)));
    let why = &why[..why.floor_char_boundary(MAX_ERROR_BYTES)];
    headers.insert(ERROR.into(), AMQPValue::LongString(why.into()));
    headers.insert(ROUTING_KEY.into(), AMQPValue::LongString(received.routing_key.as_str().into()));
    Outgoing {
        exchange: String::new(),
        routing_key: queue,
        body: received.body.clone(),
        properties: received.properties.clone().with_headers(headers).with_delivery_mode(super::PERSISTENT),
        // A queue that is gone must not swallow it.
        mandatory: true,
    }
}
