//! Whether the process lives, and whether it is ready to serve.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use serde::Serialize;

use crate::metrics::HEALTH_CHECKS;

/// How long one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a report is good for, so that probes cost nothing however many there are.
const CACHE_TTL: Duration = Duration::from_secs(1);
/// The same for a report of not being ready: recovery should be seen soon.
const BAD_NEWS_TTL: Duration = Duration::from_millis(20);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// One dependency of the process.
#[derive(Clone)]
pub struct HealthCheck {
    name: String,
    critical: bool,
    probe: Probe,
}

impl HealthCheck {
    /// A dependency without which nothing can be served.
    pub fn critical<F>(name: impl Into<String>, probe: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name: name.into(), critical: true, probe: Arc::new(move || Box::pin(probe())) }
    }

    /// A dependency that only some requests need.
    pub fn optional<F>(name: impl Into<String>, probe: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name: name.into(), critical: false, probe: Arc::new(move || Box::pin(probe())) }
    }
}

impl HealthCheck {
    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts the name of the service before the check's own, where several share a process.
    pub fn prefix(&mut self, prefix: &str) {
        self.name.insert_str(0, prefix);
    }
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// `up` or `down`.
    pub status: &'static str,
    /// How long it took, such as `5ms`.
    pub latency: String,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What `/health/ready` answers.
#[derive(Clone, Debug, Serialize)]
pub struct ReadyReport {
    /// `ready`, or `degraded` when any check is down.
    pub status: &'static str,
    /// When it was found, RFC 3339.
    pub timestamp: String,
    /// By name.
    pub checks: BTreeMap<String, CheckReport>,
    /// Whether requests should be sent here: false when a critical check is down or the process is stopping.
    #[serde(skip)]
    pub serving: bool,
}

/// The checks of a process; clones share them.
#[derive(Clone, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    checks: Mutex<Vec<HealthCheck>>,
    cached: Mutex<Option<(Instant, ReadyReport)>>,
    /// The checks that are down, by name, and since when: a change is told once.
    down: Mutex<HashMap<String, Instant>>,
    stopping: AtomicBool,
}

impl Health {
    /// Adds a check.
    pub fn add(&self, check: HealthCheck) {
        self.inner.checks.lock().unwrap_or_else(PoisonError::into_inner).push(check);
    }

    /// Takes every check of this name away; seen at once.
    pub fn remove(&self, name: &str) {
        {
            let mut checks = self.inner.checks.lock().unwrap_or_else(PoisonError::into_inner);
            checks.retain(|check| check.name != name);
            // Fails when it never ran.
            let _ = HEALTH_CHECKS.remove_label_values(&[name]);
            self.inner.down.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
        *self.inner.cached.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// From now on not ready: the process is stopping, new work should go elsewhere.
    pub fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
        *self.inner.cached.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs all checks at once, each time-limited; a report is reused for a second.
    pub async fn ready(&self) -> ReadyReport {
        if let Some((found, report)) = &*self.inner.cached.lock().unwrap_or_else(PoisonError::into_inner)
            && found.elapsed() < if report.serving { CACHE_TTL } else { BAD_NEWS_TTL }
        {
            return report.clone();
        }
        let report = self.run().await;
        *self.inner.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), report.clone()));
        report
    }

    /// Sets the metric of a check and logs a change, unless it was removed while it ran: then the metric would stay for
    /// ever.
    fn tell(&self, name: &str, result: &Result<(), String>) {
        let checks = self.inner.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if !checks.iter().any(|check| check.name == name) {
            return;
        }
        HEALTH_CHECKS.with_label_values(&[name]).set(result.is_ok().into());
        let mut down = self.inner.down.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                if let Some(since) = down.remove(name) {
                    let down_ms = since.elapsed().as_millis() as u64;
                    tracing::info!(check = name, down_ms, "a health check is up again");
                }
            }
            Err(error) if !down.contains_key(name) => {
                down.insert(name.to_owned(), Instant::now());
                tracing::warn!(check = name, error, "a health check is down");
            }
            Err(_) => {}
        }
    }

    async fn run(&self) -> ReadyReport {
        let checks = self.inner.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = join_all(checks.iter().map(|check| async move {
            let started = Instant::now();
            let result = match tokio::time::timeout(CHECK_TIMEOUT, (check.probe)()).await {
                Ok(result) => result,
                Err(_) => Err("no answer in time".to_owned()),
            };
            (check, started.elapsed(), result)
        }))
        .await;
        let mut serving = !self.inner.stopping.load(Ordering::Relaxed);
        let mut all_up = serving;
        let mut reports = BTreeMap::new();
        for (check, latency, result) in found {
            let up = result.is_ok();
            self.tell(&check.name, &result);
            all_up &= up;
            serving &= up || !check.critical;
            let report = CheckReport {
                status: if up { "up" } else { "down" },
                latency: format!("{}ms", latency.as_millis()),
                error: result.err(),
            };
            reports.insert(check.name.clone(), report);
        }
        ReadyReport {
            status: if all_up { "ready" } else { "degraded" },
            timestamp: crate::logs::now(),
            checks: reports,
            serving,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use tracing::field::{Field, Visit};
    use tracing::subscriber::set_default;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt as _};

    use super::*;

    #[tokio::test]
    async fn an_optional_check_degrades_and_a_critical_one_stops_serving() {
        let health = Health::default();
        health.add(HealthCheck::critical("database", || async { Ok(()) }));
        assert_eq!((health.run().await.status, health.run().await.serving), ("ready", true));
        health.add(HealthCheck::optional("email", || async { Err("away".to_owned()) }));
        assert_eq!((health.run().await.status, health.run().await.serving), ("degraded", true));
        health.add(HealthCheck::critical("broker", || async { Err("away".to_owned()) }));
        assert_eq!((health.run().await.status, health.run().await.serving), ("degraded", false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_down() {
        let health = Health::default();
        health.add(HealthCheck::critical("database", std::future::pending));
        assert_eq!(health.run().await.checks["database"].status, "down");
    }

    #[tokio::test]
    async fn a_check_is_a_series_from_its_first_run_until_it_is_removed() {
        let series = || {
            let text = String::from_utf8(crate::metrics::render()).unwrap();
            text.lines().find(|line| line.contains("\"unit test check\"")).map(str::to_owned)
        };
        let health = Health::default();
        let up = Arc::new(AtomicBool::new(true));
        let now = Arc::clone(&up);
        health.add(HealthCheck::critical("unit test check", move || {
            let up = now.load(Ordering::Relaxed);
            async move { if up { Ok(()) } else { Err("away".to_owned()) } }
        }));
        assert_eq!(series(), None);
        for (is_up, value) in [(true, "1"), (false, "0")] {
            up.store(is_up, Ordering::Relaxed);
            health.run().await;
            assert_eq!(series().unwrap(), format!("health_check_up{{check=\"unit test check\"}} {value}"));
        }
        health.remove("unit test check");
        assert_eq!(series(), None);
    }

    /// Lines, with their levels.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }

    #[tokio::test]
    async fn a_check_that_goes_down_and_comes_back_is_told_once_each() {
        let lines = Lines::default();
        let _listening = set_default(tracing_subscriber::registry().with(lines.clone()));
        let health = Health::default();
        let up = Arc::new(AtomicBool::new(true));
        let now = Arc::clone(&up);
        health.add(HealthCheck::optional("unit test line", move || {
            let up = now.load(Ordering::Relaxed);
            async move { if up { Ok(()) } else { Err("away".to_owned()) } }
        }));
        let run = async |is_up: bool| -> Vec<String> {
            up.store(is_up, Ordering::Relaxed);
            health.run().await;
            std::mem::take(&mut *lines.0.lock().unwrap())
        };
        assert!(run(true).await.is_empty(), "that it is up from the start is nothing to tell");
        let [down] = &run(false).await[..] else { panic!("one line") };
        assert!(down.starts_with("WARN ") && down.contains("a health check is down"), "{down}");
        assert!(down.contains("check=\"unit test line\"") && down.contains("error=\"away\""), "{down}");
        assert!(run(false).await.is_empty(), "it is known");
        let [back] = &run(true).await[..] else { panic!("one line") };
        assert!(back.starts_with("INFO ") && back.contains("up again") && back.contains("down_ms="), "{back}");
        assert!(run(true).await.is_empty());
    }

    #[tokio::test]
    async fn stopping_is_seen_at_once_although_reports_are_cached() {
        let health = Health::default();
        assert!(health.ready().await.serving);
        health.stop();
        assert!(!health.ready().await.serving);
    }
}
