//! Names of a test's own on the Redis of all tests.

use redis::{Client, cmd};
use uuid::Uuid;

const URL: &str = "SOUK_TEST_REDIS_URL";

/// Removed when it is dropped, with all that begins with it.
pub(crate) struct Prefix {
    server: String,
    name: String,
}

impl Prefix {
    pub(crate) fn new() -> Self {
        Self::on(std::env::var(URL).unwrap_or_else(|_| panic!("{URL} is not set")))
    }

    pub(crate) fn on(server: String) -> Self {
        Self { server, name: format!("test-{}", Uuid::new_v4().simple()) }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}?prefix={}", self.server, self.name)
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let Ok(mut connection) = Client::open(self.server.as_str()).and_then(|client| client.get_connection()) else {
            return;
        };
        for pattern in [format!("{{{}}}:*", self.name), format!("{}:*", self.name)] {
            let Ok(keys) = cmd("KEYS").arg(pattern).query::<Vec<String>>(&mut connection) else { return };
            if !keys.is_empty() {
                let _: Result<(), _> = cmd("UNLINK").arg(keys).query(&mut connection);
            }
        }
    }
}
