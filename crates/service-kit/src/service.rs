//! What a service's composition root returns.

use std::sync::Arc;

use futures::future::BoxFuture;
use observability::HealthCheck;
use tonic::service::Routes;

use crate::auth::Authenticator;

/// Work that goes on beside the calls, until the platform stops: relays, consumers, sweepers.
pub struct BackgroundTask {
    /// For the log.
    pub name: String,
    /// Starts it; called again if it panics.
    pub start: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl BackgroundTask {
    /// A task made anew by `start` each time.
    pub fn new<F>(name: impl Into<String>, start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { name: name.into(), start: Box::new(move || Box::pin(start())) }
    }
}

/// A service, built and not yet running.
pub struct Service {
    /// `orders`.
    pub name: &'static str,
    /// Its gRPC services.
    pub routes: Routes,
    /// Tells its callers apart.
    pub authenticator: Arc<Authenticator>,
    /// What it does unasked.
    pub tasks: Vec<BackgroundTask>,
    /// What it depends on.
    pub checks: Vec<HealthCheck>,
}
