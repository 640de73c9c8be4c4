//! Connections to Redis, and when to try for another.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, aio::MultiplexedConnection,
};
use tokio::{sync::Mutex, time::Instant};

use super::{
    scripts::{self, StreamState},
    stats::Counters,
};
use crate::{Offset, adapter::AdapterError};

/// Longest wait for a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for an answer: above a slow fsync of the append-only file.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait before the second attempt; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// Longest wait between attempts: a Redis that comes back is used about that soon.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How long to wait between attempts.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST_WAIT }
    }

    pub(super) fn reset(&mut self) {
        self.next = FIRST_WAIT;
    }

    /// The next wait, with a jitter, so that the nodes of a cluster don't come all at once.
    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next.mul_f64(rand::random_range(0.5..1.0));
        self.next = (self.next * 2).min(LONGEST_WAIT);
        wait
    }
}

/// A new connection that knows the scripts.
pub(super) async fn connect(client: &Client, response_timeout: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(response_timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    scripts::load(&mut connection).await?;
    Ok(connection)
}

/// One connection shared by all that doesn't block; it comes back by itself.
pub(super) struct Link {
    client: Client,
    state: Mutex<State>,
}

struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections.
    number: u64,
    backoff: Backoff,
    not_before: Instant,
    last_error: String,
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failed {
    /// There was no connection: nothing was sent.
    NotSent(String),
    /// It was sent, and may have been done.
    InDoubt(String),
    /// Redis refused.
    Refused(RedisError),
}

impl From<Failed> for AdapterError {
    fn from(failed: Failed) -> Self {
        Self::Unavailable(match failed {
            Failed::NotSent(error) | Failed::InDoubt(error) => error,
            Failed::Refused(error) => error.to_string(),
        })
    }
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        let state = State {
            connection: None,
            number: 0,
            backoff: Backoff::new(),
            not_before: Instant::now(),
            last_error: String::new(),
        };
        Self { client, state: Mutex::new(state) }
    }

    /// The connection and its number. Fails at once where an attempt failed a moment ago.
    async fn get(&self, counters: &Counters) -> Result<(MultiplexedConnection, u64), Failed> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((connection.clone(), state.number));
        }
        if Instant::now() < state.not_before {
            return Err(Failed::NotSent(state.last_error.clone()));
        }
        match connect(&self.client, RESPONSE_TIMEOUT).await {
            Ok(connection) => {
                state.connection = Some(connection.clone());
                state.number += 1;
                state.backoff.reset();
                Ok((connection, state.number))
            }
            Err(error) => {
                counters.connection_failures.add(1);
                state.last_error = error.to_string();
                state.not_before = Instant::now() + state.backoff.wait();
                Err(Failed::NotSent(error.to_string()))
            }
        }
    }

    async fn judge(&self, number: u64, error: RedisError, counters: &Counters) -> Failed {
        let refused = matches!(error.kind(), redis::ErrorKind::Server(_) | redis::ErrorKind::UnexpectedReturnType);
        // A primary that became a replica: another one has the data now. Forgotten scripts come with the next connection.
        let useless = error.code() == Some("READONLY") || scripts::is_unknown(&error);
        if !refused || useless {
            counters.connection_failures.add(1);
            let mut state = self.state.lock().await;
            if state.number == number {
                state.connection = None;
            }
        }
        if refused { Failed::Refused(error) } else { Failed::InDoubt(error.to_string()) }
    }

    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd, counters: &Counters) -> Result<T, Failed> {
        for attempt in 0.. {
            let (mut connection, number) = self.get(counters).await?;
            match command.query_async(&mut connection).await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let again = attempt == 0 && scripts::is_unknown(&error);
                    let failed = self.judge(number, error, counters).await;
                    if !again {
                        return Err(failed);
                    }
                }
            }
        }
        unreachable!("the loop has no other end")
    }

    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
        counters: &Counters,
    ) -> Result<T, Failed> {
        let (mut connection, number) = self.get(counters).await?;
        match pipeline.query_async(&mut connection).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.judge(number, error, counters).await),
        }
    }

    /// What the stream holds.
    pub(super) async fn state_of(
        &self,
        stream: &str,
        offset: Offset,
        counters: &Counters,
    ) -> Result<StreamState, Failed> {
        let answer = self.command(&scripts::state_command(stream, offset), counters).await?;
        StreamState::from_answer(answer).map_err(Failed::Refused)
    }

    /// The scripts are not known any more.
    pub(super) async fn forget(&self) {
        self.state.lock().await.connection = None;
    }
}
