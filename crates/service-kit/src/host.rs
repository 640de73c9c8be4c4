//! Runs services: their calls, their background tasks, their end.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use observability::{Health, context};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::grpc::server::{self, Incoming, Listener};
use crate::service::{BackgroundTask, Service};

/// How long calls and tasks in work get to finish.
pub const GRACE: Duration = Duration::from_secs(10);
/// Wait before a task that panicked is started again.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// The services of a process.
#[derive(Clone)]
pub struct Host {
    stop: CancellationToken,
    tracker: TaskTracker,
    health: Health,
    /// What servers may take to move their clients elsewhere, in milliseconds: before the grace period begins.
    drain_ms: Arc<AtomicU64>,
    running: Running,
}

/// What has not ended yet, by name: for the line that says what was cut off.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<Vec<Arc<str>>>>);

impl Running {
    fn names(&self) -> Vec<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs it under its name.
    async fn run_as<F: Future>(self, name: Arc<str>, future: F) -> F::Output {
        struct Ended<'a>(&'a Running, Arc<str>);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                let mut running = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(at) = running.iter().position(|name| *name == self.1) {
                    running.swap_remove(at);
                }
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&name));
        let _ended = Ended(&self, name);
        future.await
    }
}

impl Host {
    /// A host that stops with this token.
    pub fn new(stop: CancellationToken, health: Health) -> Self {
        Self { stop, tracker: TaskTracker::new(), health, drain_ms: Arc::default(), running: Running::default() }
    }

    /// The token that stops it.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Serves a service's calls and runs its tasks. `check_prefix` goes before the names of its health checks.
    pub fn start(&self, service: Service, listener: Listener, check_prefix: &str) {
        for mut check in service.checks {
            check.prefix(check_prefix);
            self.health.add(check);
        }
        for task in service.tasks {
            self.run(service.name, task);
        }
        let (name, stop) = (service.name, self.stop.clone());
        let calls =
            server::serve(service.name, listener, service.routes, Incoming::new(service.authenticator), stop.clone());
        self.spawn(name, async move {
            if let Err(error) = calls.await {
                tracing::error!(service = name, error = %observability::logs::error_chain(&error), "gRPC server failed, stopping");
                stop.cancel();
            }
        });
    }

    /// Runs an HTTP server until the process stops; requests in work are finished.
    pub fn run_http(&self, name: &'static str, server: actix_web::dev::Server) {
        self.run_http_until_drained(name, server, std::future::ready(()), Duration::ZERO);
    }

    /// Runs an HTTP server until the process stops and `drain` is done, `longest` after that at most; meanwhile it serves on, so
    /// that its clients can be moved elsewhere. Then requests in work are finished.
    pub fn run_http_until_drained(
        &self,
        name: &'static str,
        server: actix_web::dev::Server,
        drain: impl Future<Output = ()> + Send + 'static,
        longest: Duration,
    ) {
        self.drain_ms.fetch_max(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let (stop, handle) = (self.stop.clone(), server.handle());
        self.spawn("clients being moved", async move {
            stop.cancelled().await;
            if tokio::time::timeout(longest, drain).await.is_err() {
                tracing::warn!(server = name, "clients were left when the time to move them was over");
            }
            handle.stop(true).await;
        });
        let stop = self.stop.clone();
        self.spawn(name, async move {
            if let Err(error) = server.await {
                tracing::error!(server = name, error = %error, "HTTP server failed, stopping");
            }
            stop.cancel();
        });
    }

    /// Runs a task of a service until it returns; starts it again if it panics.
    pub fn run(&self, service: &'static str, task: BackgroundTask) {
        let stop = self.stop.clone();
        let name = task.name.clone();
        self.spawn(
            &name,
            context::speaking_for(service, async move {
                while AssertUnwindSafe((task.start)()).catch_unwind().await.is_err() && !stop.is_cancelled() {
                    tracing::error!(task = task.name, "a background task panicked and is started again");
                    let _ = tokio::time::timeout(RESTART_WAIT, stop.cancelled()).await;
                }
            }),
        );
    }

    fn spawn(&self, name: &str, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(self.running.clone().run_as(name.into(), work));
    }

    /// Waits for what is in work, [`GRACE`] at most beyond the time that servers have to move their clients; call it after
    /// the stop token was cancelled.
    pub async fn finish(&self) {
        self.finish_within(GRACE + Duration::from_millis(self.drain_ms.load(Ordering::Relaxed))).await;
    }

    /// Waits for what is in work, this long at most; call it after the stop token was cancelled.
    pub async fn finish_within(&self, grace: Duration) {
        self.health.stop();
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_err() {
            tracing::warn!(left = ?self.running.names(), "work in progress was cut off after the grace period");
        }
    }
}

/// Returns when the process is asked to stop: Ctrl-C, or SIGTERM from an orchestrator.
///
/// # Errors
/// When the signals can't be listened to.
pub async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
