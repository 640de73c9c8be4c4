//! Accounts in MongoDB.

use async_trait::async_trait;
use contracts::Event;
use contracts::ids::UserId;
use futures::TryStreamExt as _;
use messaging::mongo::{Writing, caseless};
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::documents::{UserDocument, date};
use super::error::StoreError;
use crate::application::ports::{NewSession, RepositoryError, UserChange, UserQuery, UserRepository};
use crate::domain::{EmailAddress, User};

#[async_trait]
impl UserRepository for MongoStore {
    async fn add(&self, user: User, session: Option<NewSession>, event: Event) -> Result<(), RepositoryError> {
        let add = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.try_add(&mut writing, &user, session.as_ref(), &event).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("add user", add).await?)
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, RepositoryError> {
        let find = async {
            let found = self.users().find_one(doc! { "_id": id.to_string() }).await?;
            found.map(UserDocument::into_user).transpose()
        };
        Ok(self.database.within::<_, StoreError>("find user", find).await?)
    }

    async fn find_by_email(&self, email: &EmailAddress) -> Result<Option<User>, RepositoryError> {
        let find = async {
            let found = self.users().find_one(doc! { "email": email.as_str() }).collation(caseless()).await?;
            found.map(UserDocument::into_user).transpose()
        };
        Ok(self.database.within::<_, StoreError>("find user by email", find).await?)
    }

    async fn list(&self, query: UserQuery) -> Result<Vec<User>, RepositoryError> {
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        if limit == 0 {
            return Ok(Vec::new()); // To MongoDB it would mean: all.
        }
        let list = async {
            let order = doc! { "created_at": 1, "_id": 1 };
            let found = self.users().find(filter_of(&query)).sort(order).limit(limit).await?;
            let documents: Vec<UserDocument> = found.try_collect().await?;
            documents.into_iter().map(UserDocument::into_user).collect::<Result<_, StoreError>>()
        };
        Ok(self.database.within("list users", list).await?)
    }

    async fn change(&self, id: UserId, mut change: UserChange) -> Result<Option<User>, RepositoryError> {
        let id = id.to_string();
        let changing = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.try_change(&mut writing, &id, &mut change).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("change user", changing).await?)
    }

    async fn count_seeded(&self) -> Result<u64, RepositoryError> {
        let count = async { Ok(self.users().count_documents(doc! { "seeded": true }).await?) };
        Ok(self.database.within::<_, StoreError>("count seeded users", count).await?)
    }
}

impl MongoStore {
    async fn try_add(
        &self,
        writing: &mut Writing<'_>,
        user: &User,
        new_session: Option<&NewSession>,
        event: &Event,
    ) -> Result<(), StoreError> {
        let session = writing.begin().await?;
        self.users().insert_one(UserDocument::of(user)).session(&mut *session).await?;
        if let Some(new) = new_session {
            self.insert_session(session, new).await?;
        }
        Ok(writing.append([event.clone()]).await?)
    }

    async fn try_change(
        &self,
        writing: &mut Writing<'_>,
        id: &str,
        change: &mut UserChange,
    ) -> Result<Option<User>, StoreError> {
        let session = writing.begin().await?;
        let Some(mut user) = self.lock_user(session, id).await? else { return Ok(None) };
        let version = user.version();
        let consequences = change(&mut user);
        if user.version() != version {
            self.keep(writing, &user, &consequences).await?;
        }
        Ok(Some(user))
    }
}

fn filter_of(query: &UserQuery) -> Document {
    let mut filter = Document::new();
    if let Some(after) = query.after {
        let moment = date(after.created_at);
        let later = doc! { "created_at": { "$gt": moment } };
        let same_moment = doc! { "created_at": moment, "_id": { "$gt": after.id.to_string() } };
        filter.insert("$or", vec![later, same_moment]);
    }
    if !query.search.is_empty() {
        filter.insert("search_text", doc! { "$regex": literal(&query.search.to_lowercase()) });
    }
    filter
}

/// A regular expression that finds the text as it is.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_no_regular_expression() {
        assert_eq!(literal(r"a.b*\E(é_"), r"a\.b\*\\E\(é\_");
    }
}
