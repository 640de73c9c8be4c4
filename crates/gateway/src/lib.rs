//! The HTTP edge of Souk: REST, OpenAPI, authentication of users, live events. It owns no data and holds no business rule:
//! it reads requests as far as their types, asks the services, and turns their answers and refusals into HTTP.
//!
//! | layer | what it does |
//! | --- | --- |
//! | [`middleware`] | what every request passes through, listed in one place, outermost first |
//! | [`routes`] | the table of routes and their handlers; [`shapes`] are the JSON they take and give |
//! | [`extract`] | typed readers of a request: who calls, path, query, body, idempotency key |
//! | [`problem`] | the one place where a refusal becomes a response (RFC 9457) |
//! | [`clients`] | calls to the services, within the time that the request has left |
//! | [`live`] | inbox entries from the bus to the open streams of their users; revoked tokens |
//! | [`realtime`] | the Socket.IO endpoint: who is connected, what they may send, what they are told |
//! | [`openapi`] | the description of all this, generated from the code |
//! | [`bootstrap`] | the composition root; [`settings`] what it may be told |
//!
//! Invariants:
//! - no input makes a 5xx or a panic; every error is a problem document that names the request id;
//! - a revoked token works nowhere, a second after its revocation reached the bus;
//! - a stream shows every inbox entry after its cursor once, in order, or says `resync`.

pub mod bootstrap;
pub mod clients;
pub mod extract;
pub mod live;
pub mod middleware;
pub mod openapi;
pub mod problem;
pub mod realtime;
pub mod routes;
pub mod settings;
pub mod shapes;

pub use bootstrap::{BootstrapError, Gateway, build};
pub use settings::Settings;
