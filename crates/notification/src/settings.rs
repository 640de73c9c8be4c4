//! What can be set.

#[cfg(feature = "smtp")]
mod smtp_url;

use std::path::PathBuf;
use std::str::FromStr;

use lettre::message::Mailbox;
use service_kit::settings::Source;

#[cfg(feature = "smtp")]
pub use smtp_url::{InvalidSmtpUrl, SmtpTls, SmtpUrl};

/// The settings of the notification service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where inboxes are kept; its scheme picks the store.
    pub database_url: String,
    /// Where emails go; `None` means the folder `mail` beside the database.
    pub email_url: Option<EmailUrl>,
    /// Who emails come from.
    pub email_from: Mailbox,
}

impl Settings {
    /// The setting that names the store.
    pub const DATABASE_URL: &str = "SOUK_NOTIFICATION_DATABASE_URL";
    /// The setting that says where emails go.
    pub const EMAIL_URL: &str = "SOUK_NOTIFICATION_EMAIL_URL";
    /// The setting that says who emails come from.
    pub const EMAIL_FROM: &str = "SOUK_NOTIFICATION_EMAIL_FROM";

    /// Reads the settings; problems are collected by `source`. Without a default the database must be named.
    pub fn load(source: &mut Source, default_database_url: Option<&str>) -> Self {
        let help = if cfg!(feature = "mongodb") {
            "where inboxes and notifications are kept: sqlite://<file> or mongodb://<hosts>/<database>"
        } else {
            "where inboxes and notifications are kept: sqlite://<file>"
        };
        let database_url = match default_database_url {
            Some(default) => source.or(Self::DATABASE_URL, default, help),
            None => source.required(Self::DATABASE_URL, help),
        };
        Self {
            database_url,
            email_url: source.optional(
                Self::EMAIL_URL,
                if cfg!(feature = "smtp") {
                    "where emails go: file://<folder> for .eml files (default: the folder mail beside the database), or a mail \
                     server: smtp://[user:password@]host[:port][?tls=none|opportunistic|required], smtps://…"
                } else {
                    "where emails go: file://<folder> for .eml files (default: the folder mail beside the database)"
                },
            ),
            email_from: source.or(
                Self::EMAIL_FROM,
                "Souk <no-reply@souk.test>",
                "who emails come from: Name <address>",
            ),
        }
    }
}

/// A place for emails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailUrl {
    /// `file://<folder>`: one `.eml` file for each email.
    Folder(PathBuf),
    /// `smtp://…` and `smtps://…`: a mail server.
    #[cfg(feature = "smtp")]
    Smtp(SmtpUrl),
}

/// The text names no place for emails that this build can reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmailUrl {
    /// A way of sending that this build lacks.
    #[error("this build sends email to files only; set file://<folder> instead of {0}://")]
    NotCompiledIn(String),
    /// No address at all.
    #[error("expected {EXPECTED}")]
    Malformed,
    /// The address of a mail server is malformed.
    #[cfg(feature = "smtp")]
    #[error(transparent)]
    Smtp(#[from] InvalidSmtpUrl),
}

const EXPECTED: &str =
    if cfg!(feature = "smtp") { "file://<folder>, smtp://<host> or smtps://<host>" } else { "file://<folder>" };

impl FromStr for EmailUrl {
    type Err = InvalidEmailUrl;
    fn from_str(text: &str) -> Result<Self, InvalidEmailUrl> {
        match text.split_once("://") {
            Some(("file", folder)) if !folder.is_empty() && !folder.contains('\0') => {
                Ok(Self::Folder(PathBuf::from(folder)))
            }
            #[cfg(feature = "smtp")]
            Some(("smtp" | "smtps", _)) => Ok(Self::Smtp(text.parse()?)),
            #[cfg(not(feature = "smtp"))]
            Some((scheme @ ("smtp" | "smtps"), _)) => Err(InvalidEmailUrl::NotCompiledIn(scheme.to_owned())),
            _ => Err(InvalidEmailUrl::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn source(pairs: &[(&str, &str)]) -> Source {
        let environment: BTreeMap<_, _> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Source::new(None, &environment)
    }

    #[test]
    fn defaults_need_nothing_but_a_database() {
        let mut source = source(&[]);
        let settings = Settings::load(&mut source, Some("sqlite://data/notification.db"));
        assert_eq!(settings.database_url, "sqlite://data/notification.db");
        assert_eq!((settings.email_url, settings.email_from.to_string().as_str()), (None, "Souk <no-reply@souk.test>"));
        source.finish().unwrap();
    }

    #[test]
    fn what_is_missing_or_impossible_is_told_at_once() {
        let url = "smtp://souk:hunter2@relay:port";
        let mut source = source(&[(Settings::EMAIL_URL, url), (Settings::EMAIL_FROM, "nobody")]);
        Settings::load(&mut source, None);
        let message = source.finish().unwrap_err().to_string();
        for part in [
            "SOUK_NOTIFICATION_DATABASE_URL is not set",
            "SOUK_NOTIFICATION_EMAIL_URL 'smtp://souk:***@relay:port' is not valid",
            if cfg!(feature = "smtp") { "must be 1 to 65535" } else { "this build sends email to files only" },
            "SOUK_NOTIFICATION_EMAIL_FROM 'nobody' is not valid",
        ] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(!message.contains("hunter2"));
    }

    #[test]
    fn a_folder_is_a_file_url() {
        assert_eq!("file:///var/mail".parse(), Ok(EmailUrl::Folder(PathBuf::from("/var/mail"))));
        assert_eq!("file://".parse::<EmailUrl>(), Err(InvalidEmailUrl::Malformed));
        assert_eq!("/var/mail".parse::<EmailUrl>(), Err(InvalidEmailUrl::Malformed));
    }
}
