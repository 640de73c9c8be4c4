//! A PostgreSQL schema that a test owns, and a door before the server that the test can shut. Other crates' tests include
//! this file, too.

use cut_proxy::CutProxy;
use messaging::postgres::sql::{AssertSqlSafe, Connection as _, PgConnectOptions, PgConnection, raw_sql};
use uuid::Uuid;

/// A schema of its own, dropped with its neighbour of the payment sandbox and everything in it when the test ends, however it ends.
pub(crate) struct Schema {
    server: String,
    name: String,
}

impl Schema {
    pub(crate) async fn create() -> Self {
        let server =
            std::env::var("SOUK_TEST_POSTGRES_URL").expect("SOUK_TEST_POSTGRES_URL names a database for tests");
        let schema = Self { server, name: format!("test_{}", Uuid::new_v4().simple()) };
        schema.as_operator(&format!("CREATE SCHEMA {}", schema.name)).await;
        schema
    }

    /// The address of the schema.
    pub(crate) fn url(&self) -> String {
        self.url_on(&self.server)
    }

    fn url_on(&self, server: &str) -> String {
        let separator = if server.contains('?') { '&' } else { '?' };
        format!("{server}{separator}options=-c%20search_path%3D{}", self.name)
    }

    /// A door before the server, open.
    pub(crate) async fn door(&self) -> CutProxy {
        CutProxy::before(&self.server).await.unwrap()
    }

    /// The same, by way of a door.
    pub(crate) fn url_through(&self, door: &CutProxy) -> String {
        self.url_on(&door.url(&self.server))
    }

    /// A connection beside the adapter, as an operator or an auditor would have.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.url().parse().unwrap()).await.unwrap()
    }

    /// Statements beside the adapter.
    pub(crate) async fn as_operator(&self, sql: &str) {
        self.try_as_operator(sql).await.unwrap();
    }

    /// The same, where they may be refused.
    pub(crate) async fn try_as_operator(&self, sql: &str) -> Result<(), messaging::postgres::sql::Error> {
        raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connect().await).await.map(drop)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // A transaction that the test left open would be in the way for as long as this thread waits.
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
             WHERE relnamespace = '{name}'::regnamespace AND pid <> pg_backend_pid();
             DROP SCHEMA {name} CASCADE; DROP SCHEMA IF EXISTS {name}_sandbox CASCADE",
            name = self.name
        );
        let server = self.server.clone();
        // A runtime of its own: the test's may be ending, or unwinding.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let options: PgConnectOptions = server.parse().unwrap();
                let mut connection = PgConnection::connect_with(&options.options([("lock_timeout", "5s")])).await?;
                raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map(drop)
            })
        });
        let dropped = dropping.join();
        if !std::thread::panicking() {
            dropped.unwrap().unwrap();
        }
    }
}
