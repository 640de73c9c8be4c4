//! The time that a request has left, carried through the task and to every neighbour as `grpc-timeout`.
//!
//! Source: gRPC over HTTP/2, "Timeout".

use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// The longest a call takes when nobody set a deadline.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a future that must be done within `timeout`; calls it makes inherit what is left.
pub fn within<F: Future>(timeout: Duration, future: F) -> impl Future<Output = F::Output> {
    DEADLINE.scope(Instant::now() + timeout, future)
}

/// The time left, [`DEFAULT_TIMEOUT`] when nobody set a deadline.
pub fn remaining() -> Duration {
    DEADLINE.try_with(|deadline| deadline.saturating_duration_since(Instant::now())).unwrap_or(DEFAULT_TIMEOUT)
}

/// Reads a `grpc-timeout` value: at most eight digits and a unit.
pub fn parse_header(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_hours(number),
        "M" => Duration::from_mins(number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        assert_eq!(parse_header("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_header("5S"), Some(Duration::from_secs(5)));
        for bad in ["", "S", "5", "5x", "-5S", "123456789S", "5 S"] {
            assert_eq!(parse_header(bad), None, "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_shrinks_as_time_passes() {
        within(Duration::from_secs(3), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(remaining(), Duration::from_secs(2));
        })
        .await;
    }
}
