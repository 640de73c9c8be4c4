//! One node of a cluster whose clients survive it.
//!
//! `PORT` (3000 unless set; 0 takes a free one) on 127.0.0.1, `REDIS_URL` (`redis://127.0.0.1:6379` unless set), `STREAM`
//! (the original's names unless set: what tells clusters on one Redis apart). Every
//! socket is in the room `all`; the event `emit` {n} broadcasts `tick` {n} to it. A client that lost its connection, or
//! its node, recovers on any node within two minutes. `auth.token` may be any string: it says who the client is, and a
//! session is recovered only for the same.
//!
//! SIGUSR1 drains it, 50 connections a second; it says when that is done.
//!
//! Start two, kill one with `kill -9`, and see its clients go on at the other.

use std::{num::NonZeroU32, time::Duration};

use actix_web::{App, HttpServer};
use serde::{Deserialize, Serialize};
use socketio::{
    ConnectError, Cors, EncodeError, Namespace, Socket, SocketIo,
    adapter::RedisStreams,
    handler::{Auth, Data},
    recovery::RecoveryOptions,
};

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

#[derive(Deserialize, Serialize)]
struct Tick {
    n: u64,
}

async fn authenticate(socket: Socket, credentials: Option<Auth<Credentials>>) -> Result<(), ConnectError> {
    let Auth(credentials) = credentials.ok_or_else(|| ConnectError::new("Authentication required"))?;
    socket.set_user(credentials.token);
    socket.join("all");
    Ok(())
}

async fn emit(socket: Socket, Data(tick): Data<Tick>) -> Result<(), EncodeError> {
    socket.everyone().to("all").emit("tick", &tick)
}

/// Sends the clients to the other nodes when it is told to.
#[cfg(unix)]
async fn drain_when_told(io: SocketIo) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::user_defined1())?.recv().await;
    io.drain(NonZeroU32::new(50).unwrap_or(NonZeroU32::MIN)).await;
    println!("drained");
    Ok(())
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let redis = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let mut adapter = RedisStreams::builder(redis).max_len(200_000);
    if let Ok(stream) = std::env::var("STREAM") {
        adapter =
            adapter.stream_name(&*stream).channel_prefix(&*stream).session_key_prefix(format!("{stream}:session:"));
    }
    let recovery = RecoveryOptions { max_disconnection: Duration::from_mins(2), ..RecoveryOptions::default() };
    let io = SocketIo::builder()
        .cors(Cors::any())
        // Long enough for what is sent in those two minutes, at a thousand events a second and more.
        .adapter(adapter.recovery(recovery).build()?)
        .namespace(Namespace::new("/").middleware(authenticate).on("emit", emit))
        .build();
    let mounted = io.clone();
    let server = HttpServer::new(move || App::new().configure(|config| mounted.configure(config)))
        .h1_allow_half_closed(false)
        .on_connect(socketio::on_connect)
        .disable_signals()
        .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    #[cfg(unix)]
    actix_web::rt::spawn(drain_when_told(io.clone()));
    // At the end clients are told, and what waits for the other nodes goes out.
    io.run_until_signal(server.run()).await?;
    Ok(())
}
