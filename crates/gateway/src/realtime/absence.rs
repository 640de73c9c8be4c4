//! Whether a client that is gone stays away: one that lost its connection is usually back in a moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use socketio::handler::{Data, State};
use socketio::{DisconnectReason, Socket};
use tokio::time::Instant;

use super::Desk;

/// By this gateways tell each other that a client was said to have left.
pub const EVENT: &str = "absent";
/// Longer than a client may take to come back to its session.
const KEPT: Duration = Duration::from_mins(4);

/// Clients that were said to have left; the others are told when they come back to their session after all.
#[derive(Default)]
pub struct Absent(Mutex<HashMap<String, Instant>>);

impl Absent {
    fn note(&self, sid: &str) {
        let mut absent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        absent.retain(|_, since| now.duration_since(*since) < KEPT);
        absent.insert(sid.to_owned(), now);
    }

    /// Whether this client was said to have left; it is not absent any more.
    pub fn is_back(&self, sid: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(sid).is_some()
    }
}

/// A client is about to be said to have left: every gateway is to know, since it may come back to any.
pub fn tell(desk: &Desk, socket: &Socket) {
    let sid = socket.id();
    desk.absent.note(sid.as_str());
    if let Err(error) = socket.everyone().server_side_emit(EVENT, sid.as_str()) {
        tracing::error!(%error, "other gateways can't be told who is absent");
    }
}

/// Another gateway told so.
pub async fn heard(Data(sid): Data<String>, State(desk): State<Desk>) {
    desk.absent.note(&sid);
}

/// So long a client that lost its connection is not said to have left.
const ABSENCE: Duration = Duration::from_secs(5);

/// Waits for a client that may come back. Whether it has left for good.
pub async fn is_for_good(socket: &Socket, reason: DisconnectReason) -> bool {
    !(reason.is_recoverable() && comes_back(socket).await)
}

/// Whether a client that lost its connection has its socket back after a while, here or at another gateway.
async fn comes_back(socket: &Socket) -> bool {
    tokio::time::sleep(ABSENCE).await;
    let same = socket.everyone().to(socket.id().as_str()).fetch_sockets().await;
    // Who can't be asked is not said to have left.
    same.map_or(true, |sockets| !sockets.is_empty())
}
