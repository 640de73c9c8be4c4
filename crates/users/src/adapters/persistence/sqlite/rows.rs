//! Rows to values and back.

use contracts::ids::{SessionId, UserId};
use contracts::{Role, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use super::error::SqliteError;
use crate::domain::user::UserRecord;
use crate::domain::{BanReason, PasswordHash, PersonName, Roles, Session, User};

/// The columns that [`user`] reads.
pub(super) const USER_COLUMNS: &str =
    "id, email, name, password_hash, roles, ban_reason, version, seeded, created_at, tokens_not_before";

fn corrupt(table: &'static str, row: &str) -> SqliteError {
    SqliteError::Corrupt { table, row: row.to_owned() }
}

pub(super) fn user(row: &Row<'_>) -> Result<User, SqliteError> {
    let id: String = row.get(0)?;
    let (email, name, roles) = (row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(4)?);
    let ban: Option<String> = row.get(5)?;
    let version: i64 = row.get(6)?;
    let record = || -> Option<UserRecord> {
        let roles: Vec<Role> = roles.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(UserRecord {
            id: id.parse().ok()?,
            email: email.parse().ok()?,
            name: PersonName::parse(&name).ok()?,
            password_hash: PasswordHash::new(row.get(3).ok()?),
            roles: Roles::new(roles).ok()?,
            ban: ban.as_deref().map(BanReason::parse).transpose().ok()?,
            version: u64::try_from(version).ok()?,
            seeded: row.get(7).ok()?,
            created_at: Timestamp::from_unix_ms(row.get(8).ok()?),
            tokens_not_before: Timestamp::from_unix_ms(row.get(9).ok()?),
        })
    };
    record().map(User::restore).ok_or_else(|| corrupt("users", &id))
}

/// The user whom a `WHERE` clause finds.
pub(super) fn find_user(
    connection: &Connection,
    clause: &str,
    params: impl Params,
) -> Result<Option<User>, SqliteError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {USER_COLUMNS} FROM users WHERE {clause}"))?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(user).transpose()
}

pub(super) fn insert_user(connection: &Connection, user: &User) -> Result<(), SqliteError> {
    let record = user.record();
    connection
        .prepare_cached(
            "INSERT INTO users (id, email, name, search_text, password_hash, roles, ban_reason, version, seeded,
                                created_at, tokens_not_before)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            record.id.to_string(),
            record.email.as_str(),
            record.name.as_str(),
            search_text(record),
            record.password_hash.as_str(),
            roles_text(&record.roles),
            record.ban.as_ref().map(BanReason::as_str),
            record.version as i64,
            record.seeded,
            record.created_at.unix_ms(),
            record.tokens_not_before.unix_ms(),
        ))?;
    Ok(())
}

/// Writes what can change; the address, the hash and the beginning of an account can't.
pub(super) fn update_user(connection: &Connection, user: &User) -> Result<(), SqliteError> {
    let record = user.record();
    connection
        .prepare_cached(
            "UPDATE users SET name = ?2, search_text = ?3, roles = ?4, ban_reason = ?5, version = ?6,
                              tokens_not_before = ?7
             WHERE id = ?1",
        )?
        .execute((
            record.id.to_string(),
            record.name.as_str(),
            search_text(record),
            roles_text(&record.roles),
            record.ban.as_ref().map(BanReason::as_str),
            record.version as i64,
            record.tokens_not_before.unix_ms(),
        ))?;
    Ok(())
}

/// What a search looks through; the line break keeps a match from spanning both.
fn search_text(record: &UserRecord) -> String {
    format!("{}\n{}", record.name.as_str().to_lowercase(), record.email.as_str())
}

fn roles_text(roles: &Roles) -> String {
    roles.iter().map(Role::as_str).collect::<Vec<_>>().join(",")
}

/// A presented refresh token, as the store knows it.
pub(super) struct FoundToken {
    pub(super) session: Session,
    pub(super) was_used: bool,
}

pub(super) fn find_token(connection: &Connection, hash: &[u8; 32]) -> Result<Option<FoundToken>, SqliteError> {
    type Columns = (String, String, i64, i64, Option<i64>, Option<i64>);
    let found: Option<Columns> = connection
        .prepare_cached(
            "SELECT sessions.id, user_id, created_at, expires_at, revoked_at, used_at
             FROM refresh_tokens JOIN sessions ON sessions.id = session_id WHERE hash = ?1",
        )?
        .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))
        .optional()?;
    let Some((id, user_id, created_at, expires_at, revoked_at, used_at)) = found else { return Ok(None) };
    let session = Session {
        id: session_id(&id)?,
        user_id: user_id.parse().map_err(|_| corrupt("sessions", &id))?,
        created_at: Timestamp::from_unix_ms(created_at),
        expires_at: Timestamp::from_unix_ms(expires_at),
        revoked_at: revoked_at.map(Timestamp::from_unix_ms),
    };
    Ok(Some(FoundToken { session, was_used: used_at.is_some() }))
}

fn session_id(text: &str) -> Result<SessionId, SqliteError> {
    text.parse().map_err(|_| corrupt("sessions", text))
}

/// The owner of a session; a foreign key says there is one.
pub(super) fn owner(connection: &Connection, session: &Session) -> Result<User, SqliteError> {
    find_user(connection, "id = ?1", [session.user_id.to_string()])?
        .ok_or_else(|| corrupt("sessions", &session.id.to_string()))
}

/// The ids of a revocation.
pub(super) fn revoked_ids(
    row: i64,
    user: &str,
    session: Option<&str>,
) -> Result<(UserId, Option<SessionId>), SqliteError> {
    let broken = |_| corrupt("revocations", &row.to_string());
    Ok((user.parse().map_err(broken)?, session.map(str::parse).transpose().map_err(broken)?))
}
