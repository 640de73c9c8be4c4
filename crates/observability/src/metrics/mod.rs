//! The process's metrics, in the Prometheus text format.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`Summary`] | quantiles over a sliding window, for what a histogram's fixed buckets fit badly |
//! | [`runtime`] | what the process's tokio runtimes do |
//! | [`Cache`] | hits and misses |
//! | [`InFlight`] | a gauge that counts a thing for as long as it lives |
//!
//! Labels come from sets that are known when the program is written, never from what a caller sends: each combination is
//! a series that the process and whoever scrapes it keep for good.

mod cache;
mod in_flight;
pub mod runtime;
mod summary;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder,
    register_histogram_vec, register_int_counter_vec, register_int_gauge_vec,
};

pub use cache::Cache;
pub use in_flight::InFlight;
pub use summary::Summary;

/// Upper bounds in seconds: from a cached read to a call that waits for a card.
const LATENCY_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Time from a request's head to its response's head, in seconds.
pub static HTTP_REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram("http_request_duration_seconds", "Time to answer an HTTP request.", &["method", "route", "status"])
});

/// Time to answer a gRPC call, in seconds.
pub static GRPC_REQUESTS: LazyLock<HistogramVec> =
    LazyLock::new(|| histogram("grpc_request_duration_seconds", "Time to answer a gRPC call.", &["method", "code"]));

/// Time from a gRPC call's start to the head of its answer, in seconds, as its caller sees it: repeats included.
pub static GRPC_CLIENT_REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram("grpc_client_request_duration_seconds", "Time of a gRPC call to a neighbour.", &["method", "code"])
});

/// Requests whose head was read and not answered yet.
pub static HTTP_IN_FLIGHT: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("http_requests_in_flight", "HTTP requests that are not answered yet.", &[]).with_label_values::<&str>(&[])
});

/// Whether a health check last succeeded: 1 or 0. Moves when the checks run, that is when someone asks for readiness.
pub static HEALTH_CHECKS: LazyLock<IntGaugeVec> =
    LazyLock::new(|| gauge("health_check_up", "Whether the check last succeeded.", &["check"]));

/// Open connections that a client keeps for being told of changes.
pub static ACTIVE_CONNECTIONS: LazyLock<IntGaugeVec> =
    LazyLock::new(|| gauge("active_connections", "Open long-lived client connections.", &["transport"]));

static ENABLED: AtomicBool = AtomicBool::new(true);

/// Turns the observation of requests on (as it is from the start) or off. Meant for the start of a process: what was
/// counted before stays as it is.
pub fn set_enabled(on: bool) {
    ENABLED.store(on, Ordering::Relaxed);
}

/// Whether requests are observed. One relaxed load.
pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Adds an elapsed time to a histogram of seconds; does nothing while metrics are off.
pub fn observe(histogram: &HistogramVec, labels: &[&str], elapsed: Duration) {
    if enabled() {
        histogram.with_label_values(labels).observe(elapsed.as_secs_f64());
    }
}

/// Adds one to a counter; does nothing while metrics are off.
pub fn count(counter: &IntCounterVec, labels: &[&str]) {
    if enabled() {
        counter.with_label_values(labels).inc();
    }
}

/// A histogram of seconds in the process's registry.
///
/// # Panics
/// When the name is taken or malformed: a mistake in the program, found by its first test.
pub fn histogram(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    register_histogram_vec!(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec()), labels)
        .unwrap_or_else(|error| panic!("metric {name}: {error}"))
}

/// A counter in the process's registry.
///
/// # Panics
/// When the name is taken or malformed.
pub fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register_int_counter_vec!(Opts::new(name, help), labels).unwrap_or_else(|error| panic!("metric {name}: {error}"))
}

/// A gauge in the process's registry.
///
/// # Panics
/// When the name is taken or malformed.
pub fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register_int_gauge_vec!(Opts::new(name, help), labels).unwrap_or_else(|error| panic!("metric {name}: {error}"))
}

/// The `Content-Type` of [`render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Everything registered, in the text format.
pub fn render() -> Vec<u8> {
    let mut text = Vec::with_capacity(16 * 1024);
    if let Err(error) = TextEncoder::new().encode(&prometheus::gather(), &mut text) {
        tracing::error!(error = %error, "metrics could not be rendered");
    }
    text
}
