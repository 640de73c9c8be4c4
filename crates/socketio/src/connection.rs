//! What the kernel has to know of each TCP connection.

use std::{any::Any, time::Duration};

use actix_web::{dev::Extensions, rt::net::TcpStream};

/// As long as a client may leave a ping unanswered, by default.
const UNACKNOWLEDGED_AT_MOST: Duration = Duration::from_secs(45);

/// Has the kernel send at once, and end a connection whose peer takes no data for 45 s; for
/// [`actix_web::HttpServer::on_connect`].
///
/// A message that is written while the one before is not acknowledged would wait for that, and clients acknowledge with up to
/// 40 ms of delay (Nagle's algorithm, RFC 9293 §3.7.4). Frames that wait for one socket are written together anyway.
///
/// A client that reads nothing fills the buffers on its way, and then actix has no means to end its connection: the server
/// has long forgotten it, but its descriptor stays for as long as the client's machine says it is alive. The latter is done on
/// Linux only.
///
/// ```no_run
/// # use actix_web::{App, HttpServer};
/// HttpServer::new(App::new).on_connect(socketio::on_connect);
/// ```
///
/// Source: TCP_USER_TIMEOUT in tcp(7); RFC 5482.
pub fn on_connect(connection: &dyn Any, _extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    #[cfg(target_os = "linux")]
    {
        let limit_ms = UNACKNOWLEDGED_AT_MOST.as_millis() as u32;
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, limit_ms) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT could not be set");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = UNACKNOWLEDGED_AT_MOST;
}
