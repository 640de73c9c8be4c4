//! What a user wants to be told of, and how.

/// On which ways a kind of notification reaches a user; on all of them unless the user chose otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// In the inbox: pushed to every device, listed, and counted while unread.
    pub push: bool,
    /// By email.
    pub email: bool,
}

impl Default for Channels {
    fn default() -> Self {
        Self { push: true, email: true }
    }
}

/// A choice; `None` leaves the channel as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelChange {
    /// Whether in the inbox.
    pub push: Option<bool>,
    /// Whether by email.
    pub email: Option<bool>,
}

impl Channels {
    /// The channels after the choice.
    #[must_use]
    pub fn after(self, change: ChannelChange) -> Self {
        Self { push: change.push.unwrap_or(self.push), email: change.email.unwrap_or(self.email) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_changes_what_it_names() {
        let all = Channels::default();
        assert_eq!(all.after(ChannelChange::default()), Channels { push: true, email: true });
        let quiet = all.after(ChannelChange { push: Some(false), email: None });
        assert_eq!(quiet, Channels { push: false, email: true });
        assert_eq!(
            quiet.after(ChannelChange { push: None, email: Some(false) }),
            Channels { push: false, email: false }
        );
    }
}
