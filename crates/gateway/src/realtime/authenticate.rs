//! Who may connect, and as whom. A client shows its access token in the CONNECT packet (`auth.token`), else in the query
//! (`token`) or an `Authorization` header, else in a cookie that counts (docs/adr/0027-cookies-of-browsers.md).
//!
//! Refusals reach the client as `connect_error`, with one of four messages and the reason of docs/errors.md in `data`.

use std::sync::Arc;
use std::time::Duration;

use contracts::{Reason, Refusal, Role};
use observability::RequestContext;
use serde_json::Value;
use service_kit::grpc::deadline;
use socketio::handler::{Auth, State};
use socketio::{ConnectError, Socket};

use super::reply;
use super::{Desk, Session, session};
use crate::extract::Caller;
use crate::extract::authenticated::BANNED;
use crate::extract::credentials::HEADERS;

/// No token was shown.
pub const REQUIRED: &str = "Authentication required";
/// The token does not verify, has expired or was revoked.
pub const INVALID: &str = "Invalid token";
/// The user may not connect: they are banned.
pub const NOT_AUTHORIZED: &str = "User not authorized";
/// `/admin` is for admins.
pub const ADMIN_REQUIRED: &str = "Admin access required";

/// By then a connection that is closed is closed, and the refusal reaches nobody.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// Lets in who shows a good token, into the namespace `/`.
///
/// # Errors
/// What the client is told.
pub async fn anybody(socket: Socket, auth: Option<Auth<Value>>, State(desk): State<Desk>) -> Result<(), ConnectError> {
    admit(&socket, auth, &desk, None).await
}

/// Lets in admins alone, into `/admin`.
///
/// # Errors
/// What the client is told.
pub async fn admins(socket: Socket, auth: Option<Auth<Value>>, State(desk): State<Desk>) -> Result<(), ConnectError> {
    admit(&socket, auth, &desk, Some(Role::Admin)).await
}

async fn admit(
    socket: &Socket,
    auth: Option<Auth<Value>>,
    desk: &Desk,
    role: Option<Role>,
) -> Result<(), ConnectError> {
    let auth = auth.map(|Auth(auth)| auth).unwrap_or_default();
    let token = token(desk, socket, &auth).map_err(|refusal| refuse(&refusal))?;
    let caller = match verify(desk, &token).await {
        Ok(caller) => caller,
        Err(refusal) if is_passing(&refusal) => return Err(send_away(socket, &refusal).await),
        Err(refusal) => return Err(refuse(&refusal)),
    };
    if role.is_some_and(|role| !caller.user().has(role)) {
        return Err(refuse_with(ADMIN_REQUIRED, &Refusal::new(Reason::NotAllowed, ADMIN_REQUIRED)));
    }
    // Sessions are recovered for the same user alone.
    socket.set_user(caller.id().to_string());
    socket.join(session::room_of(caller.id()));
    socket.insert_extension(Session::new(caller));
    Ok(())
}

/// The token may be good: this gateway can't tell now, as when it has just started.
fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.reason, Reason::Unavailable | Reason::DeadlineExceeded | Reason::Internal)
}

/// Has the client come again by itself. A client that is refused gives up; one that loses its connection does not.
async fn send_away(socket: &Socket, refusal: &Refusal) -> ConnectError {
    socket.disconnect(true);
    tokio::time::sleep(CLOSED_WITHIN).await;
    refuse(refusal)
}

/// The user that a token stands for, within the time of one event.
///
/// # Errors
/// As [`crate::extract::Access::verify`].
pub async fn verify(desk: &Desk, token: &str) -> Result<Caller, Refusal> {
    let verifying = deadline::within(desk.answer_within, desk.access.verify(token));
    RequestContext::current_or_background().in_service("gateway").scope(verifying).await
}

fn token(desk: &Desk, socket: &Socket, auth: &Value) -> Result<Arc<str>, Refusal> {
    match auth.get("token") {
        None | Some(Value::Null) => {}
        Some(Value::String(token)) if token.is_empty() => {}
        Some(Value::String(token)) => return Ok(bare(token).into()),
        Some(_) => return Err(Refusal::new(Reason::InvalidToken, "auth.token is no text")),
    }
    let handshake = socket.handshake();
    let query = handshake.query("token").filter(|token| !token.is_empty());
    let headers: Vec<_> = handshake.headers().filter(|(name, _)| HEADERS.contains(name)).collect();
    let found = desk.access.credentials(headers.iter().copied(), query.as_deref().map(bare))?;
    let missing = || Refusal::new(Reason::AuthenticationRequired, REQUIRED);
    found.map(|credentials| credentials.token.as_ref().into()).ok_or_else(missing)
}

/// A token without the scheme that some clients put before it.
pub(super) fn bare(token: &str) -> &str {
    token
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or(token, |(_, token)| token.trim())
}

fn refuse(refusal: &Refusal) -> ConnectError {
    if refusal.metadata.contains_key(BANNED) {
        return refuse_with(NOT_AUTHORIZED, &Refusal::new(Reason::AccountBanned, Reason::AccountBanned.title()));
    }
    let message = match refusal.reason {
        Reason::AuthenticationRequired => REQUIRED,
        Reason::Unavailable | Reason::DeadlineExceeded | Reason::Internal => refusal.reason.title(),
        _ => INVALID,
    };
    refuse_with(message, refusal)
}

fn refuse_with(message: &str, refusal: &Refusal) -> ConnectError {
    ConnectError::new(message).with_data(reply::describe(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_come_with_its_scheme() {
        assert_eq!(bare("abc.def.ghi"), "abc.def.ghi");
        assert_eq!(bare("Bearer abc.def.ghi"), "abc.def.ghi");
        assert_eq!(bare("Basic abc"), "Basic abc");
    }
}
