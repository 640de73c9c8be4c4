//! The caller of a request, and what it may do.

use std::sync::Arc;

use contracts::ids::{SessionId, UserId};
use contracts::{Reason, Refusal, Role, Timestamp};

/// Who is calling.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody said.
    Anonymous,
    /// A signed-in user.
    User(Arc<UserCaller>),
    /// Another service of Souk, by name.
    Service(Arc<str>),
}

/// A signed-in user, as their access token says.
#[derive(Clone, Debug)]
pub struct UserCaller {
    /// Who.
    pub user_id: UserId,
    /// Which sign-in.
    pub session_id: SessionId,
    /// What they may do.
    pub roles: Vec<Role>,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl UserCaller {
    /// Whether the user has this role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Support or admin.
    pub fn is_staff(&self) -> bool {
        self.has(Role::Support) || self.has(Role::Admin)
    }
}

impl Caller {
    /// The caller of a gRPC request, as the server stack found it.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or(Self::Anonymous)
    }

    /// The signed-in user.
    ///
    /// # Errors
    /// `AUTHENTICATION_REQUIRED` for nobody, `NOT_ALLOWED` for a service.
    pub fn user(&self) -> Result<&Arc<UserCaller>, Refusal> {
        match self {
            Self::User(user) => Ok(user),
            Self::Anonymous => Err(authentication_required()),
            Self::Service(_) => Err(not_allowed()),
        }
    }

    /// A user with one of these roles.
    ///
    /// # Errors
    /// `AUTHENTICATION_REQUIRED`, `NOT_ALLOWED`.
    pub fn user_with(&self, roles: &[Role]) -> Result<&Arc<UserCaller>, Refusal> {
        let user = self.user()?;
        if roles.iter().any(|role| user.has(*role)) { Ok(user) } else { Err(not_allowed()) }
    }

    /// Another service; its name.
    ///
    /// # Errors
    /// `AUTHENTICATION_REQUIRED`, `NOT_ALLOWED`.
    pub fn service(&self) -> Result<&str, Refusal> {
        match self {
            Self::Service(name) => Ok(name),
            Self::Anonymous => Err(authentication_required()),
            Self::User(_) => Err(not_allowed()),
        }
    }

    /// Whether this caller may see what belongs to `owner`: the owner, staff, any service.
    pub fn may_see(&self, owner: UserId) -> bool {
        match self {
            Self::User(user) => user.user_id == owner || user.is_staff(),
            Self::Service(_) => true,
            Self::Anonymous => false,
        }
    }
}

fn authentication_required() -> Refusal {
    Refusal::new(Reason::AuthenticationRequired, Reason::AuthenticationRequired.title())
}

fn not_allowed() -> Refusal {
    Refusal::new(Reason::NotAllowed, Reason::NotAllowed.title())
}
