//! The address of a mail server.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use lettre::transport::smtp::authentication::Credentials;

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Never: for a server on the same machine.
    None,
    /// With STARTTLS where the server offers it: without credentials, whoever is in between could read the emails.
    Opportunistic,
    /// With STARTTLS, or nothing is sent.
    Required,
    /// From the first byte (`smtps`, RFC 8314).
    Implicit,
}

/// `smtp://[user:password@]host[:port][?tls=none|opportunistic|required][&ca=<file>]`, or `smtps://…` without `tls`. User and
/// password are percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpUrl {
    /// A name or an address, that of IPv6 without brackets.
    pub host: String,
    /// The port; 465 for `smtps`, else 587 with credentials (RFC 6409) and 25 without.
    pub port: u16,
    /// How the connection is encrypted; unless it is said, `Required` with credentials and `Opportunistic` without.
    pub tls: SmtpTls,
    /// Who signs in; shown nowhere.
    pub credentials: Option<Credentials>,
    /// PEM file of an authority that is trusted besides the public ones.
    pub authority: Option<PathBuf>,
}

/// What is wrong with the address of a mail server. Its text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSmtpUrl {
    /// No host, or one with impossible characters.
    #[error("the host must be a name or an address, that of IPv6 in brackets; a password must be percent-encoded")]
    Host,
    /// No port.
    #[error("the port must be 1 to 65535")]
    Port,
    /// User and password.
    #[error("user and password must be given as user:password, both percent-encoded")]
    Credentials,
    /// What follows the question mark.
    #[error(
        "only tls=none, tls=opportunistic, tls=required (not for smtps) and ca=<file> may follow the question mark"
    )]
    Option,
}

impl FromStr for SmtpUrl {
    type Err = InvalidSmtpUrl;

    fn from_str(text: &str) -> Result<Self, InvalidSmtpUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidSmtpUrl::Host)?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.strip_suffix('/').unwrap_or(place);
        let (credentials, place) = match place.rsplit_once('@') {
            Some((credentials, place)) => (Some(parse_credentials(credentials)?), place),
            None => (None, place),
        };
        let (host, port) = parse_place(place)?;
        let is_implicit = scheme == "smtps";
        let default_tls = match (is_implicit, &credentials) {
            (true, _) => SmtpTls::Implicit,
            (false, Some(_)) => SmtpTls::Required,
            (false, None) => SmtpTls::Opportunistic,
        };
        let default_port = match default_tls {
            SmtpTls::Implicit => 465,
            SmtpTls::Required => 587,
            SmtpTls::Opportunistic | SmtpTls::None => 25,
        };
        let mut url = Self { host, port: port.unwrap_or(default_port), tls: default_tls, credentials, authority: None };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("tls", "none")) if !is_implicit => url.tls = SmtpTls::None,
                Some(("tls", "opportunistic")) if !is_implicit => url.tls = SmtpTls::Opportunistic,
                Some(("tls", "required")) if !is_implicit => url.tls = SmtpTls::Required,
                Some(("ca", file)) if !file.is_empty() => {
                    url.authority = Some(PathBuf::from(decoded(file).ok_or(InvalidSmtpUrl::Option)?));
                }
                _ => return Err(InvalidSmtpUrl::Option),
            }
        }
        Ok(url)
    }
}

fn parse_credentials(text: &str) -> Result<Credentials, InvalidSmtpUrl> {
    let (user, password) = text.split_once(':').ok_or(InvalidSmtpUrl::Credentials)?;
    match (decoded(user), decoded(password)) {
        (Some(user), Some(password)) if !user.is_empty() && !password.is_empty() => {
            Ok(Credentials::new(user, password))
        }
        _ => Err(InvalidSmtpUrl::Credentials),
    }
}

fn parse_place(text: &str) -> Result<(String, Option<u16>), InvalidSmtpUrl> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(InvalidSmtpUrl::Host)?;
            host.parse::<Ipv6Addr>().map_err(|_| InvalidSmtpUrl::Host)?;
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(InvalidSmtpUrl::Host),
            }
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
                return Err(InvalidSmtpUrl::Host);
            }
            (host, port)
        }
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0).ok_or(InvalidSmtpUrl::Port)?),
        None => None,
    };
    Ok((host.to_owned(), port))
}

/// Percent-decoded; `None` if that is no text, or one with control characters.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            digit(rest.next())? * 16 + digit(rest.next())?
        } else {
            byte
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> SmtpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_said_is_safe_and_usual() {
        let place = |url: SmtpUrl| (url.host, url.port, url.tls);
        for (text, host, port, tls) in [
            ("smtp://relay", "relay", 25, SmtpTls::Opportunistic),
            ("smtp://relay:2525/", "relay", 2525, SmtpTls::Opportunistic),
            ("smtp://souk:pass@relay.example", "relay.example", 587, SmtpTls::Required),
            ("smtp://souk:pass@relay:25?tls=none", "relay", 25, SmtpTls::None),
            ("smtp://relay?tls=required", "relay", 25, SmtpTls::Required),
            ("smtps://souk:pass@relay", "relay", 465, SmtpTls::Implicit),
            ("smtps://[::1]:4650", "::1", 4650, SmtpTls::Implicit),
            ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, SmtpTls::Opportunistic),
        ] {
            assert_eq!(place(url(text)), (host.to_owned(), port, tls), "{text}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_shown_nowhere() {
        let url = url("smtp://so%40uk:hunter2%2F%3A%40%25@relay?ca=/etc/my%20ca.pem&tls=required");
        assert_eq!(url.credentials, Some(Credentials::new("so@uk".to_owned(), "hunter2/:@%".to_owned())));
        assert_eq!(url.authority, Some(PathBuf::from("/etc/my ca.pem")));
        assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("smtp://", InvalidSmtpUrl::Host),
            ("smtp://re lay", InvalidSmtpUrl::Host),
            ("smtp://user:pa/ss@", InvalidSmtpUrl::Host),
            ("smtp://[::1", InvalidSmtpUrl::Host),
            ("smtp://[relay]", InvalidSmtpUrl::Host),
            ("smtp://relay/folder", InvalidSmtpUrl::Host),
            ("smtp://relay:0", InvalidSmtpUrl::Port),
            ("smtp://relay:70000", InvalidSmtpUrl::Port),
            ("smtp://user@relay", InvalidSmtpUrl::Credentials),
            ("smtp://user:%0a@relay", InvalidSmtpUrl::Credentials),
            ("smtp://user:%f@relay", InvalidSmtpUrl::Credentials),
            ("smtp://relay?tls=maybe", InvalidSmtpUrl::Option),
            ("smtps://relay?tls=none", InvalidSmtpUrl::Option),
            ("smtp://relay?verify=no", InvalidSmtpUrl::Option),
        ] {
            assert_eq!(text.parse::<SmtpUrl>(), Err(expected), "{text}");
        }
    }
}
