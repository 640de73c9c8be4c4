//! The roles of a user.

use std::collections::BTreeSet;

use contracts::Role;

/// At least one role, each once, in the order customer, support, admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

/// Nobody is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must name at least one role")]
pub struct NoRoles;

impl Roles {
    /// What everybody begins as.
    pub fn customer() -> Self {
        Self(BTreeSet::from([Role::Customer]))
    }

    /// These roles; one given twice counts once.
    ///
    /// # Errors
    /// [`NoRoles`] when there are none.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Result<Self, NoRoles> {
        let roles: BTreeSet<Role> = roles.into_iter().collect();
        if roles.is_empty() { Err(NoRoles) } else { Ok(Self(roles)) }
    }

    /// Whether the role is among them.
    pub fn contains(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// The roles, each once.
    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_a_set_that_is_never_empty() {
        assert_eq!(Roles::new([]), Err(NoRoles));
        let roles = Roles::new([Role::Admin, Role::Customer, Role::Admin]).unwrap();
        assert_eq!(roles.iter().collect::<Vec<_>>(), [Role::Customer, Role::Admin]);
        assert!(roles.contains(Role::Admin) && !roles.contains(Role::Support));
    }
}
