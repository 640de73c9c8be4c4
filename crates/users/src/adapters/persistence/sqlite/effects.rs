//! A changed user and what goes with it, inside the caller's transaction.

use messaging::outbox;
use rusqlite::Connection;

use super::error::SqliteError;
use super::rows;
use crate::application::effects::{Effects, EndedSessions};
use crate::application::ports::NewSession;
use crate::domain::User;

/// Writes the user and the effects.
pub(super) fn keep(connection: &Connection, user: &User, effects: &Effects) -> Result<(), SqliteError> {
    rows::update_user(connection, user)?;
    if let Some(revocation) = &effects.revocation {
        connection
            .prepare_cached(
                "INSERT INTO revocations (user_id, session_id, not_before, expires_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((
                revocation.user_id.to_string(),
                revocation.session_id.map(|id| id.to_string()),
                revocation.not_before.unix_ms(),
                revocation.expires_at.unix_ms(),
            ))?;
    }
    match effects.ended {
        EndedSessions::None => {}
        EndedSessions::One(id, at) => {
            connection
                .prepare_cached("UPDATE sessions SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
                .execute((id.to_string(), at.unix_ms()))?;
        }
        EndedSessions::All(at) => {
            connection
                .prepare_cached("UPDATE sessions SET revoked_at = ?2 WHERE user_id = ?1 AND revoked_at IS NULL")?
                .execute((user.id().to_string(), at.unix_ms()))?;
        }
    }
    for event in &effects.events {
        outbox::append(connection, event)?;
    }
    Ok(())
}

/// Writes a session and its first refresh token.
pub(super) fn insert_session(connection: &Connection, new: &NewSession) -> Result<(), SqliteError> {
    let session = &new.session;
    connection
        .prepare_cached("INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute((
            session.id.to_string(),
            session.user_id.to_string(),
            session.created_at.unix_ms(),
            session.expires_at.unix_ms(),
        ))?;
    insert_token(connection, new.token.as_bytes(), &session.id.to_string())
}

/// Writes a refresh token that is good.
pub(super) fn insert_token(connection: &Connection, hash: &[u8; 32], session_id: &str) -> Result<(), SqliteError> {
    connection
        .prepare_cached("INSERT INTO refresh_tokens (hash, session_id) VALUES (?1, ?2)")?
        .execute((hash, session_id))?;
    Ok(())
}
