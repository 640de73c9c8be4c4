//! Sessions, refresh tokens and revocations in MongoDB.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::SessionId;
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{ClientSession, Collection};

use super::MongoStore;
use super::documents::{RevocationDocument, SessionDocument, TokenDocument, binary, date};
use super::error::StoreError;
use crate::application::ports::{NewSession, RepositoryError, Rotation, SessionEnd, SessionRepository};
use crate::domain::{RefreshTokenHash, RefreshVerdict, Revocation, Session, User};

/// Most sessions, and most revocations, deleted in one step: other writes wait for no longer than that takes.
const FORGET_BATCH: i64 = 100;

#[async_trait]
impl SessionRepository for MongoStore {
    async fn begin(&self, new: NewSession) -> Result<Option<User>, RepositoryError> {
        let beginning = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.try_begin(&mut writing, &new).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("begin session", beginning).await?)
    }

    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        successor: RefreshTokenHash,
        now: Timestamp,
        mut on_reuse: SessionEnd,
    ) -> Result<Rotation, RepositoryError> {
        let rotating = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.try_rotate(&mut writing, presented, successor, now, &mut on_reuse).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("rotate session", rotating).await?)
    }

    async fn end(
        &self,
        presented: RefreshTokenHash,
        mut on_end: SessionEnd,
    ) -> Result<Option<SessionId>, RepositoryError> {
        let ending = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.try_end(&mut writing, presented, &mut on_end).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("end session", ending).await?)
    }

    async fn list_revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, RepositoryError> {
        let list = async {
            let current = doc! { "expires_at": { "$gt": date(now) } };
            let found = self.revocations().find(current).sort(doc! { "expires_at": 1, "_id": 1 }).await?;
            let documents: Vec<RevocationDocument> = found.try_collect().await?;
            documents.into_iter().map(RevocationDocument::into_revocation).collect::<Result<_, StoreError>>()
        };
        Ok(self.database.within("list revocations", list).await?)
    }

    async fn forget_expired(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        let forget = async {
            // Tokens first: one that is left without its session is refused anyway, but nobody would find it.
            let sessions = expired(&self.sessions(), now).await?;
            self.refresh_tokens().delete_many(doc! { "session_id": { "$in": sessions.clone() } }).await?;
            let sessions = self.sessions().delete_many(doc! { "_id": { "$in": sessions } }).await?;
            let revocations = expired(&self.revocations(), now).await?;
            let revocations = self.revocations().delete_many(doc! { "_id": { "$in": revocations } }).await?;
            Ok::<_, StoreError>(sessions.deleted_count + revocations.deleted_count)
        };
        Ok(usize::try_from(self.database.within("forget sessions", forget).await?).unwrap_or(usize::MAX))
    }
}

/// The ids of some documents that are over.
async fn expired<T: Send + Sync>(collection: &Collection<T>, now: Timestamp) -> Result<Vec<Bson>, StoreError> {
    let over = doc! { "expires_at": { "$lte": date(now) } };
    let collection = collection.clone_with_type::<Document>();
    let ids = collection.find(over).projection(doc! { "_id": 1 }).limit(FORGET_BATCH).await?;
    let ids: Vec<Document> = ids.try_collect().await?;
    Ok(ids.into_iter().filter_map(|mut document| document.remove("_id")).collect())
}

/// A refresh token's session, the user held for the transaction, and whether the token was used.
struct Presented {
    session: Session,
    user: User,
    was_used: bool,
}

impl MongoStore {
    async fn try_begin(&self, writing: &mut Writing<'_>, new: &NewSession) -> Result<Option<User>, StoreError> {
        let session = writing.begin().await?;
        let user = self.lock_user(session, &new.session.user_id.to_string()).await?;
        if user.as_ref().is_some_and(|user| user.ban_reason().is_none()) {
            self.insert_session(session, new).await?;
        }
        Ok(user)
    }

    async fn try_rotate(
        &self,
        writing: &mut Writing<'_>,
        presented: RefreshTokenHash,
        successor: RefreshTokenHash,
        now: Timestamp,
        on_reuse: &mut SessionEnd,
    ) -> Result<Rotation, StoreError> {
        let session = writing.begin().await?;
        let Some(mut token) = self.find_presented(session, presented).await? else { return Ok(Rotation::Refused) };
        let (user_id, session_id) = (token.user.id(), token.session.id);
        match token.session.judge(token.was_used, token.user.ban_reason().is_some(), now) {
            RefreshVerdict::Rotate => {
                let this = doc! { "_id": binary(presented.as_bytes()) };
                let used = doc! { "$set": { "used_at": date(now) } };
                self.refresh_tokens().update_one(this, used).session(&mut *session).await?;
                let successor = TokenDocument::unused(successor.as_bytes(), &token.session);
                self.refresh_tokens().insert_one(successor).session(session).await?;
                Ok(Rotation::Rotated { user: token.user, session_id })
            }
            RefreshVerdict::Reuse => {
                let consequences = on_reuse(&mut token.user, session_id);
                self.keep(writing, &token.user, &consequences).await?;
                Ok(Rotation::Reused { user_id, session_id })
            }
            RefreshVerdict::Refuse => Ok(Rotation::Refused),
        }
    }

    async fn try_end(
        &self,
        writing: &mut Writing<'_>,
        presented: RefreshTokenHash,
        on_end: &mut SessionEnd,
    ) -> Result<Option<SessionId>, StoreError> {
        let session = writing.begin().await?;
        let token = self.find_presented(session, presented).await?;
        let Some(mut token) = token.filter(|token| token.session.revoked_at.is_none()) else { return Ok(None) };
        let consequences = on_end(&mut token.user, token.session.id);
        self.keep(writing, &token.user, &consequences).await?;
        Ok(Some(token.session.id))
    }

    /// Everything that changes a session or its tokens holds the user's document: from here on nobody else does.
    async fn find_presented(
        &self,
        session: &mut ClientSession,
        hash: RefreshTokenHash,
    ) -> Result<Option<Presented>, StoreError> {
        let this = doc! { "_id": binary(hash.as_bytes()) };
        let Some(token) = self.refresh_tokens().find_one(this).session(&mut *session).await? else { return Ok(None) };
        let signed_in = doc! { "_id": &token.session_id };
        let Some(found) = self.sessions().find_one(signed_in).session(&mut *session).await? else { return Ok(None) };
        let found: Session = SessionDocument::into_session(found)?;
        let user = self.lock_user(session, &found.user_id.to_string()).await?;
        let user = user.ok_or(StoreError::Corrupt { collection: super::SESSIONS, id: token.session_id })?;
        Ok(Some(Presented { session: found, user, was_used: token.used_at.is_some() }))
    }
}
