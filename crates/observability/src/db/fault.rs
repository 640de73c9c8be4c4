//! What an adapter's error says about the store.

use std::borrow::Cow;

/// The store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// `error.type`: a name from a small set, such as `timeout`, `unavailable`, `conflict`, `corrupt`.
    pub kind: &'static str,
    /// For people. What looks like a secret in it is masked.
    pub why: Cow<'a, str>,
    /// The store's own code (`db.response.status_code`), such as an SQLSTATE.
    pub status: Option<Cow<'a, str>>,
}

impl<'a> Fault<'a> {
    /// A fault of this kind.
    pub fn new(kind: &'static str, why: impl Into<Cow<'a, str>>) -> Self {
        Self { kind, why: why.into(), status: None }
    }

    /// With the store's own code.
    #[must_use]
    pub fn with_status(self, status: Option<impl Into<Cow<'a, str>>>) -> Self {
        Self { status: status.map(Into::into), ..self }
    }
}

/// An error that can tell whether a store is at fault.
pub trait StoreFault {
    /// What went wrong; `None` where the store did as it was asked and the error is a rule's refusal.
    fn fault(&self) -> Option<Fault<'_>>;
}
