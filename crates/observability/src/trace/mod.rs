//! Traces: OpenTelemetry spans, made where work begins and where it waits for others.
//!
//! - [`RequestContext::start`](crate::RequestContext::start) begins a span that may begin a trace: the server's end of a call, a consumed message, a job;
//! - [`child`] begins one only inside a trace that is recorded: calls to others, steps of the business. Outside it costs
//!   next to nothing and makes no noise;
//! - [`propagation`] carries the trace across borders;
//! - spans of the macros of `tracing`, at level info and above, join the same trace;
//! - [`Traces::install`] has them exported over OTLP: in batches, by a thread of its own, never in the way of a request.
//!
//! Names and attributes follow OpenTelemetry's semantic conventions.

mod clean;
mod errors;
mod exporter;
mod processor;
pub mod propagation;
mod settings;
mod span;

pub use self::errors::ErrorsOnSpans;
pub use self::settings::{InvalidEndpoint, OtlpEndpoint, OtlpProtocol, SampleRatio, TraceSettings};
pub use self::span::{Span, child};
pub use opentelemetry::trace::SpanKind;
pub use opentelemetry::{KeyValue, Value};

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use prometheus::IntCounterVec;

use crate::metrics;

use self::exporter::Exporter;
use self::processor::Batches;

/// Ended spans of recorded traces by what became of them: `exported`, `failed` (the collector did not take them), `dropped`
/// (too many waited).
static SPANS: LazyLock<IntCounterVec> =
    LazyLock::new(|| metrics::counter("telemetry_spans_total", "Ended spans by what became of them.", &["outcome"]));

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The longest that the end of the process waits for the last spans to be sent.
const LAST_EXPORT: Duration = Duration::from_secs(3);

/// The process's tracer provider. Dropping it sends what is left.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Makes spans be recorded from now on, and exports those of the sampled traces if an endpoint is set. Without one
    /// spans have ids, for log lines, and are recorded nowhere. Once per process; a second call changes nothing.
    pub fn install(settings: &TraceSettings) -> Self {
        let provider = SdkTracerProvider::builder();
        let provider = match &settings.endpoint {
            None => provider.with_sampler(Sampler::AlwaysOff),
            Some(endpoint) => {
                // Known at 0: the first loss is a rise.
                for outcome in ["exported", "failed", "dropped"] {
                    SPANS.with_label_values(&[outcome]);
                }
                let exporter = Exporter::new(endpoint.clone(), settings.service, settings.attributes.clone());
                provider
                    .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.ratio.get()))))
                    .with_span_processor(Batches::start(exporter))
            }
        };
        let provider = provider.build();
        let _ = TRACER.set(tracer(&provider));
        Self { provider }
    }

    /// The tracer, for a layer that turns spans of the macros of `tracing` into spans of the trace.
    pub fn tracer(&self) -> SdkTracer {
        tracer(&self.provider)
    }
}

/// A tracer whose spans name this crate and its version as their maker.
fn tracer(provider: &SdkTracerProvider) -> SdkTracer {
    let maker = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION"));
    provider.tracer_with_scope(maker.build())
}

impl Drop for Traces {
    fn drop(&mut self) {
        // What could not be sent in this time was counted and told.
        let _ = self.provider.shutdown_with_timeout(LAST_EXPORT);
    }
}
