//! Card numbers in text.

/// The digits of a card number (ISO/IEC 7812-1: up to 19; no network issues fewer than 13).
const LENGTHS: std::ops::RangeInclusive<usize> = 13..=19;

/// How printed numbers are grouped.
const GROUPS: &[&[usize]] = &[&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 1]];

/// The end of the card number that begins at `start`, which is a digit with no digit before it.
///
/// Numbers of networks that exist, with a valid check digit, in one piece or in the groups that cards are printed in.
/// They must stand alone: digits inside a longer word or an id, such as a UUID, are none.
pub(super) fn end_of_card(text: &[u8], start: usize) -> Option<usize> {
    if !begins_a_word(text, start) {
        return None;
    }
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = start + digits;
    if LENGTHS.contains(&digits) {
        return (ends_a_word(text, end) && is_card(&text[start..end])).then_some(end);
    }
    if digits != 4 {
        return None;
    }
    GROUPS.iter().find_map(|groups| {
        let end = end_of_groups(text, start, groups)?;
        (ends_a_word(text, end) && is_card(&text[start..end])).then_some(end)
    })
}

fn end_of_groups(text: &[u8], start: usize, groups: &[usize]) -> Option<usize> {
    let mut at = start;
    for (index, length) in groups.iter().enumerate() {
        if index > 0 {
            if !matches!(text.get(at), Some(b' ' | b'-')) {
                return None;
            }
            at += 1;
        }
        let digits = text.get(at..at + length)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        at += length;
    }
    Some(at)
}

fn begins_a_word(text: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1).map(|at| text[at]) else { return true };
    if is_word(before) {
        return false;
    }
    // `ORD-4111…` and `0.4111…` are no cards; a dash alone may be the sign before one.
    !matches!(before, b'-' | b'.') || !start.checked_sub(2).is_some_and(|at| is_word(text[at]))
}

fn ends_a_word(text: &[u8], end: usize) -> bool {
    match text.get(end) {
        None => true,
        Some(b'-' | b'.') => !text.get(end + 1).is_some_and(|byte| is_word(*byte)),
        Some(after) => !is_word(*after),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the digits in `text` are a number that a card may have.
fn is_card(text: &[u8]) -> bool {
    let mut prefix = 0_u32;
    let (mut count, mut odd, mut even) = (0_usize, 0_u32, 0_u32);
    for byte in text.iter().rev().filter(|byte| byte.is_ascii_digit()) {
        let digit = u32::from(byte - b'0');
        if count.is_multiple_of(2) {
            odd += digit;
        } else {
            // Twice the digit, its own digits added (ISO/IEC 7812-1, Annex B).
            even += if digit > 4 { digit * 2 - 9 } else { digit * 2 };
        }
        count += 1;
    }
    for byte in text.iter().filter(|byte| byte.is_ascii_digit()).take(4) {
        prefix = prefix * 10 + u32::from(byte - b'0');
    }
    LENGTHS.contains(&count) && (odd + even).is_multiple_of(10) && is_issued(prefix)
}

/// Whether a card network's numbers begin with these four digits: without it, dates such as `20261122170000` and the
/// milliseconds of today would be cards one time in ten.
fn is_issued(prefix: u32) -> bool {
    matches!(prefix, 2200..=2204 | 2221..=2720 | 3000..=6999 | 8100..=8299 | 9792)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        end_of_card(text.as_bytes(), 0).map(|end| &text[..end])
    }

    #[test]
    fn numbers_of_every_network_are_found_in_one_piece_and_in_groups() {
        for card in [
            "4111111111111111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "6304000000000000",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "3782 822463 10005",
            "3056 930902 5904",
        ] {
            assert_eq!(found(card), Some(card));
            assert_eq!(found(&format!("{card}, please")), Some(card));
            assert_eq!(found(&format!("{card}.")), Some(card));
        }
        assert_eq!(found("4111 1111 1111 1111 12/29"), Some("4111 1111 1111 1111"));
    }

    #[test]
    fn other_numbers_are_no_cards() {
        for other in [
            "4111111111111112",
            "1790000000000",
            "1790000000000000",
            "20261122170000",
            "4111 1111 1111 1112",
            "4111-1111-1111-1111-aaaaaaaaaaaa",
            "411111111111",
            "41111111111111111111",
            "4111111111111111.00",
            "4111111111111111a",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
        assert_eq!(end_of_card(b"ORD-4111111111111111", 4), None);
        assert_eq!(end_of_card(b"-4111111111111111", 1), Some(17));
    }
}
