//! A changed user and what goes with it, inside the caller's transaction.

use messaging::mongo::Writing;
use mongodb::ClientSession;
use mongodb::bson::doc;
use mongodb::options::ReturnDocument;

use super::MongoStore;
use super::documents::{RevocationDocument, SessionDocument, TokenDocument, changes_of, date};
use super::error::StoreError;
use crate::application::effects::{Effects, EndedSessions};
use crate::application::ports::NewSession;
use crate::domain::{Revocation, User};

impl MongoStore {
    /// The user with this id, who stays as they are for all others until the transaction ends.
    pub(super) async fn lock_user(&self, session: &mut ClientSession, id: &str) -> Result<Option<User>, StoreError> {
        let locked = self
            .users()
            .find_one_and_update(doc! { "_id": id }, doc! { "$inc": { "lock": 1_i64 } })
            .return_document(ReturnDocument::After)
            .session(session)
            .await?;
        locked.map(super::UserDocument::into_user).transpose()
    }

    /// Writes a user whom the transaction holds, and the effects.
    pub(super) async fn keep(
        &self,
        writing: &mut Writing<'_>,
        user: &User,
        effects: &Effects,
    ) -> Result<(), StoreError> {
        let session = writing.session()?;
        let id = user.id().to_string();
        self.users().update_one(doc! { "_id": &id }, changes_of(user)).session(&mut *session).await?;
        if let Some(revocation) = &effects.revocation {
            self.revoke(session, revocation).await?;
        }
        let (mut which, at) = match effects.ended {
            EndedSessions::None => return Ok(writing.append(effects.events.clone()).await?),
            EndedSessions::One(id, at) => (doc! { "_id": id.to_string() }, at),
            EndedSessions::All(at) => (doc! { "user_id": &id }, at),
        };
        which.insert("revoked_at", mongodb::bson::Bson::Null);
        let end = doc! { "$set": { "revoked_at": date(at) } };
        self.sessions().update_many(which, end).session(session).await?;
        Ok(writing.append(effects.events.clone()).await?)
    }

    async fn revoke(&self, session: &mut ClientSession, revocation: &Revocation) -> Result<(), StoreError> {
        self.revocations().insert_one(RevocationDocument::of(revocation)).session(session).await?;
        Ok(())
    }

    /// Writes a session and its first refresh token.
    pub(super) async fn insert_session(&self, session: &mut ClientSession, new: &NewSession) -> Result<(), StoreError> {
        self.sessions().insert_one(SessionDocument::of(&new.session)).session(&mut *session).await?;
        let token = TokenDocument::unused(new.token.as_bytes(), &new.session);
        self.refresh_tokens().insert_one(token).session(session).await?;
        Ok(())
    }
}
