//! What goes with a change of a user, in the same transaction.

use contracts::ids::SessionId;
use contracts::{Event, Timestamp};

use crate::domain::Revocation;

/// The consequences of one change.
#[derive(Debug, Default)]
pub struct Effects {
    /// What to tell others.
    pub events: Vec<Event>,
    /// Which access tokens become void.
    pub revocation: Option<Revocation>,
    /// Which sessions can't be refreshed any more.
    pub ended: EndedSessions,
}

/// Sessions that a change ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndedSessions {
    /// None.
    #[default]
    None,
    /// This one, at this moment.
    One(SessionId, Timestamp),
    /// All of the user's, at this moment.
    All(Timestamp),
}

impl Effects {
    /// Nothing changed.
    pub fn none() -> Self {
        Self::default()
    }

    /// An event and nothing else.
    pub fn telling(event: Event) -> Self {
        Self { events: vec![event], ..Self::default() }
    }

    /// Also voids access tokens.
    pub fn voiding(mut self, revocation: Revocation) -> Self {
        self.revocation = Some(revocation);
        self
    }

    /// Also ends sessions.
    pub fn ending(mut self, sessions: EndedSessions) -> Self {
        self.ended = sessions;
        self
    }
}
