//! Names whose values are never told.

use std::sync::OnceLock;

/// Without separators and in lower case: `card_number`, `card-number` and `cardNumber` are one name.
const SECRET: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "passwordhash",
    "secret",
    "token",
    "jwt",
    "authorization",
    "cookie",
    "setcookie",
    "apikey",
    "privatekey",
    "signingkey",
    "credential",
    "credentials",
    "card",
    "cardnumber",
    "pan",
    "cvv",
    "cvv2",
    "cvc",
    "email",
    "emailaddress",
    "iban",
];

static EXTRA: OnceLock<Vec<String>> = OnceLock::new();

/// Makes more names secret, for the whole process; letter case and `_ - .` do not count.
///
/// Once per process: the names of the first call hold, and `false` is returned by the others.
pub fn also_secret<I>(names: I) -> bool
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let squashed = names.into_iter().map(|name| {
        let name = name.as_ref().chars().filter(|c| !matches!(c, '_' | '-' | '.'));
        name.collect::<String>().to_ascii_lowercase()
    });
    EXTRA.set(squashed.filter(|name| !name.is_empty()).collect()).is_ok()
}

/// Whether the value of a field, header, parameter or key of this name must not be told.
///
/// Letter case and the separators `_ - .` do not count. The name's last words decide, so that `user.email`,
/// `refresh_token`, `accessToken` and `x-api-key` are secret, and `token_count`, `span` and `idempotency_key` are not.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.as_bytes();
    // Only a name that ends like a secret one is looked at closer: this is asked for every field of every line.
    SECRET.iter().any(|secret| ends_with_words(name, secret.as_bytes()))
        || EXTRA.get().is_some_and(|extra| extra.iter().any(|secret| ends_with_words(name, secret.as_bytes())))
}

/// Whether the last words of `name` make up `words`.
fn ends_with_words(name: &[u8], words: &[u8]) -> bool {
    let mut at = name.len();
    for wanted in words.iter().rev() {
        while at > 0 && is_separator(name[at - 1]) {
            at -= 1;
        }
        if at == 0 || name[at - 1].to_ascii_lowercase() != *wanted {
            return false;
        }
        at -= 1;
    }
    match at.checked_sub(1).map(|before| name[before]) {
        None => true,
        Some(before) => is_separator(before) || (name[at].is_ascii_uppercase() && !before.is_ascii_uppercase()),
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_name_make_it_secret_however_it_is_written() {
        for secret in [
            "password",
            "PASSWORD",
            "new_password",
            "passwd",
            "secret",
            "client-secret",
            "token",
            "access_token",
            "accessToken",
            "refresh_token",
            "Authorization",
            "proxy-authorization",
            "cookie",
            "Set-Cookie",
            "api_key",
            "X-Api-Key",
            "apiKey",
            "card",
            "card.number",
            "cardNumber",
            "pan",
            "cvv",
            "email",
            "user.email",
            "customer_email",
            "SOUK_SERVICE_SECRET",
        ] {
            assert!(is_secret_name(secret), "{secret}");
        }
        for open in [
            "",
            "_",
            "span",
            "span_id",
            "trace_id",
            "discard",
            "postcard",
            "japan",
            "tokens",
            "token_count",
            "idempotency_key",
            "key",
            "order.id",
            "email_id",
            "cards",
            "secretary",
            "status",
            "Span",
            "total_minor",
        ] {
            assert!(!is_secret_name(open), "{open}");
        }
    }

    #[test]
    fn a_process_may_name_more() {
        assert!(!is_secret_name("shoe.size"));
        assert!(also_secret(["Shoe-Size", "", "favourite_colour"]));
        assert!(is_secret_name("shoe.size") && is_secret_name("customer_shoeSize"));
        assert!(is_secret_name("favouriteColour") && !is_secret_name("status"));
        assert!(!also_secret(["status"]), "the first names hold");
        assert!(!is_secret_name("status"));
    }
}
