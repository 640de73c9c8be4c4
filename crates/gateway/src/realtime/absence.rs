//! Whether a client that is gone stays away: one that lost its connection is usually back in a moment.

use std::time::Duration;

use socketio::{DisconnectReason, Socket};

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
