//! A cheap HTTP/1.1 client: one connection, one request at a time, kept open; no TLS.
//!
//! It shares the processors with the server that it measures, so it does nothing that a load driver has no need of.

pub mod connection;
pub mod head;
pub mod request;
pub mod url;

pub use connection::{Answer, Connection, HttpError};
pub use request::Request;
pub use url::Url;
