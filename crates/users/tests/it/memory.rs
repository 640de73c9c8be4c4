//! Accounts, sessions and keys in memory. For tests alone (docs/adr/0019): it shows what the ports ask for with nothing
//! underneath, and it must pass the suite that the real stores pass.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::ids::{SessionId, UserId};
use contracts::{Event, Timestamp};
use users::application::effects::{Effects, EndedSessions};
use users::application::ports::{
    NewSession, RepositoryError, Rotation, SessionEnd, SessionRepository, SigningKeyRepository, UserChange, UserQuery,
    UserRepository,
};
use users::domain::{EmailAddress, RefreshTokenHash, RefreshVerdict, Revocation, Session, SigningKey, User};

use crate::contract::Stores;

/// Most sessions, and most revocations, forgotten at once.
const FORGET_BATCH: usize = 100;

/// Clones share what they hold.
#[derive(Clone, Default)]
pub(crate) struct InMemoryStore(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    users: BTreeMap<UserId, User>,
    sessions: BTreeMap<SessionId, Session>,
    /// Whose they are, and whether they were used.
    tokens: BTreeMap<[u8; 32], (SessionId, bool)>,
    revocations: Vec<Revocation>,
    keys: Vec<SigningKey>,
    events: Vec<Event>,
}

impl Tables {
    fn insert_session(&mut self, new: NewSession) {
        self.tokens.insert(*new.token.as_bytes(), (new.session.id, false));
        self.sessions.insert(new.session.id, new.session);
    }

    fn keep(&mut self, user: User, effects: Effects) {
        let ends = |session: &Session| match effects.ended {
            EndedSessions::None => None,
            EndedSessions::One(id, at) => (session.id == id).then_some(at),
            EndedSessions::All(at) => (session.user_id == user.id()).then_some(at),
        };
        for session in self.sessions.values_mut().filter(|session| session.revoked_at.is_none()) {
            session.revoked_at = ends(session);
        }
        self.revocations.extend(effects.revocation);
        self.events.extend(effects.events);
        self.users.insert(user.id(), user);
    }

    fn session_of(&self, token: &RefreshTokenHash) -> Option<(Session, bool)> {
        let (id, was_used) = self.tokens.get(token.as_bytes())?;
        Some((self.sessions.get(id)?.clone(), *was_used))
    }
}

pub(crate) fn stores() -> Stores {
    let store = InMemoryStore::default();
    let kept = store.clone();
    let events = move || {
        let types = kept.0.lock().unwrap().events.iter().map(|event| event.event_type.clone()).collect();
        Box::pin(std::future::ready(types)) as futures::future::BoxFuture<'static, _>
    };
    Stores::of(store, Box::new(events), ())
}

#[async_trait]
impl UserRepository for InMemoryStore {
    async fn add(&self, user: User, session: Option<NewSession>, event: Event) -> Result<(), RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        if tables.users.values().any(|other| other.email() == user.email()) {
            return Err(RepositoryError::Conflict);
        }
        if let Some(session) = session {
            tables.insert_session(session);
        }
        tables.keep(user, Effects::telling(event));
        Ok(())
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, RepositoryError> {
        Ok(self.0.lock().unwrap().users.get(&id).cloned())
    }

    async fn find_by_email(&self, email: &EmailAddress) -> Result<Option<User>, RepositoryError> {
        Ok(self.0.lock().unwrap().users.values().find(|user| user.email() == email).cloned())
    }

    async fn list(&self, query: UserQuery) -> Result<Vec<User>, RepositoryError> {
        let search = query.search.to_lowercase();
        let after = query.after.map(|after| (after.created_at, after.id));
        let tables = self.0.lock().unwrap();
        let mut found: Vec<&User> = tables
            .users
            .values()
            .filter(|user| after.is_none_or(|after| (user.created_at(), user.id()) > after))
            .filter(|user| {
                user.name().as_str().to_lowercase().contains(&search) || user.email().as_str().contains(&search)
            })
            .collect();
        found.sort_by_key(|user| (user.created_at(), user.id()));
        Ok(found.into_iter().take(query.limit).cloned().collect())
    }

    async fn change(&self, id: UserId, mut change: UserChange) -> Result<Option<User>, RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        let Some(stored) = tables.users.get(&id) else { return Ok(None) };
        let mut user = stored.clone();
        let effects = change(&mut user);
        if user.version() != stored.version() {
            tables.keep(user.clone(), effects);
        }
        Ok(Some(user))
    }

    async fn count_seeded(&self) -> Result<u64, RepositoryError> {
        Ok(self.0.lock().unwrap().users.values().filter(|user| user.record().seeded).count() as u64)
    }
}

#[async_trait]
impl SessionRepository for InMemoryStore {
    async fn begin(&self, session: NewSession) -> Result<Option<User>, RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        let user = tables.users.get(&session.session.user_id).cloned();
        if user.as_ref().is_some_and(|user| user.ban_reason().is_none()) {
            tables.insert_session(session);
        }
        Ok(user)
    }

    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        successor: RefreshTokenHash,
        now: Timestamp,
        mut on_reuse: SessionEnd,
    ) -> Result<Rotation, RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        let Some((session, was_used)) = tables.session_of(&presented) else { return Ok(Rotation::Refused) };
        let mut user = tables.users[&session.user_id].clone();
        let (user_id, session_id) = (user.id(), session.id);
        Ok(match session.judge(was_used, user.ban_reason().is_some(), now) {
            RefreshVerdict::Rotate => {
                tables.tokens.insert(*presented.as_bytes(), (session_id, true));
                tables.tokens.insert(*successor.as_bytes(), (session_id, false));
                Rotation::Rotated { user, session_id }
            }
            RefreshVerdict::Reuse => {
                let effects = on_reuse(&mut user, session_id);
                tables.keep(user, effects);
                Rotation::Reused { user_id, session_id }
            }
            RefreshVerdict::Refuse => Rotation::Refused,
        })
    }

    async fn end(
        &self,
        presented: RefreshTokenHash,
        mut on_end: SessionEnd,
    ) -> Result<Option<SessionId>, RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        let session = tables.session_of(&presented).map(|(session, _)| session);
        let Some(session) = session.filter(|session| session.revoked_at.is_none()) else { return Ok(None) };
        let mut user = tables.users[&session.user_id].clone();
        let effects = on_end(&mut user, session.id);
        tables.keep(user, effects);
        Ok(Some(session.id))
    }

    async fn list_revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, RepositoryError> {
        let tables = self.0.lock().unwrap();
        let mut found: Vec<_> = tables.revocations.iter().filter(|one| one.expires_at > now).cloned().collect();
        found.sort_by_key(|revocation| revocation.expires_at);
        Ok(found)
    }

    async fn forget_expired(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        let over: Vec<SessionId> = tables
            .sessions
            .values()
            .filter(|session| session.expires_at <= now)
            .map(|session| session.id)
            .take(FORGET_BATCH)
            .collect();
        tables.sessions.retain(|id, _| !over.contains(id));
        tables.tokens.retain(|_, (id, _)| !over.contains(id));
        let before = tables.revocations.len();
        tables.revocations.retain(|revocation| revocation.expires_at > now);
        Ok(over.len() + before - tables.revocations.len())
    }
}

#[async_trait]
impl SigningKeyRepository for InMemoryStore {
    async fn list(&self) -> Result<Vec<SigningKey>, RepositoryError> {
        Ok(self.0.lock().unwrap().keys.clone())
    }

    async fn succeed(&self, key: SigningKey, newest: Option<String>) -> Result<(), RepositoryError> {
        let keys = &mut self.0.lock().unwrap().keys;
        let active = keys.iter().filter(|key| key.retired_at.is_none());
        let present = active.max_by_key(|key| (key.created_at, key.kid.clone())).map(|key| key.kid.clone());
        if present != newest {
            return Err(RepositoryError::Conflict);
        }
        for old in keys.iter_mut().filter(|old| old.retired_at.is_none()) {
            old.retired_at = Some(key.created_at);
        }
        keys.push(key);
        Ok(())
    }

    async fn forget_retired(&self, before: Timestamp) -> Result<usize, RepositoryError> {
        let keys = &mut self.0.lock().unwrap().keys;
        let count = keys.len();
        keys.retain(|key| key.retired_at.is_none_or(|retired_at| retired_at >= before));
        Ok(count - keys.len())
    }
}
