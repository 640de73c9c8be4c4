//! Revocations of access tokens that have not expired.

use contracts::Timestamp;
use contracts::ids::{SessionId, UserId};

/// Says that access tokens issued before a moment are void although their signature and expiry are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Whose tokens.
    pub user_id: UserId,
    /// Those of one session; of all the user's sessions when absent.
    pub session_id: Option<SessionId>,
    /// Tokens issued before this are void.
    pub not_before: Timestamp,
    /// By then every token concerned has expired: the revocation may be forgotten.
    pub expires_at: Timestamp,
}
