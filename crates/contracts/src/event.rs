//! CloudEvents 1.0, structured JSON, as they travel on the bus (proto/events/README.md).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::timestamp::Timestamp;

/// One event. Consumers ignore fields they do not know.
///
/// Source: CloudEvents 1.0.2 §3 (context attributes), JSON event format §3; the extensions `traceparent` (W3C Trace
/// Context), `requestid` and `aggregateversion` are Souk's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique; consumers deduplicate by it.
    pub id: Uuid,
    /// `/souk/<service>`.
    pub source: String,
    /// The routing key, such as `order.confirmed`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The id of the aggregate.
    pub subject: String,
    /// When it happened.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// Carries the version of the payload's schema: `urn:souk:event:order.confirmed:v1`.
    pub dataschema: String,
    /// The trace that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requestid: Option<String>,
    /// Version of the aggregate after the event, as a decimal string (CloudEvents integers are 32-bit).
    #[serde(with = "decimal_string")]
    pub aggregateversion: u64,
    /// The payload, one of [`crate::event_data`].
    pub data: Box<RawValue>,
}

/// What the publisher of an event decides; the rest of the envelope follows from it.
#[derive(Clone, Debug)]
pub struct EventHead<'a> {
    /// A new id.
    pub id: Uuid,
    /// The publishing service: `orders`.
    pub service: &'a str,
    /// The routing key.
    pub event_type: &'a str,
    /// The id of the aggregate.
    pub subject: String,
    /// When it happened.
    pub time: Timestamp,
    /// Version of the aggregate after the event.
    pub aggregate_version: u64,
    /// The trace that caused it.
    pub traceparent: Option<String>,
    /// The request that caused it.
    pub request_id: Option<String>,
}

impl Event {
    /// Builds an event around its payload.
    ///
    /// # Errors
    /// When `data` can't be written as JSON, which no payload of [`crate::event_data`] does.
    pub fn new<T: Serialize>(head: EventHead<'_>, data: &T) -> Result<Self, serde_json::Error> {
        Ok(Self {
            specversion: "1.0".to_owned(),
            id: head.id,
            source: format!("/souk/{}", head.service),
            event_type: head.event_type.to_owned(),
            subject: head.subject,
            time: head.time,
            datacontenttype: "application/json".to_owned(),
            dataschema: format!("urn:souk:event:{}:v1", head.event_type),
            traceparent: head.traceparent,
            requestid: head.request_id,
            aggregateversion: head.aggregate_version,
            data: serde_json::value::to_raw_value(data)?,
        })
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When the payload is not a `T`: the event can't be used by this consumer, however often it is tried.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }
}

mod decimal_string {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
