//! What can be set.

use service_kit::settings::Source;
use sqlite::SqliteUrl;

use crate::adapters::providers::sandbox::SandboxTiming;
use crate::domain::RetrySchedule;

/// Where the ledger is kept.
pub const DATABASE_URL: &str = "SOUK_PAYMENT_DATABASE_URL";
/// Who moves the money.
pub const PROVIDER: &str = "SOUK_PAYMENT_PROVIDER";
/// Where the sandbox keeps its books.
pub const SANDBOX_URL: &str = "SOUK_PAYMENT_SANDBOX_URL";

/// The settings of this service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// [`DATABASE_URL`].
    pub database_url: String,
    /// [`PROVIDER`].
    pub provider: String,
    /// [`SANDBOX_URL`]; `None`: beside the database, as `sandbox.db` in its folder or as a schema of its own.
    pub sandbox_url: Option<String>,
    /// How the sandbox behaves in time; not for operators.
    pub sandbox_timing: SandboxTiming,
    /// When undecided payments are looked at again; not for operators.
    pub retry_schedule: RetrySchedule,
}

impl Settings {
    /// Reads them. Without a default the database must be named.
    pub fn load(source: &mut Source, default_database_url: Option<&str>) -> Self {
        let help = "where payments and the ledger are kept: sqlite://<file>, or postgres://<address> where built in";
        Self {
            database_url: match default_database_url {
                Some(default) => source.or(DATABASE_URL, default, help),
                None => source.required(DATABASE_URL, help),
            },
            provider: source.or(PROVIDER, "sandbox", "who moves the money: sandbox"),
            sandbox_url: source.optional(
                SANDBOX_URL,
                "where the sandbox provider keeps its own books; beside the payment database when not set",
            ),
            sandbox_timing: SandboxTiming::default(),
            retry_schedule: RetrySchedule::default(),
        }
    }

    /// Where the sandbox keeps its books: as it is set; else beside the payments, in `sandbox.db` of the same folder, or in a
    /// schema of its own of the same PostgreSQL database.
    pub fn sandbox_books_url(&self) -> String {
        let beside = || match self.database_url.parse::<SqliteUrl>() {
            Ok(file) => SqliteUrl::of(file.path().with_file_name("sandbox.db")).to_string(),
            Err(_) => self.database_url.clone(),
        };
        self.sandbox_url.clone().unwrap_or_else(beside)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_lone_service_must_be_told_its_database_and_one_of_souk_up_need_not() {
        let mut source = Source::new(None, &BTreeMap::new());
        let settings = Settings::load(&mut source, Some("sqlite://data/payment.db"));
        assert_eq!(settings.provider, "sandbox");
        assert_eq!(settings.sandbox_books_url(), "sqlite://data/sandbox.db");
        let on_a_server = Settings { database_url: "postgres://a@b/payment".to_owned(), ..settings };
        assert_eq!(on_a_server.sandbox_books_url(), "postgres://a@b/payment");
        assert!(source.finish().is_ok());
        let mut source = Source::new(None, &BTreeMap::new());
        Settings::load(&mut source, None);
        assert!(source.finish().unwrap_err().to_string().contains("SOUK_PAYMENT_DATABASE_URL is not set"));
    }
}
