//! From an exchange to an event.

use std::time::Duration;

use super::exchange::Exchange;
use super::format::Format;
use super::{clean, mask};
use crate::logs::ACCESS_TARGET;

impl Format {
    /// Whether anybody reads the access log now: if not, nothing need be collected for it.
    pub fn is_heard() -> bool {
        tracing::enabled!(target: ACCESS_TARGET, tracing::Level::DEBUG)
    }

    /// Writes the event of a request that ends now: target `access`, DEBUG, which the log shows as level `http`.
    pub fn write(&self, exchange: &Exchange) {
        if !Self::is_heard() {
            return;
        }
        if let Some(line) = self.render(exchange) {
            tracing::debug!(target: ACCESS_TARGET, "{line}");
            return;
        }
        let url = cleaned(&mask::url(&exchange.url));
        let header = |name| self.request_header(exchange, name).map(|value| cleaned(&value));
        tracing::debug!(
            target: ACCESS_TARGET,
            method = cleaned(&exchange.method),
            url,
            status = exchange.status,
            response_time_ms = exchange.response_time.map(milliseconds),
            total_time_ms = exchange.total_time.map(milliseconds),
            content_length = exchange.content_length,
            remote_addr = exchange.remote_addr.as_deref(),
            user_agent = header("user-agent"),
            referrer = header("referer"),
            http_version = exchange.http_version,
            aborted = exchange.aborted.then_some(true),
            "{}",
            if exchange.aborted { "request broken off" } else { "request answered" }
        );
    }
}

fn cleaned(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    clean::push_field(&mut text, value);
    text
}

/// With three digits after the point.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
