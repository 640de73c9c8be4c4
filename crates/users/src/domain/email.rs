//! Email addresses, one spelling each.

use std::fmt;
use std::str::FromStr;

/// Longest address that mail can be sent to (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const MAX_EMAIL_CHARS: usize = 254;
/// RFC 5321 §4.5.3.1.1.
const MAX_LOCAL_CHARS: usize = 64;
/// RFC 1035 §2.3.4.
const MAX_LABEL_CHARS: usize = 63;

/// An address: trimmed, in lower case, ASCII (an international domain in its `xn--` form), a dot-string before the `@`
/// (RFC 5321 §4.1.2) and a domain of at least two labels after it.
///
/// Two spellings that differ in case are one account, whatever RFC 5321 §2.4 allows: that is what people expect.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress(String);

/// Why a text is no address; worded to follow the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmailAddress {
    /// No mail server takes it.
    #[error("must be at most {MAX_EMAIL_CHARS} characters")]
    TooLong,
    /// It is not `local@domain`.
    #[error("must be an email address such as ada@example.org")]
    Syntax,
}

impl EmailAddress {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text.trim();
        if text.len() > MAX_EMAIL_CHARS {
            return Err(InvalidEmailAddress::TooLong);
        }
        match text.split_once('@') {
            Some((local, domain)) if is_local_part(local) && is_domain(domain) => Ok(Self(text.to_ascii_lowercase())),
            _ => Err(InvalidEmailAddress::Syntax),
        }
    }
}

fn is_local_part(text: &str) -> bool {
    let is_atom = |atom: &str| {
        !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    text.len() <= MAX_LOCAL_CHARS && text.split('.').all(is_atom)
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL_CHARS).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label with a letter in it: `1.2.3.4` is an IP address, not a domain.
    text.split('.').all(is_label)
        && text.rsplit_once('.').is_some_and(|(_, last)| last.bytes().any(|b| b.is_ascii_alphabetic()))
}

impl fmt::Debug for EmailAddress {
    /// The domain alone: whose address it is has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.0.split_once('@').map_or("", |(_, domain)| domain);
        write!(f, "EmailAddress(***@{domain})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_address_are_one_address() {
        let address: EmailAddress = "  Ada.Lovelace+Souk@Example.ORG ".parse().unwrap();
        assert_eq!(address.as_str(), "ada.lovelace+souk@example.org");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@localhost",
            "ada@example..org",
            "ada@-example.org",
            "ada@example-.org",
            "ada@exa_mple.org",
            "ada@1.2.3.4",
            ".ada@example.org",
            "ada.@example.org",
            "a..da@example.org",
            "a da@example.org",
            "ada@lovelace@example.org",
            "ada\0@example.org",
            "ada@example.org\u{7}",
            "ada\r\nBcc: x@example.org",
            "äda@example.org",
            // The sign of Kelvin: in lower case it is an ASCII k.
            "\u{212a}ada@example.org",
            &format!("{}@example.org", "a".repeat(65)),
            &format!("ada@{}.org", "a".repeat(64)),
        ] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(InvalidEmailAddress::Syntax), "{bad:?}");
        }
    }

    #[test]
    fn the_length_is_bounded_exactly() {
        let of_length = |chars: usize| {
            let local = "a".repeat(60);
            let rest = chars - local.len() - ".org".len();
            let domain: String =
                (0..rest).map(|i| if i % 50 == 0 { if i == 0 { '@' } else { '.' } } else { 'b' }).collect();
            format!("{local}{domain}.org")
        };
        assert!(of_length(254).parse::<EmailAddress>().is_ok());
        assert_eq!(of_length(255).parse::<EmailAddress>(), Err(InvalidEmailAddress::TooLong));
    }

    #[test]
    fn debug_output_does_not_name_the_person() {
        let shown = format!("{:?}", "ada@example.org".parse::<EmailAddress>().unwrap());
        assert!(!shown.contains("ada"), "{shown}");
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_what_it_accepts_it_accepts_unchanged(text in ".{0,300}") {
            if let Ok(address) = text.parse::<EmailAddress>() {
                prop_assert_eq!(address.as_str().parse::<EmailAddress>().unwrap(), address);
            }
        }

        #[test]
        fn letter_case_never_makes_another_account(text in "[a-zA-Z0-9.+_-]{1,20}@[a-zA-Z0-9.-]{1,20}") {
            prop_assert_eq!(text.to_uppercase().parse::<EmailAddress>(), text.to_lowercase().parse::<EmailAddress>());
        }
    }
}
