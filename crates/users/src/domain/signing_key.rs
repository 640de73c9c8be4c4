//! The keys that sign access tokens, and when they change.

use std::fmt;
use std::time::Duration;

use contracts::Timestamp;

/// A key signs this long; then a new one does.
pub const ROTATE_AFTER: Duration = Duration::from_hours(30 * 24);

/// How long a successor is published before it signs. Several times longer than replicas that share a store take to hear of
/// it, and than clocks differ: whoever is asked for the key of a token has it.
pub const PUBLISHED_BEFORE_USE: Duration = Duration::from_secs(30);

/// A key pair.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Names it in the header of tokens.
    pub kid: String,
    /// Both halves, PKCS#8 (RFC 8410).
    pub pkcs8: Vec<u8>,
    /// Since when it signs; may lie ahead.
    pub created_at: Timestamp,
    /// Since when another signs; may lie ahead.
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

/// All keys there are: the one that signs or is about to, and those whose tokens may still be about.
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

    /// The key that signs, or will before long.
    pub fn newest(&self) -> &SigningKey {
        &self.newest
    }

    /// The key that signs at `now`: the newest, or the one before it until the newest has been published long enough.
    pub fn signing_at(&self, now: Timestamp) -> &SigningKey {
        if self.newest.created_at <= now {
            return &self.newest;
        }
        let signs =
            |key: &&SigningKey| key.created_at <= now && key.retired_at.is_none_or(|retired_at| now < retired_at);
        let before = self.retired.iter().filter(signs).max_by_key(|key| (key.created_at, &key.kid));
        // The very first key, where another replica's clock is ahead: there is no other.
        before.unwrap_or(&self.newest)
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
    fn a_successor_signs_from_its_time_on_and_until_then_the_one_before_does() {
        let set = KeySet::of(vec![key("old", 1, Some(5)), key("b", 5, Some(50)), key("c", 50, None)]).unwrap();
        let kid = |now| set.signing_at(Timestamp::from_unix_ms(now)).kid.clone();
        assert_eq!((kid(49), kid(50)), ("b".to_owned(), "c".to_owned()));
        assert_eq!(kid(6), "b");
        let first = KeySet::of(vec![key("a", 9, None)]).unwrap();
        assert_eq!(first.signing_at(Timestamp::from_unix_ms(8)).kid, "a", "there is no other");
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
