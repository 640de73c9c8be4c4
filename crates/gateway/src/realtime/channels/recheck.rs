//! Whether a client may still watch what it watched: asked when its session goes on, and when it shows another token.

use contracts::Role;
use socketio::handler::State;
use socketio::{ConnectError, Socket};

use super::{Channel, LiveUpdates};
use crate::extract::Caller;
use crate::realtime::Session;

/// Has a session that goes on leave the channels that its client may no longer have, before it is sent what it missed there.
///
/// # Errors
/// The client was never let in.
pub async fn recovered(socket: Socket, live: State<LiveUpdates>) -> Result<(), ConnectError> {
    let session = Session::of(&socket).ok_or_else(|| ConnectError::new("the client was never let in"))?;
    live.recheck(&socket, &session.caller()).await;
    Ok(())
}

impl LiveUpdates {
    /// Leaves the channels that the caller may not have, and counts the others as watched.
    ///
    /// An order that can't be asked for now is left, too: a client finds that out by asking for the snapshot again.
    pub async fn recheck(&self, socket: &Socket, caller: &Caller) {
        let watching = self.watching(socket);
        let turn = watching.turn.lock().await;
        let channels: Vec<Channel> = socket.rooms().iter().filter_map(|room| Channel::of_room(room)).collect();
        let orders: Vec<_> = channels.iter().filter(|channel| matches!(channel, Channel::Order(_))).cloned().collect();
        let seen = self.snapshots.read(caller, &orders).await;
        let refused: Vec<&Channel> =
            orders.iter().zip(&seen).filter(|(_, seen)| seen.is_err()).map(|(channel, _)| channel).collect();
        let is_admin = caller.user().roles.contains(&Role::Admin);
        for channel in &channels {
            if refused.contains(&channel) || (*channel == Channel::Dashboard && !is_admin) {
                tracing::info!(%channel, user.id = %caller.id(), "a channel is no longer for this client");
                super::leave(&watching, socket, channel);
            } else {
                self.join(&watching, socket, channel);
            }
        }
        drop(turn);
    }
}
