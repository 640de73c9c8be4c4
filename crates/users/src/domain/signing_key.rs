//! The keys that sign access tokens, and when they change.

use std::fmt;
use std::time::Duration;

use contracts::Timestamp;

/// A key signs this long; then a new one does.
pub const ROTATE_AFTER: Duration = Duration::from_hours(30 * 24);

/// A key pair.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Names it in the header of tokens.
    pub kid: String,
    /// Both halves, PKCS#8 (RFC 8410).
    pub pkcs8: Vec<u8>,
    /// Since when it signs.
    pub created_at: Timestamp,
    /// Since when another signs.
    pub retired_at: Option<Timestamp>,
}

impl SigningKey {
    /// Whether it has signed long enough.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.created_at) >= ROTATE_AFTER
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("created_at", &self.created_at)
            .field("retired_at", &self.retired_at)
            .finish_non_exhaustive()
    }
}

/// All keys there are: the one that signs, and those whose tokens may still be about.
#[derive(Clone, Debug)]
pub struct KeySet {
    newest: SigningKey,
    retired: Vec<SigningKey>,
}

impl KeySet {
    /// Sorts keys out; `None` when none of them may sign.
    pub fn of(keys: Vec<SigningKey>) -> Option<Self> {
        let (mut active, mut retired): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.retired_at.is_none());
        active.sort_by(|a, b| (a.created_at, &a.kid).cmp(&(b.created_at, &b.kid)));
        let newest = active.pop()?;
        retired.extend(active);
        Some(Self { newest, retired })
    }

    /// The key that signs.
    pub fn newest(&self) -> &SigningKey {
        &self.newest
    }

    /// The others.
    pub fn retired(&self) -> &[SigningKey] {
        &self.retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, created_at: i64, retired_at: Option<i64>) -> SigningKey {
        SigningKey {
            kid: kid.to_owned(),
            pkcs8: b"private".to_vec(),
            created_at: Timestamp::from_unix_ms(created_at),
            retired_at: retired_at.map(Timestamp::from_unix_ms),
        }
    }

    #[test]
    fn the_newest_key_that_is_not_retired_signs() {
        let set = KeySet::of(vec![key("b", 2, None), key("c", 3, Some(4)), key("a", 1, None)]).unwrap();
        assert_eq!(set.newest().kid, "b");
        assert_eq!(set.retired().len(), 2);
        assert!(KeySet::of(vec![key("c", 3, Some(4))]).is_none());
    }

    #[test]
    fn a_key_is_due_after_thirty_days() {
        let due = i64::try_from(ROTATE_AFTER.as_millis()).unwrap();
        assert!(!key("a", 0, None).is_due(Timestamp::from_unix_ms(due - 1)));
        assert!(key("a", 0, None).is_due(Timestamp::from_unix_ms(due)));
    }

    #[test]
    fn the_private_half_is_never_printed() {
        let shown = format!("{:?}", key("a", 0, None));
        assert!(!shown.contains("pkcs8") && !shown.contains("112"), "{shown}");
    }
}
