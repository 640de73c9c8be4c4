//! What the use cases need from outside. The documentation of a port is what every adapter must do.

use std::error::Error;

use async_trait::async_trait;
use contracts::ids::{SessionId, UserId};
use contracts::{Event, Timestamp};

use crate::application::effects::Effects;
use crate::domain::{
    EmailAddress, KeySet, Password, PasswordHash, RefreshToken, RefreshTokenHash, Revocation, Roles, Session,
    SigningKey, User,
};

/// Why a store did not do it. Nothing of a refused write was kept.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// Somebody else was first: the email address has an account, or another signing key was added.
    #[error("somebody else was first")]
    Conflict,
    /// The store failed; it is safe to try again.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// A row makes no sense.
    #[error("row {row} of {table} can't be understood")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Its key, as far as it was read; never a secret.
        row: String,
    },
}

/// A change of a user. It may be run more than once before it is kept; only the last run counts.
///
/// It runs inside the store's transaction, after every write that the store answered before: a moment it reads is later
/// than theirs. A change that leaves the version alone changed nothing, and its effects are not kept.
pub type UserChange = Box<dyn FnMut(&mut User) -> Effects + Send>;

/// The end of one of a user's sessions; otherwise as [`UserChange`].
pub type SessionEnd = Box<dyn FnMut(&mut User, SessionId) -> Effects + Send>;

/// A session with its first refresh token.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// What the token is recognised by.
    pub token: RefreshTokenHash,
}

/// Where a page of users begins: after this one, in order of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserPosition {
    /// When the account was made.
    pub created_at: Timestamp,
    /// Tells apart those made at the same moment.
    pub id: UserId,
}

/// Which users to list.
#[derive(Clone, Debug)]
pub struct UserQuery {
    /// Substring of email or name, letter case aside; empty for all.
    pub search: String,
    /// From the beginning when absent.
    pub after: Option<UserPosition>,
    /// At most so many.
    pub limit: usize,
}

/// Accounts.
#[async_trait]
pub trait UserRepository: Send + Sync {
    /// Adds an account, with its first session if it has one, and the event that tells of it, as one.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] when the address has an account, also one that is being added at the same time.
    async fn add(&self, user: User, session: Option<NewSession>, event: Event) -> Result<(), RepositoryError>;

    /// The account with this id.
    async fn find(&self, id: UserId) -> Result<Option<User>, RepositoryError>;

    /// The account with this address.
    async fn find_by_email(&self, email: &EmailAddress) -> Result<Option<User>, RepositoryError>;

    /// Accounts in order of registration; those registered at one moment in order of their ids.
    async fn list(&self, query: UserQuery) -> Result<Vec<User>, RepositoryError>;

    /// Changes an account: the user, the events, the revocation and the ended sessions are kept as one. Returns the user as
    /// they are then; `None` when there is none.
    async fn change(&self, id: UserId, change: UserChange) -> Result<Option<User>, RepositoryError>;

    /// How many accounts have published passwords.
    async fn count_seeded(&self) -> Result<u64, RepositoryError>;
}

/// What became of a refresh token that was presented.
#[derive(Debug)]
pub enum Rotation {
    /// It is used now, and its successor is good. The user is as they were in that moment.
    Rotated {
        /// Whose session it is.
        user: User,
        /// Which.
        session_id: SessionId,
    },
    /// It was used before: its session was ended.
    Reused {
        /// Whose session it was.
        user_id: UserId,
        /// Which.
        session_id: SessionId,
    },
    /// Nobody's, or of a session that is over.
    Refused,
}

/// Sessions, their refresh tokens, and revocations.
#[async_trait]
pub trait SessionRepository: Send + Sync {
    /// Begins a session unless the user is banned. Returns the user as they are in that moment; `None` when there is none.
    async fn begin(&self, session: NewSession) -> Result<Option<User>, RepositoryError>;

    /// Judges the presented token by [`Session::judge`] and acts on it, as one: of several that present the same token at
    /// the same time one rotates it. On reuse the session is ended by `on_reuse`.
    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        successor: RefreshTokenHash,
        now: Timestamp,
        on_reuse: SessionEnd,
    ) -> Result<Rotation, RepositoryError>;

    /// Ends the session of the token, used or not, by `on_end`; `None` if there is none or it was ended before.
    async fn end(&self, presented: RefreshTokenHash, on_end: SessionEnd) -> Result<Option<SessionId>, RepositoryError>;

    /// Revocations that have not expired, oldest first.
    async fn list_revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, RepositoryError>;

    /// Forgets sessions and revocations that are over by `now`; how many. Bounded: `0` once there are no more.
    async fn forget_expired(&self, now: Timestamp) -> Result<usize, RepositoryError>;
}

/// The keys that sign access tokens.
#[async_trait]
pub trait SigningKeyRepository: Send + Sync {
    /// All of them.
    async fn list(&self) -> Result<Vec<SigningKey>, RepositoryError>;

    /// Adds a key and retires all others as of its making.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] when the newest key is not (or no longer) the one named.
    async fn succeed(&self, key: SigningKey, newest: Option<String>) -> Result<(), RepositoryError>;

    /// Deletes keys retired before; how many.
    async fn forget_retired(&self, before: Timestamp) -> Result<usize, RepositoryError>;
}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// Too many wait already.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The hash could not be computed, or a stored one not be read.
    #[error("the hash could not be computed: {0}")]
    Failed(String),
}

/// Slow hashes, made and checked off the async threads, few at a time.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Hashes a new password, with a salt of its own.
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashingError>;

    /// Whether the password is the one hashed. Without a hash the answer is no and takes as long.
    async fn verify(&self, password: Password, hash: Option<PasswordHash>) -> Result<bool, HashingError>;
}

/// Makes and recognises refresh tokens.
pub trait RefreshTokens: Send + Sync {
    /// A new token: 256 bits that nobody can guess.
    fn generate(&self) -> RefreshToken;

    /// What a token is recognised by.
    fn digest(&self, token: &RefreshToken) -> RefreshTokenHash;
}

/// A key that the outside may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// Names it in the header of tokens.
    pub kid: String,
    /// Ed25519, 32 bytes.
    pub public_key: Vec<u8>,
}

/// A stored signing key is none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("signing key {kid} can't be used")]
pub struct UnusableKey {
    /// Which.
    pub kid: String,
}

/// Signs access tokens with the newest key; asks no store.
pub trait AccessTokens: Send + Sync {
    /// A token for this user and session.
    fn sign(&self, user_id: UserId, session_id: SessionId, roles: &Roles, issued_at: Timestamp) -> String;

    /// The keys whose tokens may be unexpired.
    fn published(&self, now: Timestamp) -> Vec<PublishedKey>;

    /// Takes over these keys.
    fn install(&self, keys: &KeySet) -> Result<(), UnusableKey>;
}

/// Makes signing keys.
pub trait SigningKeyGenerator: Send + Sync {
    /// A new key that signs from this moment on.
    fn generate(&self, signs_from: Timestamp) -> SigningKey;
}
