//! What users may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A role of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees and changes their own data.
    Customer,
    /// Also reads any order, cancels and refunds.
    Support,
    /// Also ships, delivers, keeps the catalogue, gives roles and bans.
    Admin,
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is customer, support or admin")]
pub struct InvalidRole;

impl Role {
    /// The name on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Support => "support",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = InvalidRole;
    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        match text {
            "customer" => Ok(Self::Customer),
            "support" => Ok(Self::Support),
            "admin" => Ok(Self::Admin),
            _ => Err(InvalidRole),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
