//! What no line shows.

use std::borrow::Cow;

use crate::redact;
pub(super) use crate::redact::MASK;

/// Headers that are never shown, beside those whose name tells a secret.
const HEADERS: &[&str] = &["authorization", "proxy-authorization", "cookie", "set-cookie"];
/// Headers that hold an address, whose query may hold secrets.
const ADDRESS_HEADERS: &[&str] = &["referer", "referrer", "location", "content-location", "refresh", "link"];
/// Names of secrets, without case, `-` and `_`.
const NAMES: &[&str] = &[
    "auth",
    "authorization",
    "code",
    "credential",
    "credentials",
    "email",
    "jwt",
    "pin",
    "pwd",
    "sid",
    "sig",
    "signature",
];
/// The same, whatever comes before.
const ENDINGS: &[&str] = &["token", "password", "passwd", "secret", "apikey", "sessionid", "cardnumber", "privatekey"];

fn is_secret(name: &str) -> bool {
    let name: String = name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).flat_map(char::to_lowercase).collect();
    redact::is_secret_name(&name)
        || NAMES.contains(&name.as_str())
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// A header's value as a line may show it. `name` is in lower case.
pub(super) fn header<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if HEADERS.contains(&name) || is_secret(name) {
        Cow::Borrowed(MASK)
    } else if ADDRESS_HEADERS.contains(&name) {
        url(value)
    } else {
        Cow::Borrowed(value)
    }
}

/// An address with the values of its secret parameters masked, in the query and in the fragment; those that hold an
/// email address, too, and whoever stands before the host.
pub(super) fn url(url: &str) -> Cow<'_, str> {
    let url = without_userinfo(url);
    let Some(start) = url.find(['?', '#']) else { return url };
    let mut masked = String::with_capacity(url.len());
    masked.push_str(&url[..start]);
    let mut rest = &url[start..];
    while let Some(separator) = rest.chars().next() {
        masked.push(separator);
        rest = &rest[separator.len_utf8()..];
        let end = rest.find(['&', '#', '?', ';']).unwrap_or(rest.len());
        push_parameter(&mut masked, &rest[..end]);
        rest = &rest[end..];
    }
    Cow::Owned(masked)
}

fn push_parameter(masked: &mut String, parameter: &str) {
    match parameter.split_once('=') {
        Some((name, value)) if !value.is_empty() && (is_secret(&decoded(name)) || holds_email(value)) => {
            masked.push_str(name);
            masked.push('=');
            masked.push_str(MASK);
        }
        _ => masked.push_str(parameter),
    }
}

fn holds_email(value: &str) -> bool {
    decoded(value).contains('@')
}

/// `https://user:password@host/`: the part before the `@` goes.
fn without_userinfo(url: &str) -> Cow<'_, str> {
    let Some(start) = url.find("://").map(|at| at + 3) else { return Cow::Borrowed(url) };
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    match url[start..end].rfind('@') {
        Some(at) => Cow::Owned(format!("{}{MASK}{}", &url[..start], &url[start + at..])),
        None => Cow::Borrowed(url),
    }
}

/// Percent-decoded as far as it is well formed, twice: a proxy may have encoded once more.
fn decoded(text: &str) -> String {
    decoded_once(&decoded_once(text))
}

fn decoded_once(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_parameters_are_masked_however_their_name_is_written() {
        for (sent, shown) in [
            ("/events?token=abc&cursor=7", "/events?token=***&cursor=7"),
            ("/x?a=1&Access_Token=abc", "/x?a=1&Access_Token=***"),
            ("/x?%74oken=abc", "/x?%74oken=***"),
            ("/x?%2574oken=abc", "/x?%2574oken=***"),
            ("/x?client-secret=abc;password=def", "/x?client-secret=***;password=***"),
            ("/x?a=1?token=abc", "/x?a=1?token=***"),
            ("/x#id_token=abc", "/x#id_token=***"),
            ("/x?q=ann%40example.com", "/x?q=***"),
            ("/x?token=", "/x?token="),
            ("/x?tokens=3&page=2", "/x?tokens=3&page=2"),
            ("/x", "/x"),
            ("https://ann:pw@shop.example/x?code=1", "https://***@shop.example/x?code=***"),
        ] {
            assert_eq!(url(sent), shown);
        }
    }

    #[test]
    fn headers_that_carry_credentials_are_masked() {
        for name in ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-csrf-token"] {
            assert_eq!(header(name, "abc"), MASK, "{name}");
        }
        assert_eq!(header("referer", "https://shop.example/?token=abc"), "https://shop.example/?token=***");
        assert_eq!(header("user-agent", "curl/8"), "curl/8");
    }
}
