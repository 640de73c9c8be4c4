//! A PostgreSQL schema that a test owns, and a door before the server that the test can shut. Other crates' tests include
//! this file, too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use messaging::postgres::sql::{AssertSqlSafe, Connection as _, PgConnectOptions, PgConnection, raw_sql};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
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

    /// Its name.
    #[allow(dead_code, reason = "some of the crates that include this file have no use for it")]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The address of the schema.
    pub(crate) fn url(&self) -> String {
        self.url_on(&self.server)
    }

    fn url_on(&self, server: &str) -> String {
        let separator = if server.contains('?') { '&' } else { '?' };
        format!("{server}{separator}options=-c%20search_path%3D{}", self.name)
    }

    /// The same, by way of a door.
    pub(crate) fn url_through(&self, door: &Door) -> String {
        let (scheme, rest) = self.server.split_once("://").unwrap();
        let (credentials, database) = rest.split_once('@').map_or(("", rest), |(user, rest)| (user, rest));
        let database = database.split_once('/').unwrap().1;
        self.url_on(&format!("{scheme}://{credentials}@{}/{database}", door.address))
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

/// A door before the server: while it is shut connections are refused, and shutting it cuts those that are open, as when
/// the server is killed.
pub(crate) struct Door {
    address: SocketAddr,
    server: Arc<str>,
    open: Option<watch::Sender<()>>,
}

impl Door {
    pub(crate) async fn before(schema: &Schema) -> Self {
        let rest = schema.server.split_once("://").unwrap().1;
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host).split(['/', '?']).next().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut door = Self { address: listener.local_addr().unwrap(), server: host.into(), open: None };
        door.serve(listener);
        door
    }

    pub(crate) fn shut(&mut self) {
        self.open = None;
    }

    /// The same address again.
    pub(crate) async fn open(&mut self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        let listener = loop {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            match socket.bind(self.address).and_then(|()| socket.listen(64)) {
                Ok(listener) => break listener,
                Err(error) => {
                    assert!(tokio::time::Instant::now() < deadline, "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let (open, shut) = watch::channel(());
        self.open = Some(open);
        let server = Arc::clone(&self.server);
        tokio::spawn(async move {
            let mut shutting = shut.clone();
            loop {
                let mut inside = tokio::select! {
                    _ = shutting.changed() => return,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                let (server, mut shutting) = (Arc::clone(&server), shut.clone());
                tokio::spawn(async move {
                    let mut outside = TcpStream::connect(&*server).await.unwrap();
                    tokio::select! {
                        _ = shutting.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut inside, &mut outside) => {}
                    }
                });
            }
        });
    }
}
