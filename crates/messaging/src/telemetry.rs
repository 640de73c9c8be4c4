//! Metrics of the bus, and spans that carry a trace over it.
//!
//! Spans follow OpenTelemetry's conventions for messaging. The trace of an event goes on where it is published: the copy
//! that is handed to the broker names the span of its publishing, and that is the parent of its processing.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use contracts::Event;
use contracts::audit::Backlog;
use contracts::timestamp::{Clock as _, SystemClock};
use observability::trace::{KeyValue, Span, SpanKind};
use observability::{RequestContext, context, metrics};
use prometheus::core::Collector as _;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use crate::bus::Delivery;

/// Where events are published (docs/adr/0010-rabbitmq-as-event-bus.md).
const DESTINATION: &str = "events";

static PUBLISHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter("bus_published_total", "Events that the broker has confirmed.", &["service", "type"])
});
static PUBLISH_FAILURES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter(
        "bus_publish_failures_total",
        "Batches that the broker did not take or the outbox did not give.",
        &["service"],
    )
});
static CONSUMED: LazyLock<IntCounterVec> =
    LazyLock::new(|| metrics::counter("bus_consumed_total", "Messages by what became of them.", &["group", "outcome"]));
static CONSUME_SECONDS: LazyLock<HistogramVec> =
    LazyLock::new(|| metrics::histogram("bus_consume_duration_seconds", "Time to use one message.", &["group"]));
static LAG: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histogram("bus_consumer_lag_seconds", "From what an event tells of until it was used.", &["group"])
});
static DEPTH: LazyLock<IntGaugeVec> =
    LazyLock::new(|| metrics::gauge("outbox_depth", "Events that wait to be published.", &["service"]));
static OLDEST_AGE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    metrics::gauge("outbox_oldest_age_seconds", "For how long the event that waits first has waited.", &["service"])
});

/// The service that a task works for, as a label.
fn service() -> &'static str {
    context::current_service().unwrap_or("unknown")
}

/// An event that happened at this moment is so old.
fn age(event: contracts::Timestamp) -> Duration {
    SystemClock.now().since(event)
}

/// Events on their way to the broker, each with a span where its trace is recorded.
pub(crate) struct Publishing {
    spans: Vec<Span>,
    started: Instant,
}

impl Publishing {
    /// Begins the spans, and has the events name them.
    pub(crate) fn begin(events: &mut [Event], system: &'static str) -> Self {
        let spans = events.iter_mut().filter_map(|event| begin(event, system)).collect();
        Self { spans, started: Instant::now() }
    }

    /// They are with the broker.
    pub(crate) fn done(self, events: &[Event]) {
        self.tell_time();
        let service = service();
        for event in events {
            metrics::count(&PUBLISHED, &[service, &event.event_type]);
        }
        self.spans.into_iter().for_each(Span::end);
    }

    /// They are not, as far as is known.
    pub(crate) fn failed(self, why: &str) {
        self.tell_time();
        for span in &self.spans {
            span.fail("unavailable", why);
        }
    }

    /// How long the broker took for all of them: it confirms them together.
    fn tell_time(&self) {
        let took = self.started.elapsed().as_secs_f64() * 1e3;
        for span in &self.spans {
            span.set(KeyValue::new("time.broker_ms", took));
        }
    }
}

/// A batch could not be published.
pub(crate) fn publishing_failed() {
    metrics::count(&PUBLISH_FAILURES, &[service()]);
}

fn begin(event: &mut Event, system: &'static str) -> Option<Span> {
    // The flag of W3C Trace Context §3.2.2.5: most traces are recorded by nobody, and then there is nothing to do.
    let recorded = event.traceparent.as_deref().is_some_and(|traceparent| traceparent.ends_with("-01"));
    if !recorded {
        return None;
    }
    let cause = RequestContext::accept(event.requestid.as_deref(), event.traceparent.as_deref());
    let span = cause.start(SpanKind::Producer, format!("publish {}", event.event_type), || {
        let mut attributes = attributes(event, system, "publish");
        attributes.push(KeyValue::new("messaging.operation.type", "send"));
        attributes
    });
    if !span.is_recording() {
        return None;
    }
    event.traceparent = Some(span.context().traceparent());
    Some(span)
}

fn attributes(event: &Event, system: &'static str, operation: &'static str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", system),
        KeyValue::new("messaging.destination.name", DESTINATION),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.message.id", event.id.to_string()),
        KeyValue::new("cloudevents.event_id", event.id.to_string()),
        KeyValue::new("cloudevents.event_type", event.event_type.clone()),
        KeyValue::new("cloudevents.event_source", event.source.clone()),
        KeyValue::new("cloudevents.event_subject", event.subject.clone()),
    ]
}

/// Begins the span of using an event: part of the trace that caused it.
pub(crate) fn begin_processing(group: &str, system: &'static str, event: &Event, attempt: u32) -> Span {
    let cause = RequestContext::accept(event.requestid.as_deref(), event.traceparent.as_deref());
    cause.start(SpanKind::Consumer, format!("process {}", event.event_type), || {
        let mut attributes = attributes(event, system, "process");
        attributes.extend([
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.consumer.group.name", group.to_owned()),
            KeyValue::new("messaging.delivery.attempt", i64::from(attempt)),
        ]);
        attributes
    })
}

/// Makes a group known to the metrics, at 0: the first failure is a rise.
pub(crate) fn announce_group(group: &str) {
    for outcome in [Outcome::Ack, Outcome::Retry, Outcome::Dead] {
        CONSUMED.with_label_values(&[group, outcome.as_str()]);
    }
}

/// What became of a message.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Ack,
    Retry,
    Dead,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Retry => "retry",
            Self::Dead => "dead",
        }
    }
}

/// Counts a message.
pub(crate) fn consumed(group: &str, delivery: &Delivery, outcome: Outcome, took: Duration) {
    metrics::count(&CONSUMED, &[group, outcome.as_str()]);
    metrics::observe(&CONSUME_SECONDS, &[group], took);
    if let (Outcome::Ack, Ok(event)) = (outcome, &delivery.event) {
        metrics::observe(&LAG, &[group], age(event.time));
    }
}

/// Shows what waits to be published.
pub(crate) fn show_backlog(backlog: Backlog) {
    let service = service();
    DEPTH.with_label_values(&[service]).set(i64::try_from(backlog.waiting).unwrap_or(i64::MAX));
    let oldest = backlog.oldest_at.map_or(Duration::ZERO, age);
    OLDEST_AGE.with_label_values(&[service]).set(i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX));
}

/// What [`show_backlog`] showed last, by service: how many, and the age of the oldest in seconds.
pub(crate) fn backlogs() -> Vec<(String, i64, i64)> {
    let families = DEPTH.collect();
    let metrics = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
    let services = metrics.filter_map(|metric| metric.get_label().first().map(|label| label.value().to_owned()));
    services
        .map(|service| {
            let labels = [service.as_str()];
            let (depth, age) = (DEPTH.with_label_values(&labels).get(), OLDEST_AGE.with_label_values(&labels).get());
            (service, depth, age)
        })
        .collect()
}
