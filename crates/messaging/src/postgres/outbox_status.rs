//! How far an outbox in PostgreSQL is behind.

use std::time::Duration;

use async_trait::async_trait;
use sqlx_core::connection::Connection as _;
use sqlx_core::query_as::query_as;
use sqlx_postgres::{PgConnectOptions, PgConnection};

use super::database::{InvalidPostgresUrl, StoreError};
use crate::outbox::OutboxError;
use crate::outbox_status::{OutboxStatus, OutboxStatusSource, Unpublished};

/// The longest that an answer may take, the connection included.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The outbox of a database, which need not be there.
pub struct PostgresOutboxStatus {
    options: PgConnectOptions,
}

/// One row: depth, position and body of the oldest, last published position.
type Row = (i64, Option<i64>, Option<String>, Option<i64>);

impl PostgresOutboxStatus {
    /// The outbox of the database that `url` names; nothing is asked of it yet.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn new(url: &str) -> Result<Self, InvalidPostgresUrl> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(InvalidPostgresUrl);
        }
        let options: PgConnectOptions = url.parse().map_err(|_| InvalidPostgresUrl)?;
        let session = [("default_transaction_read_only", "on"), ("statement_timeout", "3s")];
        Ok(Self { options: options.application_name("souk outbox status").options(session) })
    }

    async fn ask(&self) -> Result<Row, StoreError> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let row = query_as(
            "SELECT (SELECT count(*) FROM outbox), oldest.position, oldest.body,
                 (SELECT max(position) FROM events WHERE position < coalesce(oldest.position, 9223372036854775807))
             FROM (SELECT 1) AS always LEFT JOIN LATERAL (
                 SELECT position, body FROM outbox JOIN events USING (position) ORDER BY position LIMIT 1
             ) AS oldest ON true",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(row)
    }
}

#[async_trait]
impl OutboxStatusSource for PostgresOutboxStatus {
    async fn status(&self) -> Result<OutboxStatus, OutboxError> {
        let asked = tokio::time::timeout(TIMEOUT, self.ask()).await.unwrap_or(Err(StoreError::TimedOut));
        let (depth, position, body, published_to) = asked.map_err(|error| OutboxError(Box::new(error)))?;
        let oldest = position.zip(body).map(|(position, body)| Unpublished::read(position, &body)).transpose()?;
        Ok(OutboxStatus { depth: depth.unsigned_abs(), oldest, published_to })
    }
}
