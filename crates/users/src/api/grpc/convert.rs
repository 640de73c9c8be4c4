//! Messages to values and back.

use std::fmt::Display;

use contracts::grpc::users as proto;
use contracts::ids::UserId;
use contracts::{Refusal, Role};

use super::cursor;
use crate::application::issue_session::IssuedSession;
use crate::application::ports::{PublishedKey, UserQuery};
use crate::application::queries::UserPage;
use crate::domain::{BanReason, EmailAddress, Password, PersonName, RefreshToken, Revocation, Roles, User};

/// Items of a page when the caller names no number.
const DEFAULT_PAGE: u32 = 50;
/// Most items of a page.
const MAX_PAGE: u32 = 100;
/// Most characters of a search.
const MAX_SEARCH_CHARS: usize = 100;
/// Most roles in a request: more than there are, so that naming one twice is no error.
const MAX_ROLES: usize = 16;

/// Collects what is wrong with a request, so that all of it is told at once.
#[derive(Default)]
pub struct Problems(Option<Refusal>);

impl Problems {
    /// Keeps the value, or notes what is wrong with the field.
    pub fn check<T, E: Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.note(field, error)).ok()
    }

    fn note(&mut self, field: &str, error: impl Display) {
        self.0 = Some(match self.0.take() {
            None => Refusal::invalid(field, error.to_string()),
            Some(refusal) => refusal.with_field(field, error.to_string()),
        });
    }

    /// The values, if all of them were there and nothing was wrong.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, naming every field at fault.
    pub fn finish<T>(self, values: Option<T>) -> Result<T, Refusal> {
        match (values, self.0) {
            (Some(values), None) => Ok(values),
            (_, refusal) => Err(refusal.unwrap_or_else(|| Refusal::invalid("", "is incomplete"))),
        }
    }
}

/// Reads the fields of a registration.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn registration(
    email: &str,
    password: String,
    name: &str,
) -> Result<(EmailAddress, Password, PersonName), Refusal> {
    let mut problems = Problems::default();
    let email = problems.check("/email", email.parse());
    let password = problems.check("/password", Password::parse(password));
    let name = problems.check("/name", PersonName::parse(name));
    problems.finish(email.zip(password).zip(name).map(|((email, password), name)| (email, password, name)))
}

/// Reads the fields of a log-in.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn credentials(request: proto::LoginRequest) -> Result<(EmailAddress, Password), Refusal> {
    let mut problems = Problems::default();
    let email = problems.check("/email", request.email.parse());
    let password = problems.check("/password", Password::attempt(request.password));
    problems.finish(email.zip(password))
}

/// Reads a refresh token.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn refresh_token(text: String) -> Result<RefreshToken, Refusal> {
    RefreshToken::parse(text).map_err(|error| Refusal::invalid("/refresh_token", error))
}

/// Reads the id of a user.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn user_id(text: &str) -> Result<UserId, Refusal> {
    text.parse().map_err(|error| Refusal::invalid("id", error))
}

/// Reads a name.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn name(text: &str) -> Result<PersonName, Refusal> {
    PersonName::parse(text).map_err(|error| Refusal::invalid("/name", error))
}

/// Reads the reason of a ban.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn ban_reason(text: &str) -> Result<BanReason, Refusal> {
    BanReason::parse(text).map_err(|error| Refusal::invalid("/reason", error))
}

/// Reads roles.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn roles(names: &[String]) -> Result<Roles, Refusal> {
    if names.len() > MAX_ROLES {
        return Err(Refusal::invalid("/roles", format!("must name at most {MAX_ROLES} roles")));
    }
    let mut problems = Problems::default();
    let mut roles = Vec::with_capacity(names.len());
    for (position, name) in names.iter().enumerate() {
        roles.extend(problems.check(&format!("/roles/{position}"), name.parse::<Role>()));
    }
    let roles = problems.finish(Some(roles))?;
    Roles::new(roles).map_err(|error| Refusal::invalid("/roles", error))
}

/// Reads which users to list.
///
/// # Errors
/// `INVALID_REQUEST`.
pub fn user_query(request: &proto::ListUsersRequest) -> Result<UserQuery, Refusal> {
    let mut problems = Problems::default();
    let search = contracts::values::parse_text(&request.search, 0, MAX_SEARCH_CHARS);
    let search = problems.check("search", search);
    let after = problems.check("cursor", cursor::decode(&request.cursor));
    let limit = match request.limit {
        0 => Ok(DEFAULT_PAGE),
        limit if limit <= MAX_PAGE => Ok(limit),
        _ => Err(format!("must be 1 to {MAX_PAGE}")),
    };
    let limit = problems.check("limit", limit);
    let query = search.zip(after).zip(limit);
    problems.finish(query.map(|((search, after), limit)| UserQuery { search, after, limit: limit as usize }))
}

/// Writes a user.
pub fn user(user: &User) -> proto::User {
    proto::User {
        id: user.id().to_string(),
        email: user.email().as_str().to_owned(),
        name: user.name().as_str().to_owned(),
        roles: user.roles().iter().map(|role| role.to_string()).collect(),
        ban_reason: user.ban_reason().map(|reason| reason.as_str().to_owned()),
        created_at_unix_ms: user.created_at().unix_ms(),
        version: user.version(),
    }
}

/// Writes a session.
pub fn session(issued: IssuedSession) -> proto::Session {
    proto::Session {
        user: Some(user(&issued.user)),
        access_token: issued.access_token,
        refresh_token: issued.refresh_token.expose().to_owned(),
        expires_in_seconds: issued.expires_in.as_secs(),
    }
}

/// Writes a page of users.
pub fn user_page(page: &UserPage) -> proto::ListUsersResponse {
    proto::ListUsersResponse {
        items: page.items.iter().map(user).collect(),
        next_cursor: page.next.map(cursor::encode).unwrap_or_default(),
    }
}

/// Writes a key.
pub fn jwk(key: PublishedKey) -> proto::Jwk {
    proto::Jwk { kid: key.kid, public_key: key.public_key }
}

/// Writes a revocation.
pub fn revocation(revocation: &Revocation) -> proto::Revocation {
    proto::Revocation {
        user_id: revocation.user_id.to_string(),
        session_id: revocation.session_id.map(|id| id.to_string()),
        not_before_unix_ms: revocation.not_before.unix_ms(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Vec<String> {
        result.unwrap_err().fields.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn everything_wrong_with_a_registration_is_told_at_once() {
        assert_eq!(fields(registration("ada", "short".to_owned(), " ")), ["/email", "/password", "/name"]);
        assert_eq!(fields(registration("ada@example.org", "long enough".to_owned(), "a\0")), ["/name"]);
        assert!(registration("ada@example.org", "long enough".to_owned(), "Ada").is_ok());
    }

    #[test]
    fn roles_are_refused_where_they_are_wrong() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(fields(roles(&names(&["admin", "root", "Admin"]))), ["/roles/1", "/roles/2"]);
        assert_eq!(fields(roles(&[])), ["/roles"]);
        assert_eq!(fields(roles(&names(&["admin"; 17]))), ["/roles"]);
        assert!(roles(&names(&["admin", "admin"])).is_ok());
    }

    #[test]
    fn a_query_is_bounded() {
        let query = |search: &str, limit, cursor: &str| {
            user_query(&proto::ListUsersRequest { search: search.to_owned(), limit, cursor: cursor.to_owned() })
        };
        assert_eq!(query("", 0, "").unwrap().limit, 50);
        assert_eq!(query("", 100, "").unwrap().limit, 100);
        assert_eq!(fields(query("\0", 101, "?")), ["search", "cursor", "limit"]);
        assert_eq!(fields(query(&"x".repeat(101), 0, "")), ["search"]);
    }
}
