//! What a service waits for before it can serve: told on its internal port while it waits.

use std::sync::{Arc, Mutex, PoisonError};

use observability::{Health, HealthCheck};

/// The health check that is down until the service is built.
const CHECK: &str = "starting";

tokio::task_local! {
    static CURRENT: Startup;
}

/// A service on its way to serving. Clones share it.
#[derive(Clone)]
pub struct Startup {
    waits_for: Arc<Mutex<String>>,
    watched: Arc<Mutex<Vec<String>>>,
    health: Health,
}

impl Startup {
    /// From now on the process is not ready, until [`Startup::done`].
    pub fn begin(health: &Health) -> Self {
        let waits_for = Arc::new(Mutex::new("being put together".to_owned()));
        let told = Arc::clone(&waits_for);
        health.add(HealthCheck::critical(CHECK, move || {
            let reason = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
            async move { Err(reason) }
        }));
        Self { waits_for, watched: Arc::default(), health: health.clone() }
    }

    /// Also reports this dependency while the service starts, as `starting.<name>`: the service's own checks come with it
    /// once it is built.
    pub fn watch(&self, mut check: HealthCheck) {
        check.prefix("starting.");
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(check.name().to_owned());
        self.health.add(check);
    }

    /// The service is built: its own checks, added before, decide from now on.
    pub fn done(&self) {
        self.health.remove(CHECK);
        for name in self.watched.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.health.remove(&name);
        }
    }

    /// Runs what builds the service: [`waits_for`] inside it speaks of this start.
    pub async fn scope<F: Future>(self, building: F) -> F::Output {
        CURRENT.scope(self, building).await
    }
}

/// Says what the service that is being built waits for, such as a store that is away, and why. Without effect elsewhere.
pub fn waits_for(what: impl Into<String>) {
    let _ = CURRENT.try_with(|startup| {
        *startup.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_is_told_until_the_service_is_built() {
        let health = Health::default();
        let startup = Startup::begin(&health);
        startup.watch(HealthCheck::optional("broker", || async { Err("away".to_owned()) }));
        startup
            .clone()
            .scope(async {
                waits_for("the store of accounts: refused");
                let report = health.ready().await;
                assert!(!report.serving);
                assert_eq!(report.checks["starting"].error.as_deref(), Some("the store of accounts: refused"));
                assert_eq!(report.checks["starting.broker"].error.as_deref(), Some("away"));
            })
            .await;
        startup.done();
        let report = health.ready().await;
        assert!(report.serving && report.checks.is_empty(), "{report:?}");
    }
}
