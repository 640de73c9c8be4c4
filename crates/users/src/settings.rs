//! What an operator decides.

use service_kit::settings::Source;

/// The setting that says where accounts are kept.
pub const DATABASE_URL: &str = "SOUK_USERS_DATABASE_URL";

/// The settings of this service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where accounts, sessions and signing keys are kept; the scheme picks the engine.
    pub database_url: String,
}

impl Settings {
    /// Reads the settings; without a default the address of the database is required.
    pub fn load(source: &mut Source, default_database_url: Option<&str>) -> Self {
        let help = if cfg!(feature = "mongodb") {
            "where accounts, sessions and signing keys are kept: sqlite://<file> or mongodb://<hosts>/<database>"
        } else {
            "where accounts, sessions and signing keys are kept: sqlite://<file>"
        };
        let database_url = match default_database_url {
            Some(default) => source.or(DATABASE_URL, default, help),
            None => source.required(DATABASE_URL, help),
        };
        Self { database_url }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn alone_the_service_wants_to_be_told_where_its_database_is() {
        let mut source = Source::new(None, &BTreeMap::new());
        assert_eq!(Settings::load(&mut source, Some("sqlite://a.db")).database_url, "sqlite://a.db");
        let mut source = Source::new(None, &BTreeMap::new());
        Settings::load(&mut source, None);
        assert!(source.finish().unwrap_err().to_string().contains(DATABASE_URL));
    }
}
