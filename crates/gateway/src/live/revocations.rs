//! Access tokens that no longer count although they have not expired.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use contracts::ids::{SessionId, UserId};
use contracts::{Clock, Timestamp};
use service_kit::auth::{ACCESS_TOKEN_TTL, UserCaller};
use tokio::sync::SetOnce;

/// How much longer than any token that it covers a revocation is kept, for clocks that differ.
const MARGIN: Duration = Duration::from_mins(1);
/// Expired revocations are dropped at most this often, when a new one comes.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// What is revoked: for a user or for one sign-in, the moment up to which its tokens are void.
pub struct Revocations {
    clock: Arc<dyn Clock>,
    loaded: SetOnce<()>,
    list: RwLock<List>,
}

#[derive(Default)]
struct List {
    users: HashMap<UserId, Timestamp>,
    sessions: HashMap<SessionId, Timestamp>,
    /// Of those whom events told of since the start.
    banned: HashSet<UserId>,
    swept_at: Timestamp,
}

impl Revocations {
    /// An empty list, not yet loaded.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, loaded: SetOnce::new(), list: RwLock::default() }
    }

    /// Whether what was revoked before this process started is known.
    pub fn is_loaded(&self) -> bool {
        self.loaded.initialized()
    }

    /// From now on the list is complete.
    pub fn mark_loaded(&self) {
        // It may have been loaded before.
        let _ = self.loaded.set(());
    }

    /// Waits until the list is complete.
    pub async fn loaded(&self) {
        self.loaded.wait().await;
    }

    /// Voids the tokens issued up to `not_before`: of one sign-in, or of all the user's. A later moment already known stays.
    pub fn revoke(&self, user: UserId, session: Option<SessionId>, not_before: Timestamp) {
        let now = self.clock.now();
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let known = match session {
            Some(session) => list.sessions.entry(session).or_insert(not_before),
            None => list.users.entry(user).or_insert(not_before),
        };
        *known = (*known).max(not_before);
        if now.since(list.swept_at) >= SWEEP_EVERY {
            list.swept_at = now;
            let oldest = now.minus(ACCESS_TOKEN_TTL + MARGIN);
            list.users.retain(|_, not_before| *not_before >= oldest);
            list.sessions.retain(|_, not_before| *not_before >= oldest);
        }
    }

    /// Notes that a user was banned, or is no more. It only words refusals: the ban itself voids tokens.
    pub fn mark_banned(&self, user: UserId, banned: bool) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if banned {
            list.banned.insert(user);
        } else {
            list.banned.remove(&user);
        }
    }

    /// Whether the user is known to be banned.
    pub fn is_banned(&self, user: UserId) -> bool {
        self.list.read().unwrap_or_else(PoisonError::into_inner).banned.contains(&user)
    }

    /// Whether the token that this user came with is void.
    pub fn cover(&self, user: &UserCaller) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let voids = |not_before: Option<&Timestamp>| not_before.is_some_and(|moment| user.issued_at <= *moment);
        voids(list.users.get(&user.user_id)) || voids(list.sessions.get(&user.session_id))
    }

    /// How many revocations are kept.
    pub fn len(&self) -> usize {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.users.len() + list.sessions.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use contracts::timestamp::ManualClock;
    use uuid::Uuid;

    use super::*;

    const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn user(id: u128, session: u128, issued_at: Timestamp) -> UserCaller {
        UserCaller {
            user_id: UserId::from_uuid(Uuid::from_u128(id)),
            session_id: SessionId::from_uuid(Uuid::from_u128(session)),
            roles: Vec::new(),
            issued_at,
            expires_at: issued_at.plus(ACCESS_TOKEN_TTL),
        }
    }

    #[test]
    fn tokens_up_to_the_moment_are_void_and_later_ones_are_not() {
        let list = Revocations::new(Arc::new(ManualClock::starting_at(START)));
        let caller = user(1, 10, START);
        list.revoke(caller.user_id, None, START);
        assert!(list.cover(&caller));
        assert!(!list.cover(&user(1, 11, START.plus(Duration::from_millis(1)))));
        assert!(!list.cover(&user(2, 10, START)));
        list.revoke(caller.user_id, None, START.minus(Duration::from_secs(9)));
        assert!(list.cover(&caller), "an older revocation that comes late must not lift a newer one");
    }

    #[tokio::test]
    async fn who_waits_for_the_list_is_told_when_it_is_complete() {
        let list = Arc::new(Revocations::new(Arc::new(ManualClock::starting_at(START))));
        let waiting = tokio::spawn({
            let list = Arc::clone(&list);
            async move { list.loaded().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        list.mark_loaded();
        waiting.await.unwrap();
        list.loaded().await;
    }

    #[test]
    fn a_revoked_session_leaves_the_users_other_sessions_alone() {
        let list = Revocations::new(Arc::new(ManualClock::starting_at(START)));
        list.revoke(user(1, 10, START).user_id, Some(user(1, 10, START).session_id), START);
        assert!(list.cover(&user(1, 10, START)));
        assert!(!list.cover(&user(1, 11, START)));
    }

    #[test]
    fn what_no_living_token_can_need_is_dropped() {
        let clock = ManualClock::starting_at(START);
        let list = Revocations::new(Arc::new(clock.clone()));
        list.revoke(user(1, 10, START).user_id, None, START);
        clock.advance(ACCESS_TOKEN_TTL + MARGIN);
        list.revoke(user(2, 20, START).user_id, None, clock.now());
        assert_eq!(list.len(), 2, "kept to the last moment that a token may need it");
        clock.advance(SWEEP_EVERY);
        list.revoke(user(3, 30, START).user_id, None, clock.now());
        assert_eq!(list.len(), 2);
    }
}
