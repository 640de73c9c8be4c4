//! Finds secrets in text by what they look like.

use std::borrow::Cow;
use std::ops::Range;

use super::card::end_of_card;
use super::{MASK, is_secret_name};

/// How often masked text is looked at again: a mask can end what hid another secret. Text that still changes then was made
/// to; what was found in it is masked all the same.
const PASSES: usize = 4;

/// Shortest JSON Web Token worth the name: what `{"alg":` becomes.
const MIN_JWT: usize = 10;
/// Shortest credential after `Bearer` or `Basic`: shorter are words such as "bearer token".
const MIN_CREDENTIAL: usize = 8;
/// Most digits of a placeholder's number: PostgreSQL counts to 65535, SQLite to 32766.
const MAX_PLACEHOLDER: usize = 5;
/// From this length on, letters alone are taken for a credential too.
const SURELY_CREDENTIAL: usize = 24;

/// Masks what looks like a secret: the last line of defence, behind types and field names.
///
/// | what | becomes |
/// | --- | --- |
/// | email addresses, also percent-encoded | `***@souk.test` |
/// | card numbers (13 to 19 digits, check digit right, a network's prefix, standing alone) | `***` |
/// | JSON Web Tokens | `***` |
/// | credentials after `Bearer` and `Basic` | `Bearer ***` |
/// | `password=…`, `?token=…`, `"apiKey":"…"`, `secret: "…"`, by [`is_secret_name`] | `password=***` |
/// | `Authorization: …`, `Cookie: …`, to the end of the line | `Cookie: ***` |
/// | the password of `scheme://user:password@host` | `scheme://user:***@host` |
///
/// A parameter of a query (`?token=…`, `&token=…`) ends where a query's value does, so that what an access line tells behind
/// it stays: `/x?token=***|200|12 ms`.
///
/// What is left as it is: UUIDs, trace ids, prices, times, placeholders of SQL (`email = ?1`,
/// `email = excluded.email`, `email = NULL`), and `name: words`, which is how errors are told (`token: expired`).
/// Text without secrets is returned as it came, without an allocation. Masking masked text changes nothing.
pub fn text(text: &str) -> Cow<'_, str> {
    let mut clean = Cow::Borrowed(text);
    for _ in 0..PASSES {
        match pass(&clean) {
            Some(masked) => clean = Cow::Owned(masked),
            None => break,
        }
    }
    clean
}

/// One pass from left to right; `None` when there is nothing to mask.
fn pass(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut masked = String::new();
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        let found = if STARTS[usize::from(bytes[at])] { find(bytes, copied, at) } else { None };
        let Some(secret) = found.filter(|secret| &bytes[secret.clone()] != MASK.as_bytes()) else {
            at += 1;
            continue;
        };
        if masked.is_empty() {
            masked.reserve(text.len());
        }
        masked.push_str(&text[copied..secret.start]);
        masked.push_str(MASK);
        copied = secret.end;
        at = secret.end.max(at + 1);
    }
    if masked.is_empty() {
        return None;
    }
    masked.push_str(&text[copied..]);
    Some(masked)
}

/// The bytes by which a secret is noticed.
const STARTS: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    let noticed = b"@%=:JbB0123456789";
    while index < noticed.len() {
        table[noticed[index] as usize] = true;
        index += 1;
    }
    table
};

/// The secret that the byte at `at` gives away. It begins at `from` or later: what is before was dealt with.
fn find(text: &[u8], from: usize, at: usize) -> Option<Range<usize>> {
    match text[at] {
        b'0'..=b'9' => end_of_card(text, at).map(|end| at..end),
        b'@' => local_part(text, from, at, at + 1),
        b'%' if text[at..].starts_with(b"%40") => local_part(text, from, at, at + 3),
        b'=' => assigned(text, from, at),
        b':' if text[at..].starts_with(b"://") => password_of_url(text, at + 3),
        b':' => member(text, from, at),
        b'J' => web_token(text, from, at),
        b'b' | b'B' => credential(text, at),
        _ => None,
    }
}

/// What is before the `@` at `at`, if a host follows.
fn local_part(text: &[u8], from: usize, at: usize, domain: usize) -> Option<Range<usize>> {
    let is_local = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b".!#$%+-^_`|~".contains(byte);
    let has_host =
        text.get(domain).is_some_and(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii() || *byte == b'[');
    let start = at - text[from..at].iter().rev().take_while(|byte| is_local(byte)).count();
    (has_host && start < at).then_some(start..at)
}

/// The value in `name=value` and `name = value`.
fn assigned(text: &[u8], from: usize, equals: usize) -> Option<Range<usize>> {
    let spaced = equals > from && text[equals - 1] == b' ';
    let name = name_before(text, from, equals - usize::from(spaced))?;
    let mut start = equals + 1;
    if spaced {
        start += usize::from(text.get(start) == Some(&b' '));
    }
    if let Some(inside) = quoted(text, start) {
        return Some(inside);
    }
    if matches!(text.get(start), Some(b'=' | b'>')) || stands_for(name, &text[start..end_of_value(text, start)]) {
        return None;
    }
    let before = (equals - usize::from(spaced) - name.len()).checked_sub(1).map(|at| text[at]);
    let end = if !spaced && matches!(before, Some(b'?' | b'&')) {
        end_of_query_value(text, start)
    } else if is_header(name) {
        end_of_line(text, start)
    } else {
        end_of_value(text, start)
    };
    (start < end).then_some(start..end)
}

/// The value in `"name":"value"`, `name: "value"`, `name: Some("value")` and `header: value`.
fn member(text: &[u8], from: usize, colon: usize) -> Option<Range<usize>> {
    let before = &text[from..colon];
    let quotes =
        if before.ends_with(b"\\\"") { 2 } else { usize::from(before.ends_with(b"\"") || before.ends_with(b"'")) };
    let name = name_before(text, from, colon - quotes)?;
    let spaces = text[colon + 1..].iter().take_while(|byte| **byte == b' ').count();
    let mut start = colon + 1 + spaces;
    let value = start;
    // `Some("…")`, as `Debug` tells it.
    loop {
        let word = text[start..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if word == 0 || text.get(start + word) != Some(&b'(') {
            break;
        }
        start += word + 1;
    }
    if let Some(inside) = quoted(text, start) {
        return Some(inside);
    }
    let end = if quotes > 0 && !matches!(text.get(value), Some(b'{' | b'[')) {
        end_of_value(text, value)
    } else if is_header(name) {
        end_of_line(text, value)
    } else {
        // `token: expired` tells of a token, not the token.
        return None;
    };
    (value < end && &text[value..end] != b"null").then_some(value..end)
}

/// The secret name that ends at `end`.
fn name_before(text: &[u8], from: usize, end: usize) -> Option<&str> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = text[from..end].iter().rev().take_while(|byte| is_name(byte)).count();
    let name = std::str::from_utf8(&text[end - length..end]).ok()?;
    is_secret_name(name).then_some(name)
}

/// Headers whose value is all that follows, spaces too.
fn is_header(name: &str) -> bool {
    ["authorization", "cookie", "x-api-key"].iter().any(|header| {
        name.len()
            .checked_sub(header.len())
            .is_some_and(|at| name.as_bytes()[at..].eq_ignore_ascii_case(header.as_bytes()))
    })
}

/// What is inside the quotes that open at `start`; to the end of the text when they are not closed.
fn quoted(text: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = text.get(start..)?;
    let (open, escaped) = match rest {
        [quote @ (b'"' | b'\''), ..] => (1, (*quote, false)),
        [b'\\', b'"', ..] => (2, (b'"', true)),
        _ => return None,
    };
    let (quote, escaped) = escaped;
    let inside = start + open;
    let mut at = inside;
    while at < text.len() {
        match text[at] {
            b'\\' if escaped && text.get(at + 1) == Some(&quote) => break,
            b'\\' => at += 1,
            byte if byte == quote && !escaped => break,
            _ => {}
        }
        at += 1;
    }
    let end = at.min(text.len());
    (inside < end).then_some(inside..end)
}

fn end_of_value(text: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"&;,\"')]}<>".contains(byte);
    text[start..].iter().position(ends).map_or(text.len(), |length| start + length)
}

/// Narrower than [`end_of_value`], which takes `|` and `#` for parts of a password.
fn end_of_query_value(text: &[u8], start: usize) -> usize {
    let end = end_of_value(text, start);
    text[start..end].iter().position(|byte| b"|#".contains(byte)).map_or(end, |length| start + length)
}

/// Whether SQL says where the value comes from, or that there is none, and not the value: a placeholder, `NULL`, or
/// `excluded.` with the column's own name (`ON CONFLICT … DO UPDATE SET email = excluded.email`).
fn stands_for(name: &str, value: &[u8]) -> bool {
    const ROW: &[u8] = b"excluded.";
    let of_new_row = value
        .split_at_checked(ROW.len())
        .is_some_and(|(row, column)| row.eq_ignore_ascii_case(ROW) && column.eq_ignore_ascii_case(name.as_bytes()));
    of_new_row || value.eq_ignore_ascii_case(b"null") || is_placeholder(value)
}

/// `?`, `?1`, `$1` or `$1::text`: where SQL has a value, not the value.
fn is_placeholder(value: &[u8]) -> bool {
    let (Some(sign @ (b'?' | b'$')), Some(rest)) = (value.first(), value.get(1..)) else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let cast = match &rest[digits..] {
        [] => true,
        [b':', b':', cast @ ..] => cast.iter().all(|byte| byte.is_ascii_alphabetic() || b"_[".contains(byte)),
        _ => false,
    };
    cast && digits <= MAX_PLACEHOLDER && (digits > 0 || *sign == b'?')
}

fn end_of_line(text: &[u8], start: usize) -> usize {
    text[start..].iter().position(|byte| b"\r\n\"".contains(byte)).map_or(text.len(), |length| start + length)
}

/// The password in `user:password@host`, which begins at `start` (RFC 3986 §3.2.1).
fn password_of_url(text: &[u8], start: usize) -> Option<Range<usize>> {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'<>".contains(byte);
    let authority = &text[start..];
    let authority = &authority[..authority.iter().position(ends).unwrap_or(authority.len())];
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority[..at].iter().position(|byte| *byte == b':')?;
    (colon + 1 < at).then_some(start + colon + 1..start + at)
}

/// The JSON Web Token whose `J` of `eyJ` is at `at`: every one begins so, being `{"` in base64url.
fn web_token(text: &[u8], from: usize, at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(2).filter(|start| *start >= from)?;
    let alone = start.checked_sub(1).is_none_or(|before| !text[before].is_ascii_alphanumeric());
    if !alone || !text[start..].starts_with(b"eyJ") {
        return None;
    }
    let end = end_of_token(text, start, b"._-");
    (end - start >= MIN_JWT).then_some(start..end)
}

/// What follows the `Bearer` or `Basic` at `at` (RFC 6750 §2.1, RFC 7617 §2).
fn credential(text: &[u8], at: usize) -> Option<Range<usize>> {
    let scheme = [&b"bearer"[..], b"basic"]
        .into_iter()
        .find(|scheme| text[at..].get(..scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme)))?;
    if at.checked_sub(1).is_some_and(|before| text[before].is_ascii_alphanumeric()) {
        return None;
    }
    let gap = at + scheme.len();
    let start = match &text[gap..] {
        [b'%', b'2', b'0', ..] => gap + 3,
        [b' ' | b'+', ..] => gap + 1,
        _ => return None,
    };
    let end = end_of_token(text, start, b"._~+/=-");
    is_opaque(&text[start..end]).then_some(start..end)
}

/// The end of a run of letters, digits and `more`; a full stop at its end belongs to the sentence.
fn end_of_token(text: &[u8], start: usize, more: &[u8]) -> usize {
    let run = text[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || more.contains(byte)).count();
    let stops = text[start..start + run].iter().rev().take_while(|byte| **byte == b'.').count();
    start + run - stops
}

/// Whether this can't be a word.
fn is_opaque(token: &[u8]) -> bool {
    token.len() >= MIN_CREDENTIAL
        && (token.len() >= SURELY_CREDENTIAL
            || token.iter().any(|byte| byte.is_ascii_digit() || *byte == b'=')
            || token.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()))
}
