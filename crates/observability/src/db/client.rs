//! One store, as an adapter sees it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;

use crate::context;
use crate::spent::Dependency;

use super::call::Call;
use super::fault::StoreFault;
use super::meters::Meters;
use super::pool::{self, PoolState};

/// What kind of store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgresql,
    /// MongoDB.
    Mongodb,
    /// Redis.
    Redis,
}

impl System {
    /// Its name in the semantic conventions (`db.system.name`), and the label `system` of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgresql => "postgresql",
            Self::Mongodb => "mongodb",
            Self::Redis => "redis",
        }
    }

    const fn dependency(self) -> Dependency {
        match self {
            Self::Sqlite | Self::Postgresql => Dependency::Sql,
            Self::Mongodb => Dependency::Mongo,
            Self::Redis => Dependency::Redis,
        }
    }
}

/// A store that calls are made to; clones are the same.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    system: System,
    namespace: Arc<str>,
    owner: Arc<str>,
    server: Option<(Arc<str>, u16)>,
    counts_as: Dependency,
    has_spans: bool,
    meters: Arc<Meters>,
}

impl Client {
    /// A store of this kind. `namespace` is the database's name (`db.namespace`).
    ///
    /// Metrics are in the name of the service that the running task works for; of the one that opens the store, where the
    /// task has none; else of the namespace.
    pub fn new(system: System, namespace: impl Into<Arc<str>>) -> Self {
        let namespace = namespace.into();
        let owner = context::current_service().map_or_else(|| Arc::clone(&namespace), Arc::from);
        let meters = Arc::new(Meters::new(system.name(), Arc::clone(&owner)));
        let counts_as = system.dependency();
        Self(Arc::new(Inner { system, namespace, owner, server: None, counts_as, has_spans: true, meters }))
    }

    /// Opened for this service: the label of its pool, and of calls by tasks that work for none.
    #[must_use]
    pub fn owned_by(mut self, service: &str) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.owner = service.into();
        inner.meters = Arc::new(Meters::new(inner.system.name(), Arc::clone(&inner.owner)));
        self
    }

    /// Reached over the network: `server.address` and `server.port`.
    #[must_use]
    pub fn at(mut self, address: &str, port: u16) -> Self {
        Arc::make_mut(&mut self.0).server = Some((address.into(), port));
        self
    }

    /// Part of a broker: its time counts as [`Dependency::Broker`], and who publishes or consumes has spans already.
    #[must_use]
    pub fn as_broker(mut self) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        (inner.counts_as, inner.has_spans) = (Dependency::Broker, false);
        self
    }

    /// Makes a call: `operation` names what is done, not to what (`find order`), and is one of few. The time counts from
    /// here to the future's end; a future that is dropped before counts, too, as `cancelled`.
    ///
    /// # Errors
    /// What the future returned.
    pub async fn call<T, E: StoreFault>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let call = self.begin(operation);
        let work = pin!(work);
        let outcome = match call.context() {
            Some(context) => context.clone().scope(work).await,
            None => work.await,
        };
        call.end(&outcome);
        outcome
    }

    /// Begins a call that the caller ends by [`Call::end`]: where more becomes known while it runs.
    pub fn begin(&self, operation: &'static str) -> Call<'_> {
        Call::begin(self, operation)
    }

    /// A caller waited this long for a connection, or for its turn to write.
    pub fn waited(&self, wait: Duration) {
        self.0.meters.waited(wait);
    }

    /// Asks for the state of the store's pool when metrics are read, until it answers `None`: the pool is gone. It must not
    /// block.
    pub fn watch_pool(&self, state: impl Fn() -> Option<PoolState> + Send + 'static) {
        pool::watch(&self.0.owner, self.0.system.name(), state);
    }

    pub(super) fn system(&self) -> System {
        self.0.system
    }

    pub(super) fn namespace(&self) -> &str {
        &self.0.namespace
    }

    pub(super) fn counts_as(&self) -> Dependency {
        self.0.counts_as
    }

    pub(super) fn has_spans(&self) -> bool {
        self.0.has_spans
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// What the span of a call begins with.
    pub(super) fn attributes(&self, operation: &'static str) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(8);
        attributes.extend([
            KeyValue::new("db.system.name", self.0.system.name()),
            KeyValue::new("db.namespace", Arc::clone(&self.0.namespace)),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("db.query.summary", operation),
        ]);
        if let Some((address, port)) = &self.0.server {
            attributes.push(KeyValue::new("server.address", Arc::clone(address)));
            attributes.push(KeyValue::new("server.port", i64::from(*port)));
        }
        attributes
    }
}
