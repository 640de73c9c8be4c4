//! Accounts.

use contracts::Timestamp;
use contracts::grpc::users;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::PageLimit;

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Its id.
    #[schema(format = Uuid, example = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")]
    pub id: String,
    /// Its address.
    #[schema(example = "ada@souk.test")]
    pub email: String,
    /// Its name.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// `customer`, `support`, `admin`.
    #[schema(example = json!(["customer"]))]
    pub roles: Vec<String>,
    /// Set while banned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ban_reason: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Grows by one with every change.
    pub version: u64,
}

impl From<users::User> for User {
    fn from(user: users::User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            roles: user.roles,
            ban_reason: user.ban_reason,
            created_at: Timestamp::from_unix_ms(user.created_at_unix_ms),
            version: user.version,
        }
    }
}

/// What a user may change of themselves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// A new name.
    #[schema(nullable = false, example = "Ada King")]
    pub name: Option<String>,
}

/// Why a user is banned.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BanUser {
    /// Shown to staff and to the user who logs in.
    #[schema(example = "chargeback fraud")]
    pub reason: String,
}

/// The roles that a user has from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRoles {
    /// `customer`, `support`, `admin`.
    #[schema(example = json!(["customer", "support"]))]
    pub roles: Vec<String>,
}

/// Which users to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct UserQuery {
    /// Part of the email or the name, in any case.
    pub search: Option<String>,
    /// Users on a page, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: PageLimit,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}
