//! A session that goes on: what its client may have lost the right to while it was away is taken from it first. What was said
//! in a room that it may no longer be in is not sent again.

use contracts::Refusal;
use observability::RequestContext;
use service_kit::grpc::deadline;
use socketio::handler::State;
use socketio::{ConnectError, Socket};

use super::{Desk, Session, chat};

/// Checks the rooms of the session; what can't be checked can't go on, and the client starts over.
///
/// # Errors
/// The session is not recovered; the client connects anew.
pub async fn check(socket: Socket, State(desk): State<Desk>) -> Result<(), ConnectError> {
    let Some(session) = Session::of(&socket) else { return Err("the client was never let in".into()) };
    let checking = deadline::within(desk.answer_within, rooms(&desk, &socket, &session));
    let checked = RequestContext::background().in_service("gateway").scope(checking).await;
    checked.map_err(|refusal| {
        tracing::info!(reason = refusal.reason.as_str(), "the rooms of a session could not be checked: not recovered");
        ConnectError::new(refusal.reason.title())
    })
}

/// Every module whose rooms are bound to a right has its own looked at here.
async fn rooms(desk: &Desk, socket: &Socket, session: &Session) -> Result<(), Refusal> {
    chat::membership::check_recovered(desk, socket, &session.caller()).await
}
