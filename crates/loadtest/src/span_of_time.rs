//! Durations as people write them.

use std::time::Duration;

/// Reads `500ms`, `10s`, `2.5m` or `1h`; more than nothing, at most a day.
///
/// # Errors
/// What to write instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * seconds)
    });
    seconds
        .filter(|seconds| (0.001..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "write 500ms, 10s, 2m or 1h; a day is the most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("2.5m", 150_000), ("1h", 3_600_000)] {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "10", "s", "-1s", "0s", "NaNs", "infs", "25h", "1d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
