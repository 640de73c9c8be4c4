//! Moments as lines tell them: RFC 3339, UTC, milliseconds.

use time::OffsetDateTime;

/// `2026-11-22T17:00:00.123Z`.
pub(super) type Stamp = [u8; 24];

/// A moment in UTC. By hand: every line has one, and the general formatter takes ten times as long.
pub(super) fn stamp(at: OffsetDateTime) -> Stamp {
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[0..4], at.year().unsigned_abs());
    digits(&mut text[5..7], u32::from(u8::from(at.month())));
    digits(&mut text[8..10], u32::from(at.day()));
    digits(&mut text[11..13], u32::from(at.hour()));
    digits(&mut text[14..16], u32::from(at.minute()));
    digits(&mut text[17..19], u32::from(at.second()));
    digits(&mut text[20..23], u32::from(at.millisecond()));
    text
}

/// The same as text.
pub(super) fn stamp_text(at: OffsetDateTime) -> String {
    stamp(at).iter().copied().map(char::from).collect()
}

/// The present moment, RFC 3339 UTC with milliseconds.
pub(crate) fn now() -> String {
    stamp_text(OffsetDateTime::now_utc())
}

fn digits(place: &mut [u8], mut value: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_moment_has_its_leading_zeros() {
        assert_eq!(stamp_text(datetime!(2026-01-02 03:04:05.006 UTC)), "2026-01-02T03:04:05.006Z");
        assert_eq!(stamp_text(datetime!(2026-11-22 17:59:58.999_999 UTC)), "2026-11-22T17:59:58.999Z");
    }
}
