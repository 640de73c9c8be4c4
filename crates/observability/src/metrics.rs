//! The process's metrics, in the Prometheus text format.

use std::sync::LazyLock;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, TextEncoder, register_histogram_vec,
    register_int_counter_vec, register_int_gauge_vec,
};

/// Upper bounds in seconds: from a cached read to a call that waits for a card.
const LATENCY_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Time from a request's head to its response's head, in seconds.
pub static HTTP_REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram("http_request_duration_seconds", "Time to answer an HTTP request.", &["method", "route", "status"])
});

/// Time to answer a gRPC call, in seconds.
pub static GRPC_REQUESTS: LazyLock<HistogramVec> =
    LazyLock::new(|| histogram("grpc_request_duration_seconds", "Time to answer a gRPC call.", &["method", "code"]));

/// Time until a gRPC call to another service was answered, in seconds.
pub static GRPC_CLIENT_REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram("grpc_client_request_duration_seconds", "Time until a gRPC call was answered.", &["method", "code"])
});

/// Open connections that a client keeps for being told of changes.
pub static ACTIVE_CONNECTIONS: LazyLock<IntGaugeVec> =
    LazyLock::new(|| gauge("active_connections", "Open long-lived client connections.", &["transport"]));

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
