//! How a user is reached.

use std::fmt;

use contracts::ids::UserId;

/// Address and name of a user, as of one version of the account.
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    /// Whose.
    pub user_id: UserId,
    /// The address; never logged.
    pub email: String,
    /// The name; never logged.
    pub name: String,
    /// Version of the account: the newest wins. The same number as `aggregateversion` of its events.
    pub version: u64,
}

impl fmt::Debug for Contact {
    /// Without what identifies a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact")
            .field("user_id", &self.user_id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use contracts::ids::UserId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_identifies_a_person_is_not_shown() {
        let user_id = UserId::from_uuid(Uuid::nil());
        let contact = Contact { user_id, email: "ada@souk.test".to_owned(), name: "Ada".to_owned(), version: 1 };
        let shown = format!("{contact:?}");
        assert!(!shown.contains("ada@") && !shown.contains("Ada"), "{shown}");
    }
}
