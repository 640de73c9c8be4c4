//! A connection that comes back.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use observability::logs::error_chain;
use tokio::sync::watch;

use super::error::AmqpError;

/// Longest time for one attempt to connect, handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Wait after the first failure; doubled by each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// No wait is longer: a broker that is back is found within this time.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The driver tells when a connection ends; this often we look ourselves, should it not.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of the connection.
#[derive(Clone)]
enum State {
    /// The first attempt has not ended.
    Connecting,
    Up(Arc<Connection>),
    /// Why there is none.
    Away(String),
}

/// A connection to the broker, made again with jittered backoff whenever it is lost, until the link is dropped.
pub(super) struct Link {
    state: watch::Receiver<State>,
}

impl Link {
    /// Begins to connect; `name` is how operators see it on the broker.
    pub(super) fn open(uri: AMQPUri, name: &'static str) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        tokio::spawn(supervise(uri, name, sender));
        Self { state }
    }

    /// The connection, waited for until there is one.
    pub(super) async fn wait(&self) -> Arc<Connection> {
        loop {
            let mut state = self.state.clone();
            if let Ok(state) = state.wait_for(|state| matches!(state, State::Up(_))).await
                && let State::Up(connection) = &*state
            {
                return Arc::clone(connection);
            }
            // The supervisor ends only with its runtime; then nobody waits here for long.
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The connection, if there is one; waits only for the end of the very first attempt.
    pub(super) async fn now(&self) -> Result<Arc<Connection>, AmqpError> {
        let mut state = self.state.clone();
        let state = state
            .wait_for(|state| !matches!(state, State::Connecting))
            .await
            .map_err(|_ended| AmqpError::Away("the runtime ends".to_owned()))?;
        match &*state {
            State::Up(connection) => Ok(Arc::clone(connection)),
            State::Away(why) => Err(AmqpError::Away(why.clone())),
            State::Connecting => Err(AmqpError::Away("still connecting".to_owned())),
        }
    }
}

async fn supervise(uri: AMQPUri, name: &'static str, sender: watch::Sender<State>) {
    let mut failures = 0;
    loop {
        let attempt = tokio::select! {
            () = sender.closed() => return,
            attempt = connect(&uri, name) => attempt,
        };
        match attempt {
            Ok(connection) => {
                failures = 0;
                let events = connection.events_listener();
                let connection = Arc::new(connection);
                tracing::info!(name, "connected to the broker");
                sender.send_replace(State::Up(Arc::clone(&connection)));
                let why = tokio::select! {
                    () = sender.closed() => {
                        let _ = connection.close(200, "done".into()).await;
                        return;
                    }
                    why = lost(&connection, events) => why,
                };
                tracing::warn!(name, why, "connection to the broker lost");
                sender.send_replace(State::Away(why));
            }
            Err(error) => {
                let why = error_chain(&error);
                // Said once for each reason; an outage is no reason to fill the log.
                if matches!(&*sender.borrow(), State::Away(before) if *before == why) {
                    tracing::debug!(name, why, failures, "broker still can't be reached");
                } else {
                    tracing::warn!(name, why, "broker can't be reached, trying again");
                }
                sender.send_replace(State::Away(why));
            }
        }
        failures += 1;
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(wait_after(failures)) => {}
        }
    }
}

async fn connect(uri: &AMQPUri, name: &'static str) -> Result<Connection, AmqpError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    match tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri.clone(), properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(cause)) => Err(AmqpError::Broker { doing: "connecting", cause }),
        Err(_elapsed) => Err(AmqpError::TimedOut("connecting")),
    }
}

/// Waits for the end of the connection and says why.
async fn lost(connection: &Connection, events: impl Stream<Item = Event>) -> String {
    let mut events = std::pin::pin!(events);
    let mut last = "closed".to_owned();
    while connection.status().connected() {
        match tokio::time::timeout(LOOK, events.next()).await {
            Ok(Some(Event::Error(error))) => last = error_chain(&error),
            Ok(Some(Event::ConnectionBlocked(why))) => {
                tracing::warn!(why, "the broker takes no messages for now");
            }
            Ok(Some(_)) | Err(_) => {}
            // The driver's side of the stream is gone, and the connection with it.
            Ok(None) => tokio::time::sleep(LOOK).await,
        }
    }
    last
}

/// Between half and all of a wait that doubles with every failure: those who lost the broker together do not come back
/// together.
pub(super) fn wait_after(failures: u32) -> Duration {
    let full = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT);
    let entropy = RandomState::new().hash_one(failures);
    full / 2 + Duration::from_micros(entropy % (full.as_micros() as u64 / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_jittered_and_stay_bounded() {
        for (failures, full_ms) in [(1, 100), (2, 200), (5, 1600), (6, 2000), (u32::MAX, 2000)] {
            let waits: Vec<_> = (0..20).map(|_| wait_after(failures).as_micros()).collect();
            assert!(waits.iter().all(|wait| (full_ms * 500..=full_ms * 1000).contains(wait)), "{failures}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{failures}: {waits:?}");
        }
    }
}
