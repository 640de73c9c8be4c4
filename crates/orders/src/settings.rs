//! Settings of the orders service.

use service_kit::settings::Source;

/// Where orders are kept.
pub const DATABASE_URL: &str = "SOUK_ORDERS_DATABASE_URL";

/// See each field's setting in README.md.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where orders are kept; the scheme picks the store.
    pub database_url: String,
}

impl Settings {
    /// Reads them; without a default the database must be named.
    pub fn load(source: &mut Source, default_database_url: Option<&str>) -> Self {
        let help =
            "where orders, sagas and their events are kept: sqlite://<file>, or postgres://<address> where built in";
        let database_url = match default_database_url {
            Some(default) => source.or(DATABASE_URL, default, help),
            None => source.required(DATABASE_URL, help),
        };
        Self { database_url }
    }
}
