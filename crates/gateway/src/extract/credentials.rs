//! Where a request may carry the access token, and when a cookie counts (docs/adr/0027-cookies-of-browsers.md).

use std::borrow::Cow;

use contracts::{Reason, Refusal};

/// The name of the cookie.
pub const COOKIE: &str = "souk_access";

/// The headers that are looked at.
pub const HEADERS: [&str; 4] = ["authorization", "cookie", "origin", "sec-fetch-site"];

/// What carried the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `Authorization: Bearer …`.
    Header,
    /// The query, where that may carry one.
    Query,
    /// The cookie.
    Cookie,
}

/// An access token, not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The token.
    pub token: Cow<'a, str>,
    /// What carried it.
    pub source: Source,
}

/// The origins whose pages are served by cookie: those that may call from a browser at all.
#[derive(Clone, Debug, Default)]
pub struct CookieOrigins(Vec<String>);

impl CookieOrigins {
    /// An allow-list of origins as browsers send them, in lower case.
    pub fn new(origins: Vec<String>) -> Self {
        Self(origins)
    }

    /// The token of the request with these headers, their names in lower case: of the `Authorization` header (RFC 6750
    /// §2.1), else of the query as the caller read it, else of the cookie, where that counts.
    ///
    /// # Errors
    /// `INVALID_TOKEN` for an `Authorization` header of another scheme, or for more than one.
    pub fn credentials<'a>(
        &self,
        headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        query: Option<&'a str>,
    ) -> Result<Option<Credentials<'a>>, Refusal> {
        if let Some(token) = bearer_token(values(headers.clone(), "authorization"))? {
            return Ok(Some(Credentials { token: token.into(), source: Source::Header }));
        }
        if let Some(token) = query {
            return Ok(Some(Credentials { token: token.into(), source: Source::Query }));
        }
        if !self.cookie_counts(headers.clone()) {
            return Ok(None);
        }
        Ok(cookie(headers).map(|token| Credentials { token: token.into(), source: Source::Cookie }))
    }

    /// A browser sends cookies whichever page asks. It names the page's origin with everything but plain reads from the
    /// page's own; of those it says `Sec-Fetch-Site: same-origin`, which no script can write (Fetch Metadata §2.1).
    fn cookie_counts<'a>(&self, headers: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> bool {
        match only(values(headers.clone(), "origin")) {
            Value::One(origin) => self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)),
            Value::None => only(values(headers, "sec-fetch-site")) == Value::One("same-origin"),
            Value::Several => false,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Value<'a> {
    None,
    One(&'a str),
    Several,
}

fn values<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, name: &str) -> impl Iterator<Item = &'a str> {
    headers.filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

fn only<'a>(mut values: impl Iterator<Item = &'a str>) -> Value<'a> {
    match (values.next(), values.next()) {
        (None, _) => Value::None,
        (Some(value), None) => Value::One(value),
        (Some(_), Some(_)) => Value::Several,
    }
}

fn bearer_token<'a>(values: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, Refusal> {
    let invalid = || Refusal::new(Reason::InvalidToken, "the Authorization header is not 'Bearer <token>'");
    match only(values) {
        Value::None => Ok(None),
        Value::Several => Err(invalid()),
        Value::One(value) => match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
            _ => Err(invalid()),
        },
    }
}

/// The token of the cookie (RFC 6265 §5.4); none where two are sent: a neighbouring host may have set one of them.
fn cookie<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    let pairs = values(headers, "cookie").flat_map(|value| value.split(';'));
    let tokens = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == COOKIE);
    match only(tokens.map(|(_, token)| token)) {
        Value::One(token) if !token.is_empty() => Some(token),
        _ => None,
    }
}

/// Whether the request brought the cookie, whether or not it counts.
pub fn has_cookie<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let mut pairs = values(headers, "cookie").flat_map(|value| value.split(';'));
    pairs.any(|pair| pair.trim().split_once('=').is_some_and(|(name, _)| name == COOKIE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&str, &str)], query: Option<&str>) -> Result<Option<(String, Source)>, Reason> {
        let origins = CookieOrigins::new(vec!["https://shop.example".to_owned()]);
        let found = origins.credentials(headers.iter().copied(), query);
        found.map(|found| found.map(|found| (found.token.into_owned(), found.source))).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn a_header_goes_before_the_query_and_that_before_a_cookie() {
        let all = [("authorization", "Bearer a"), ("cookie", "souk_access=c"), ("origin", "https://shop.example")];
        assert_eq!(found(&all, Some("b")), Ok(Some(("a".to_owned(), Source::Header))));
        assert_eq!(found(&all[1..], Some("b")), Ok(Some(("b".to_owned(), Source::Query))));
        assert_eq!(found(&all[1..], None), Ok(Some(("c".to_owned(), Source::Cookie))));
        assert_eq!(found(&[], None), Ok(None));
        for bad in ["Basic a", "Bearer", "\u{fffd}"] {
            assert_eq!(found(&[("authorization", bad)], Some("b")), Err(Reason::InvalidToken), "{bad}");
        }
        assert_eq!(found(&[all[0], all[0]], None), Err(Reason::InvalidToken));
    }

    #[test]
    fn a_cookie_counts_for_pages_that_are_listed_and_for_reads_of_the_same_origin() {
        let counts = |more: &[(&str, &str)]| {
            found(&[&[("cookie", "theme=dark; souk_access=c")], more].concat(), None).unwrap().is_some()
        };
        assert!(counts(&[("origin", "https://shop.example")]));
        assert!(counts(&[("origin", "https://shop.example"), ("sec-fetch-site", "same-site")]));
        assert!(counts(&[("sec-fetch-site", "same-origin")]));
        for no in [
            &[][..],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "http://shop.example")],
            &[("origin", "https://shop.example.evil.example")],
            &[("origin", "https://shop.example"), ("origin", "https://shop.example")],
            // Whoever says where it comes from is judged by that alone.
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!counts(no), "{no:?}");
        }
    }

    #[test]
    fn two_cookies_of_the_name_are_none() {
        let listed = ("origin", "https://shop.example");
        for cookies in
            ["souk_access=a; souk_access=b", "souk_access=", "souk_access", "xsouk_access=a", "a=souk_access"]
        {
            assert_eq!(found(&[listed, ("cookie", cookies)], None), Ok(None), "{cookies}");
        }
    }
}
