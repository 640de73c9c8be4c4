//! A database of a service: found by its address, made ready before its first use.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;
use mongodb::error::Error;
use mongodb::options::{ClientOptions, ReadConcern, ServerAddress, WriteConcern};
use mongodb::{Client, Collection, Database};
use observability::db::{self, StoreFault, System};
use tokio::sync::OnceCell;

use super::error::MongoError;
use super::handoff::Handoff;
use super::indexes::make_indexes;
use super::pool::{DRIVERS_MAX, PoolEvents};
use super::positions::{self, Positions};
use super::writing::Writing;
use super::{CollectionPlan, outbox};

/// How long to look for a server: shorter than a health check may take, so that it can tell what is wrong.
const SELECTION_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one operation of a port may take with all its tries. A caller's own deadline may be shorter.
const OPERATION_DEADLINE: Duration = Duration::from_secs(10);
/// The same of one that only looks: nobody waits at the other end of a request.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);
/// MongoDB 8.0's, <https://github.com/mongodb/specifications/blob/master/source/wireversion-featurelist/wireversion-featurelist.md>.
const WIRE_VERSION: i32 = 25;

/// The address is none that this build can use. Its text is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected mongodb://[user:password@]host[:port][,…]/[database][?options], the password percent-encoded; mongodb+srv:// is not supported"
)]
pub struct InvalidMongoUrl;

/// A database; clones share it. It connects when it is used, and again by itself after the server was away.
#[derive(Clone)]
pub struct MongoDatabase {
    client: Client,
    calls: db::Client,
    database: Database,
    plan: Arc<[CollectionPlan]>,
    ready: Arc<OnceCell<()>>,
    handoff: Arc<Handoff>,
    positions: Arc<Positions>,
    process: ObjectId,
}

impl MongoDatabase {
    /// The database that the address names, `default_name` if it names none. Asks no server.
    ///
    /// # Errors
    /// [`InvalidMongoUrl`].
    pub async fn open(url: &str, default_name: &str, mut plan: Vec<CollectionPlan>) -> Result<Self, InvalidMongoUrl> {
        let mut options = ClientOptions::parse(url).await.map_err(|_| InvalidMongoUrl)?;
        let name = options.default_database.clone().unwrap_or_else(|| default_name.to_owned());
        options.app_name.get_or_insert_with(|| format!("souk-{default_name}"));
        options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        // Not the operator's to lower: what was answered must survive the loss of any one server.
        options.write_concern = Some(WriteConcern::majority());
        options.read_concern = Some(ReadConcern::majority());
        options.selection_criteria = None;
        let calls = calls_of(&name, default_name, &options);
        let (pool, max) = (Arc::new(PoolEvents::default()), options.max_pool_size.unwrap_or(DRIVERS_MAX));
        options.cmap_event_handler = Some(pool.handler(calls.clone()));
        let watched = Arc::downgrade(&pool);
        calls.watch_pool(move || Some(watched.upgrade()?.state(max)));
        let client = Client::with_options(options).map_err(|_| InvalidMongoUrl)?;
        plan.extend(outbox::plan());
        let database = client.database(&name);
        Ok(Self {
            client,
            calls,
            database,
            plan: plan.into(),
            ready: Arc::default(),
            handoff: Arc::default(),
            positions: Arc::default(),
            process: ObjectId::new(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.database.name()
    }

    /// A collection, for reads by [`MongoDatabase::within`] and for transactions.
    pub fn collection<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        self.database.collection(name)
    }

    /// Runs an operation: after the database was made ready, and not for ever. `name` is what telemetry calls it: one of few,
    /// such as `save contact`.
    ///
    /// # Errors
    /// [`MongoError`] when the server is away or unsuitable, else as the operation.
    pub async fn within<T, E>(
        &self,
        name: &'static str,
        operation: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E>
    where
        E: From<MongoError> + StoreFault,
    {
        // The driver's futures are large, and would lie in each of the layers here.
        let operation = Box::pin(operation);
        let all = async {
            self.make_ready().await?;
            operation.await
        };
        let limited = async {
            match tokio::time::timeout(OPERATION_DEADLINE, all).await {
                Ok(result) => result,
                Err(_) => Err(MongoError::TimedOut.into()),
            }
        };
        self.calls.call(name, limited).await
    }

    /// Runs reads alone, and not for ever. Nothing is made ready: a database that is only looked at stays as it is.
    ///
    /// # Errors
    /// As [`MongoDatabase::within`].
    pub async fn look<T, E>(&self, operation: impl Future<Output = Result<T, E>> + Send) -> Result<T, E>
    where
        E: From<MongoError>,
    {
        match tokio::time::timeout(LOOK_DEADLINE, operation).await {
            Ok(result) => result,
            Err(_) => Err(MongoError::TimedOut.into()),
        }
    }

    /// Begins a write; see [`Writing`].
    pub fn write(&self) -> Writing<'_> {
        Writing::new(&self.client, self)
    }

    /// Answers when the primary is there and has transactions.
    ///
    /// # Errors
    /// [`MongoError`], saying why not.
    pub async fn ping(&self) -> Result<(), MongoError> {
        self.make_ready().await?;
        self.check_server().await
    }

    pub(super) fn inner(&self) -> &Database {
        &self.database
    }

    pub(super) fn positions(&self) -> &Positions {
        &self.positions
    }

    pub(super) fn handoff(&self) -> &Handoff {
        &self.handoff
    }

    /// By this processes know what they appended themselves.
    pub(super) fn process(&self) -> ObjectId {
        self.process
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Looks at the server, makes collections and indexes; once, when it succeeds.
    async fn make_ready(&self) -> Result<(), MongoError> {
        self.ready.get_or_try_init(|| self.prepare()).await.copied()
    }

    async fn prepare(&self) -> Result<(), MongoError> {
        self.check_server().await?;
        for planned in self.plan.iter() {
            match self.database.create_collection(planned.name).await {
                Err(error) if !MongoError::is_namespace_exists(&error) => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
            make_indexes(&self.collection(planned.name), &planned.indexes).await?;
        }
        positions::prepare(self).await?;
        tracing::info!(database = self.name(), "the MongoDB database is ready");
        Ok(())
    }

    /// Transactions are had from replica sets (`setName`) and from routers of sharded clusters (`msg`), with sessions.
    async fn check_server(&self) -> Result<(), MongoError> {
        let hello = self
            .client
            .database("admin")
            .run_command(doc! { "hello": 1 })
            .await
            .map_err(|error: Error| MongoError::from(error))?;
        let is_router = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        if !is_router && !hello.contains_key("setName") {
            return Err(MongoError::Unsuitable(
                "this MongoDB server has no transactions: it is not a member of a replica set (start it with --replSet; a \
                 single node will do)",
            ));
        }
        if !hello.contains_key("logicalSessionTimeoutMinutes") {
            return Err(MongoError::Unsuitable("this MongoDB server has no sessions, so it has no transactions"));
        }
        if hello.get_i32("maxWireVersion").unwrap_or(0) < WIRE_VERSION {
            return Err(MongoError::Unsuitable("this MongoDB server is older than 8.0, which Souk needs (bulkWrite)"));
        }
        if !hello.get_bool("isWritablePrimary").or_else(|_| hello.get_bool("ismaster")).unwrap_or(false) {
            return Err(MongoError::Unsuitable(
                "this MongoDB server is not the primary; name the replica set in the address instead of this one node",
            ));
        }
        Ok(())
    }
}

/// What telemetry calls the database. Of several servers the first of the address stands for all.
fn calls_of(name: &str, service: &str, options: &ClientOptions) -> db::Client {
    let calls = db::Client::new(System::Mongodb, name).owned_by(service);
    match options.hosts.first() {
        Some(ServerAddress::Tcp { host, port }) => calls.at(host, port.unwrap_or(27017)),
        _ => calls,
    }
}
