//! What the inventory service is told.

use service_kit::settings::Source;

/// The name of the setting that says where the catalogue, the stock and the reservations are kept.
pub const DATABASE_URL: &str = "SOUK_INVENTORY_DATABASE_URL";

/// Settings of the inventory service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the catalogue, the stock and the reservations are kept; its scheme picks the engine.
    pub database_url: String,
}

impl Settings {
    /// Reads the settings; without a default the database's address must be given.
    pub fn load(source: &mut Source, default_database_url: Option<&str>) -> Self {
        let help = if cfg!(feature = "redis") {
            "where the catalogue, the stock and the reservations are kept: sqlite://<file> or redis://<host>"
        } else {
            "where the catalogue, the stock and the reservations are kept: sqlite://<file>"
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
    fn the_database_is_required_where_no_default_is_given() {
        let mut source = Source::new(None, &BTreeMap::new());
        Settings::load(&mut source, None);
        assert!(source.finish().unwrap_err().to_string().contains(DATABASE_URL));
        let mut source = Source::new(None, &BTreeMap::new());
        assert_eq!(Settings::load(&mut source, Some("sqlite://x.db")).database_url, "sqlite://x.db");
        assert!(source.finish().is_ok());
    }
}
