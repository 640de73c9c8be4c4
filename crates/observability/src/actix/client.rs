//! Who sent a request.

use std::net::IpAddr;

use actix_web::HttpMessage as _;
use actix_web::dev::ServiceRequest;

/// The client's address, where something outside of the middleware here knows it better than the connection: put it into
/// the request's extensions before, for instance because a trusted proxy says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address that was put there, else the peer's; none over a Unix socket.
    pub fn of(request: &ServiceRequest) -> Option<IpAddr> {
        let known = request.extensions().get::<Self>().map(|client| client.0);
        known.or_else(|| request.peer_addr().map(|peer| peer.ip()))
    }
}
