//! Ends connections whose token no longer counts: at once when something about the user's access changed, and by looking
//! at all of them again and again.

use std::time::Duration;

use contracts::ids::UserId;
use serde_json::json;
use socketio::Socket;
use tokio_util::sync::CancellationToken;

use super::Desk;
use super::authenticate::INVALID;
use super::session::{Connected, Session};

/// How often every connection is looked at: a socket outlives its token by this much at most. The looks cost no call.
pub const RECHECK: Duration = Duration::from_secs(10);
/// So long before its token expires, a client is reminded to renew it.
const REMIND_BEFORE: Duration = Duration::from_mins(1);

/// Looks at every connection until `stop` is cancelled.
pub async fn run(desk: Desk, stop: CancellationToken) {
    while !stop.is_cancelled() {
        for connected in desk.sessions.all() {
            look_at(&desk, &connected);
        }
        let _ = tokio::time::timeout(RECHECK, stop.cancelled()).await;
    }
}

/// Something about a user's access changed.
pub fn access_changed(desk: &Desk, user: UserId) {
    for connected in desk.sessions.of(user) {
        look_at(desk, &connected);
    }
}

/// Something about somebody's access may have changed.
pub fn access_of_all_changed(desk: &Desk) {
    for connected in desk.sessions.all() {
        look_at(desk, &connected);
    }
}

fn look_at(desk: &Desk, connected: &Connected) {
    let caller = connected.session.caller();
    let left = caller.user().expires_at.since(desk.clock.now());
    if desk.access.is_revoked(caller.user()) || left.is_zero() {
        tracing::info!(user.id = %caller.id(), expired = left.is_zero(), "a client's token no longer counts: disconnected");
        end(&connected.socket);
    } else if left <= REMIND_BEFORE && connected.session.is_first_reminder() {
        let reminder = json!({ "expires_at": caller.user().expires_at });
        let _ = connected.socket.emit_local("auth:expiring", &reminder);
    }
}

/// Tells the client why, and disconnects it. It does not come back by itself, and its session is over.
pub fn end(socket: &Socket) {
    // Whoever finds out next finds it told.
    if Session::of(socket).is_some_and(|session| !session.is_first_end()) {
        return;
    }
    let _ = socket.emit_local("auth:revoked", &json!({ "message": INVALID }));
    socket.disconnect(false);
}
