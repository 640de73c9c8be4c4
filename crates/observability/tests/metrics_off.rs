//! In a process of its own: the switch is the whole process's.

use std::time::Duration;

use observability::metrics::{self, Cache, Summary};

#[test]
fn while_metrics_are_off_nothing_is_observed_and_no_series_is_made() {
    let histogram = metrics::histogram("off_seconds", "test", &["label"]);
    let counter = metrics::counter("off_total", "test", &["label"]);
    let summary = Summary::register("off_dollars", "test", &[0.5], Duration::from_mins(1));
    let cache = Cache::new("off");
    let observe = || {
        metrics::observe(&histogram, &["a"], Duration::from_secs(1));
        metrics::count(&counter, &["a"]);
        summary.observe(1.0);
        cache.hit();
    };
    metrics::set_enabled(false);
    observe();
    let text = String::from_utf8(metrics::render()).unwrap();
    assert!(!text.contains("off_seconds_count") && !text.contains("off_total{"), "{text}");
    assert!(text.contains("off_dollars_count 0") && text.contains(r#"cache="off",result="hit"} 0"#), "{text}");
    metrics::set_enabled(true);
    observe();
    let text = String::from_utf8(metrics::render()).unwrap();
    for line in [r#"off_seconds_count{label="a"} 1"#, r#"off_total{label="a"} 1"#, "off_dollars_count 1"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn what_the_process_uses_is_told_under_the_usual_names() {
    let text = String::from_utf8(metrics::render()).unwrap();
    for name in [
        "cpu_seconds_total",
        "resident_memory_bytes",
        "open_fds",
        "max_fds",
        "start_time_seconds",
        "threads",
        "virtual_memory_bytes",
    ] {
        assert!(text.contains(&format!("\nprocess_{name} ")), "{name}: {text}");
    }
}
