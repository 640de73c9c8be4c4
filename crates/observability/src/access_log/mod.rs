//! One line for every request, in the formats and with the token names of `morgan`, which operators of Node know.
//!
//! ```
//! use observability::access_log::{Exchange, Format};
//!
//! let format: Format = ":method :url :status :response-time ms".parse()?;
//! let exchange = Exchange { method: "GET".into(), url: "/basket?token=abc".into(), status: Some(200), ..Exchange::default() };
//! assert_eq!(format.render(&exchange).as_deref(), Some("GET /basket?token=*** 200 - ms"));
//! # Ok::<(), observability::access_log::InvalidFormat>(())
//! ```
//!
//! [`Format`] is compiled once, when the setting is read. A server fills an [`Exchange`] with what it knows of a request
//! and its answer, and [`Format::write`] makes an event of target [`ACCESS_TARGET`] of it: a whole
//! line, or fields in the format `json`. For actix there is a middleware: `observability::actix::AccessLog`.
//!
//! What callers send can't break a line nor colour a terminal: control characters are escaped, long values cut. Secrets
//! are masked wherever the format asks for them: in the query of `:url` and `:referrer`, and in headers such as
//! `authorization` and `cookie`.
//!
//! Source of the names: the README of `morgan` 1.10 (expressjs/morgan).

mod clean;
mod date;
mod exchange;
mod format;
mod mask;
mod skip;
mod token;
mod write;

pub use exchange::{Exchange, remote_user};
pub use format::{Format, InvalidFormat};
pub use skip::{InvalidSkip, Skip};

pub use crate::logs::ACCESS_TARGET;

/// What stands for something that is not there.
const ABSENT: &str = "-";
