//! Documents to values and back. Ids are texts, moments BSON dates, which keep milliseconds exactly.

use contracts::{Role, Timestamp};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::{KEPT_AFTER_END, REVOCATIONS, SESSIONS, SIGNING_KEYS, USERS};
use crate::domain::user::UserRecord;
use crate::domain::{BanReason, PasswordHash, PersonName, Revocation, Roles, Session, SigningKey, User};

pub(super) fn date(moment: Timestamp) -> DateTime {
    DateTime::from_millis(moment.unix_ms())
}

fn moment(date: DateTime) -> Timestamp {
    Timestamp::from_unix_ms(date.timestamp_millis())
}

pub(super) fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

fn corrupt(collection: &'static str, id: &str) -> StoreError {
    StoreError::Corrupt { collection, id: id.to_owned() }
}

/// An account.
#[derive(Serialize, Deserialize)]
pub(super) struct UserDocument {
    #[serde(rename = "_id")]
    id: String,
    /// Unique whatever its case.
    email: String,
    name: String,
    /// Name and address in lower case.
    search_text: String,
    password_hash: String,
    roles: Vec<String>,
    ban_reason: Option<String>,
    version: i64,
    seeded: bool,
    created_at: DateTime,
    tokens_not_before: DateTime,
    /// Written by whoever needs the account to stay as it is until their transaction ends.
    lock: i64,
}

impl UserDocument {
    pub(super) fn of(user: &User) -> Self {
        let record = user.record();
        Self {
            id: record.id.to_string(),
            email: record.email.as_str().to_owned(),
            name: record.name.as_str().to_owned(),
            search_text: search_text(record),
            password_hash: record.password_hash.as_str().to_owned(),
            roles: roles(record),
            ban_reason: record.ban.as_ref().map(|reason| reason.as_str().to_owned()),
            version: record.version as i64,
            seeded: record.seeded,
            created_at: date(record.created_at),
            tokens_not_before: date(record.tokens_not_before),
            lock: 0,
        }
    }

    pub(super) fn into_user(self) -> Result<User, StoreError> {
        let record = || -> Option<UserRecord> {
            let roles: Vec<Role> = self.roles.iter().map(|role| role.parse()).collect::<Result<_, _>>().ok()?;
            Some(UserRecord {
                id: self.id.parse().ok()?,
                email: self.email.parse().ok()?,
                name: PersonName::parse(&self.name).ok()?,
                password_hash: PasswordHash::new(self.password_hash.clone()),
                roles: Roles::new(roles).ok()?,
                ban: self.ban_reason.as_deref().map(BanReason::parse).transpose().ok()?,
                version: u64::try_from(self.version).ok()?,
                seeded: self.seeded,
                created_at: moment(self.created_at),
                tokens_not_before: moment(self.tokens_not_before),
            })
        };
        record().map(User::restore).ok_or_else(|| corrupt(USERS, &self.id))
    }
}

/// What can change; the address, the hash and the beginning of an account can't.
pub(super) fn changes_of(user: &User) -> Document {
    let record = user.record();
    doc! { "$set": {
        "name": record.name.as_str(),
        "search_text": search_text(record),
        "roles": roles(record),
        "ban_reason": record.ban.as_ref().map(BanReason::as_str),
        "version": record.version as i64,
        "tokens_not_before": date(record.tokens_not_before),
    } }
}

fn roles(record: &UserRecord) -> Vec<String> {
    record.roles.iter().map(|role| role.to_string()).collect()
}

/// What a search looks through; the line break keeps a match from spanning both.
fn search_text(record: &UserRecord) -> String {
    format!("{}\n{}", record.name.as_str().to_lowercase(), record.email.as_str())
}

/// A sign-in.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionDocument {
    #[serde(rename = "_id")]
    id: String,
    user_id: String,
    created_at: DateTime,
    expires_at: DateTime,
    revoked_at: Option<DateTime>,
}

impl SessionDocument {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            id: session.id.to_string(),
            user_id: session.user_id.to_string(),
            created_at: date(session.created_at),
            expires_at: date(session.expires_at),
            revoked_at: session.revoked_at.map(date),
        }
    }

    pub(super) fn into_session(self) -> Result<Session, StoreError> {
        let broken = |_| corrupt(SESSIONS, &self.id);
        Ok(Session {
            id: self.id.parse().map_err(broken)?,
            user_id: self.user_id.parse().map_err(broken)?,
            created_at: moment(self.created_at),
            expires_at: moment(self.expires_at),
            revoked_at: self.revoked_at.map(moment),
        })
    }
}

/// A refresh token, used or not.
#[derive(Serialize, Deserialize)]
pub(super) struct TokenDocument {
    /// SHA-256.
    #[serde(rename = "_id")]
    hash: Binary,
    pub(super) session_id: String,
    pub(super) used_at: Option<DateTime>,
    /// When the server may delete it by itself: with its session.
    #[serde(default)]
    forget_at: Option<DateTime>,
}

impl TokenDocument {
    pub(super) fn unused(hash: &[u8; 32], session: &Session) -> Self {
        let forget_at = Some(date(session.expires_at.plus(KEPT_AFTER_END)));
        Self { hash: binary(hash), session_id: session.id.to_string(), used_at: None, forget_at }
    }
}

/// A revocation.
#[derive(Serialize, Deserialize)]
pub(super) struct RevocationDocument {
    #[serde(rename = "_id")]
    id: ObjectId,
    user_id: String,
    session_id: Option<String>,
    not_before: DateTime,
    expires_at: DateTime,
}

impl RevocationDocument {
    pub(super) fn of(revocation: &Revocation) -> Self {
        Self {
            id: ObjectId::new(),
            user_id: revocation.user_id.to_string(),
            session_id: revocation.session_id.map(|id| id.to_string()),
            not_before: date(revocation.not_before),
            expires_at: date(revocation.expires_at),
        }
    }

    pub(super) fn into_revocation(self) -> Result<Revocation, StoreError> {
        let broken = |_| corrupt(REVOCATIONS, &self.id.to_hex());
        Ok(Revocation {
            user_id: self.user_id.parse().map_err(broken)?,
            session_id: self.session_id.as_deref().map(str::parse).transpose().map_err(broken)?,
            not_before: moment(self.not_before),
            expires_at: moment(self.expires_at),
        })
    }
}

/// A signing key.
#[derive(Serialize, Deserialize)]
pub(super) struct KeyDocument {
    #[serde(rename = "_id")]
    pub(super) kid: String,
    pkcs8: Binary,
    created_at: DateTime,
    retired_at: Option<DateTime>,
}

impl KeyDocument {
    pub(super) fn of(key: &SigningKey) -> Self {
        Self {
            kid: key.kid.clone(),
            pkcs8: binary(&key.pkcs8),
            created_at: date(key.created_at),
            retired_at: key.retired_at.map(date),
        }
    }

    pub(super) fn into_key(self) -> Result<SigningKey, StoreError> {
        if self.pkcs8.subtype != BinarySubtype::Generic {
            return Err(corrupt(SIGNING_KEYS, &self.kid));
        }
        Ok(SigningKey {
            kid: self.kid,
            pkcs8: self.pkcs8.bytes,
            created_at: moment(self.created_at),
            retired_at: self.retired_at.map(moment),
        })
    }
}
