//! The Socket.IO endpoint: what people see move, over `/socket.io/`.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`endpoint`] | puts the namespaces together: which events there are, and who answers them |
//! | [`authenticate`] | who may connect, and as whom |
//! | [`session`] | what is known of each connected client; the list of all of this gateway |
//! | [`guard`] | ends connections whose token no longer counts |
//! | [`call`] | one event of a client: read, answered within its time, refused in one shape ([`reply`]) |
//! | [`inbox`] | the user's inbox, from where the client left it |
//! | [`rooms`] | rooms that clients make by joining them |
//! | [`channels`] | live updates: what an order, a product, the catalogue and the dashboard show |
//! | [`chat`] | the rooms that notification keeps: members, messages, who is typing, how far was read |
//! | [`recover`] | sessions that go on: what their clients may no longer hear is taken from them |
//! | [`absence`] | whether a client that is gone comes back |
//! | [`drain`] | a gateway that stops moves its clients elsewhere, at a pace |
//! | [`announcements`] | what everyone is told |
//! | [`presence`] | who is online, told to those who share a room |
//! | [`cluster`] | what connects several gateways: memory for one alone, Redis for many |
//!
//! Invariants:
//! - A room of the server is never named by a client: `join` reaches `room:<name>` alone; `chat:`, `live:` and `user:` rooms
//!   are joined by the events that check who may (design: "rooms are never a way around authorisation").
//! - A client whose token is revoked is gone within a second of its revocation, on every gateway; one whose token has
//!   expired, with the next look at it ([`guard::RECHECK`]).

pub mod absence;
pub mod announcements;
pub mod authenticate;
pub mod call;
pub mod channels;
pub mod chat;
pub mod cluster;
#[cfg(feature = "redis")]
mod cluster_metrics;
pub mod desk;
pub mod drain;
pub mod endpoint;
pub mod guard;
pub mod inbox;
mod metrics;
pub mod presence;
pub mod recover;
pub mod refresh;
pub mod reply;
pub mod rooms;
pub mod session;
#[cfg(feature = "redis")]
pub mod url;

pub use desk::Desk;
pub use session::{Session, Sessions};
