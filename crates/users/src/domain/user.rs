//! The user: the aggregate root.

use std::time::Duration;

use contracts::Timestamp;
use contracts::ids::UserId;

use crate::domain::{BanReason, EmailAddress, PasswordHash, PersonName, Roles};

/// An account.
///
/// Every change raises the version by one and has one event, so that consumers can tell old events from new. Access tokens
/// are issued at [`User::token_time`]; a change that voids tokens moves that moment past every token issued before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(UserRecord);

/// An account as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// Who.
    pub id: UserId,
    /// Where mail goes; nobody else's.
    pub email: EmailAddress,
    /// What they are called.
    pub name: PersonName,
    /// What proves it is them.
    pub password_hash: PasswordHash,
    /// What they may do.
    pub roles: Roles,
    /// Why they may do nothing.
    pub ban: Option<BanReason>,
    /// How often the account changed, 1 when it was made.
    pub version: u64,
    /// Whether the password is published (a demonstration account).
    pub seeded: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// Access tokens issued before this are void.
    pub tokens_not_before: Timestamp,
}

/// What a new account is made of.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Who.
    pub id: UserId,
    /// Where mail goes.
    pub email: EmailAddress,
    /// What they are called.
    pub name: PersonName,
    /// What proves it is them.
    pub password_hash: PasswordHash,
    /// What they may do.
    pub roles: Roles,
    /// Whether the password is published.
    pub seeded: bool,
}

impl User {
    /// A new account.
    pub fn register(new: NewUser, now: Timestamp) -> Self {
        Self(UserRecord {
            id: new.id,
            email: new.email,
            name: new.name,
            password_hash: new.password_hash,
            roles: new.roles,
            ban: None,
            version: 1,
            seeded: new.seeded,
            created_at: now,
            tokens_not_before: now,
        })
    }

    /// An account as it was stored.
    pub fn restore(record: UserRecord) -> Self {
        Self(record)
    }

    /// What to store.
    pub fn record(&self) -> &UserRecord {
        &self.0
    }

    /// Who.
    pub fn id(&self) -> UserId {
        self.0.id
    }

    /// Where mail goes.
    pub fn email(&self) -> &EmailAddress {
        &self.0.email
    }

    /// What they are called.
    pub fn name(&self) -> &PersonName {
        &self.0.name
    }

    /// What proves it is them.
    pub fn password_hash(&self) -> &PasswordHash {
        &self.0.password_hash
    }

    /// What they may do.
    pub fn roles(&self) -> &Roles {
        &self.0.roles
    }

    /// Why they may do nothing, while banned.
    pub fn ban_reason(&self) -> Option<&BanReason> {
        self.0.ban.as_ref()
    }

    /// How often the account changed.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// When the account was made.
    pub fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// Access tokens issued before this are void.
    pub fn tokens_not_before(&self) -> Timestamp {
        self.0.tokens_not_before
    }

    /// The moment to write into an access token that is issued now: never one that is void already.
    pub fn token_time(&self, now: Timestamp) -> Timestamp {
        now.max(self.0.tokens_not_before)
    }

    /// Gives another name; `false` if it is the one they have.
    pub fn rename(&mut self, name: PersonName) -> bool {
        self.replace(|user| &mut user.name, name)
    }

    /// Bans, or gives a ban another reason; `false` if they are banned for this reason already. Voids all access tokens.
    pub fn ban(&mut self, reason: BanReason, now: Timestamp) -> bool {
        let changed = self.replace(|user| &mut user.ban, Some(reason));
        if changed {
            self.void_tokens(now);
        }
        changed
    }

    /// Lifts the ban; `false` if there is none.
    pub fn unban(&mut self) -> bool {
        self.replace(|user| &mut user.ban, None)
    }

    /// Replaces the roles; `false` if they have exactly these. Voids all access tokens, which carry the old ones.
    pub fn set_roles(&mut self, roles: Roles, now: Timestamp) -> bool {
        let changed = self.replace(|user| &mut user.roles, roles);
        if changed {
            self.void_tokens(now);
        }
        changed
    }

    /// Notes that one of the user's sessions was ended; returns the moment before which its access tokens are void. The
    /// account is the same, but the event needs a version of its own.
    pub fn note_session_end(&mut self, now: Timestamp) -> Timestamp {
        self.0.version += 1;
        self.first_moment_after_tokens(now)
    }

    fn replace<T: PartialEq>(&mut self, field: impl FnOnce(&mut UserRecord) -> &mut T, value: T) -> bool {
        let field = field(&mut self.0);
        if *field == value {
            return false;
        }
        *field = value;
        self.0.version += 1;
        true
    }

    fn void_tokens(&mut self, now: Timestamp) {
        self.0.tokens_not_before = self.first_moment_after_tokens(now);
    }

    /// The earliest moment that no token issued until `now` carries: tokens count milliseconds.
    fn first_moment_after_tokens(&self, now: Timestamp) -> Timestamp {
        self.token_time(now).plus(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use contracts::Role;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn ada() -> User {
        let new = NewUser {
            id: UserId::from_uuid(Uuid::from_u128(1)),
            email: "ada@example.org".parse().unwrap(),
            name: PersonName::parse("Ada").unwrap(),
            password_hash: PasswordHash::new("hash".to_owned()),
            roles: Roles::customer(),
            seeded: false,
        };
        User::register(new, NOW)
    }

    fn admin() -> Roles {
        Roles::new([Role::Admin]).unwrap()
    }

    fn reason(text: &str) -> BanReason {
        BanReason::parse(text).unwrap()
    }

    #[test]
    fn what_changes_nothing_is_no_change() {
        let mut user = ada();
        assert!(!user.rename(PersonName::parse("Ada").unwrap()));
        assert!(!user.unban());
        assert!(!user.set_roles(Roles::customer(), NOW));
        assert_eq!(user, ada());
        assert!(user.ban(reason("spam"), NOW));
        assert!(!user.ban(reason("spam"), NOW));
        assert!(user.ban(reason("fraud"), NOW));
        assert_eq!((user.version(), user.ban_reason()), (3, Some(&reason("fraud"))));
    }

    #[test]
    fn a_ban_and_new_roles_void_the_tokens_of_the_same_millisecond_but_not_the_next_one_issued() {
        for change in [|user: &mut User| user.ban(reason("spam"), NOW), |user: &mut User| user.set_roles(admin(), NOW)]
        {
            let mut user = ada();
            let before = user.token_time(NOW);
            assert!(change(&mut user));
            assert!(before < user.tokens_not_before());
            assert!(user.token_time(NOW) >= user.tokens_not_before());
        }
    }

    #[test]
    fn a_name_and_a_lifted_ban_void_nothing() {
        let mut user = ada();
        assert!(user.rename(PersonName::parse("Augusta").unwrap()));
        assert_eq!(user.tokens_not_before(), NOW);
        user.ban(reason("spam"), NOW);
        let voided = user.tokens_not_before();
        assert!(user.unban());
        assert_eq!(user.tokens_not_before(), voided);
    }

    proptest! {
        #[test]
        fn versions_grow_by_one_with_each_change_and_voided_tokens_stay_void(steps in prop::collection::vec((0..6_u8, -5_i64..5), 0..40)) {
            let (mut user, mut now) = (ada(), NOW);
            for (step, move_ms) in steps {
                // A clock may also be set back.
                now = Timestamp::from_unix_ms(now.unix_ms() + move_ms);
                let (version, voided, token) = (user.version(), user.tokens_not_before(), user.token_time(now));
                let changed = match step {
                    0 => user.rename(PersonName::parse(&format!("Ada {move_ms}")).unwrap()),
                    1 => user.ban(reason(&format!("reason {move_ms}")), now),
                    2 => user.unban(),
                    3 => user.set_roles(admin(), now),
                    4 => user.set_roles(Roles::customer(), now),
                    _ => {
                        prop_assert!(token < user.note_session_end(now));
                        true
                    }
                };
                if changed && matches!(step, 1 | 3 | 4) {
                    prop_assert!(token < user.tokens_not_before());
                }
                prop_assert_eq!(user.version(), version + u64::from(changed));
                prop_assert!(user.tokens_not_before() >= voided);
                prop_assert!(user.token_time(now) >= user.tokens_not_before());
            }
        }
    }
}
