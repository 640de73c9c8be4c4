//! Sessions, refresh tokens and revocations in SQLite.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::SessionId;

use super::error::SqliteError;
use super::{SqliteStore, effects, rows};
use crate::application::ports::{NewSession, RepositoryError, Rotation, SessionEnd, SessionRepository};
use crate::domain::{RefreshTokenHash, RefreshVerdict, Revocation, User};

/// Most sessions, and most revocations, deleted in one transaction: other writes wait for no longer than that takes.
const FORGET_BATCH: i64 = 100;

#[async_trait]
impl SessionRepository for SqliteStore {
    async fn begin(&self, new: NewSession) -> Result<Option<User>, RepositoryError> {
        let user = self.database.write("begin session", move |connection| {
            let user = rows::find_user(connection, "id = ?1", [new.session.user_id.to_string()])?;
            if user.as_ref().is_some_and(|user| user.ban_reason().is_none()) {
                effects::insert_session(connection, &new)?;
            }
            Ok::<_, SqliteError>(user)
        });
        Ok(user.await?)
    }

    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        successor: RefreshTokenHash,
        now: Timestamp,
        mut on_reuse: SessionEnd,
    ) -> Result<Rotation, RepositoryError> {
        let rotation = self.outbox.write("rotate session", move |connection| {
            let Some(token) = rows::find_token(connection, presented.as_bytes())? else {
                return Ok(Rotation::Refused);
            };
            let mut user = rows::owner(connection, &token.session)?;
            let (user_id, session_id) = (user.id(), token.session.id);
            match token.session.judge(token.was_used, user.ban_reason().is_some(), now) {
                RefreshVerdict::Rotate => {
                    connection
                        .prepare_cached("UPDATE refresh_tokens SET used_at = ?2 WHERE hash = ?1")?
                        .execute((presented.as_bytes(), now.unix_ms()))?;
                    effects::insert_token(connection, successor.as_bytes(), &session_id.to_string())?;
                    Ok(Rotation::Rotated { user, session_id })
                }
                RefreshVerdict::Reuse => {
                    let consequences = on_reuse(&mut user, session_id);
                    effects::keep(connection, &user, &consequences)?;
                    Ok(Rotation::Reused { user_id, session_id })
                }
                RefreshVerdict::Refuse => Ok::<_, SqliteError>(Rotation::Refused),
            }
        });
        Ok(rotation.await?)
    }

    async fn end(
        &self,
        presented: RefreshTokenHash,
        mut on_end: SessionEnd,
    ) -> Result<Option<SessionId>, RepositoryError> {
        let ended = self.outbox.write("end session", move |connection| {
            let token = rows::find_token(connection, presented.as_bytes())?;
            let Some(session) = token.map(|token| token.session).filter(|session| session.revoked_at.is_none()) else {
                return Ok(None);
            };
            let mut user = rows::owner(connection, &session)?;
            let consequences = on_end(&mut user, session.id);
            effects::keep(connection, &user, &consequences)?;
            Ok::<_, SqliteError>(Some(session.id))
        });
        Ok(ended.await?)
    }

    async fn list_revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, RepositoryError> {
        let revocations = self.database.read("list revocations", move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, user_id, session_id, not_before, expires_at FROM revocations
                 WHERE expires_at > ?1 ORDER BY expires_at, id",
            )?;
            let mut rows = statement.query([now.unix_ms()])?;
            let mut revocations = Vec::new();
            while let Some(row) = rows.next()? {
                let (user, session): (String, Option<String>) = (row.get(1)?, row.get(2)?);
                let (user_id, session_id) = rows::revoked_ids(row.get(0)?, &user, session.as_deref())?;
                let (not_before, expires_at) =
                    (Timestamp::from_unix_ms(row.get(3)?), Timestamp::from_unix_ms(row.get(4)?));
                revocations.push(Revocation { user_id, session_id, not_before, expires_at });
            }
            Ok::<_, SqliteError>(revocations)
        });
        Ok(revocations.await?)
    }

    async fn forget_expired(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        let forgotten = self.database.write("forget sessions", move |connection| {
            let bounds = (now.unix_ms(), FORGET_BATCH);
            // Their refresh tokens go with them.
            let sessions = connection
                .prepare_cached(
                    "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= ?1 LIMIT ?2)",
                )?
                .execute(bounds)?;
            let revocations = connection
                .prepare_cached(
                    "DELETE FROM revocations WHERE id IN (SELECT id FROM revocations WHERE expires_at <= ?1 LIMIT ?2)",
                )?
                .execute(bounds)?;
            Ok::<_, SqliteError>(sessions + revocations)
        });
        Ok(forgotten.await?)
    }
}
