//! A server for protocol test suites.
//!
//! `PORT` (3000 unless set; 0 takes a free one) on 127.0.0.1, `PING_TIMEOUT` in milliseconds (200 unless set). With `ENGINE_ONLY=1` it serves bare Engine.IO on
//! `/engine.io/` and echoes every message; else Socket.IO on `/socket.io/`, namespaces `/` and `/custom`:
//!
//! - after connecting: emits `auth` with the connect payload
//! - `message`, any arguments: emits `message-back` with the same
//! - `message-with-ack`, any arguments: acknowledges with the same

use std::time::Duration;

use actix_web::{App, HttpServer, web::ServiceConfig};
use serde_json::Value;
use socketio::{
    Cors, EncodeError, EngineIo, Namespace, Socket, SocketIo,
    handler::{Ack, Args, Auth},
};

const PING_INTERVAL: Duration = Duration::from_millis(300);
const PING_TIMEOUT_MS: u64 = 200;
const MAX_PAYLOAD_BYTES: usize = 1_000_000;

/// The Socket.IO suite waits for one message after the other, and misses the second of two that its socket reads at once. The
/// answer to its connect packet and the first event would be such two; on a busy machine also a few milliseconds later. More would
/// come too close to the next ping, or the time to answer it.
const TIME_TO_LISTEN: Duration = Duration::from_millis(40);

async fn greet(socket: Socket, Auth(auth): Auth<Value>) -> Result<(), EncodeError> {
    tokio::time::sleep(TIME_TO_LISTEN).await;
    socket.emit("auth", &auth)
}

async fn answer(socket: Socket, Args(event): Args) -> Result<(), EncodeError> {
    socket.emit_payload(event.renamed("message-back")?);
    Ok(())
}

async fn acknowledge(Args(event): Args, ack: Ack) {
    ack.send_payload(event.without_name());
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).on_connect(greet).on("message", answer).on("message-with-ack", acknowledge)
}

async fn serve(mount: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let server = HttpServer::new(move || App::new().configure(&mount))
        .h1_allow_half_closed(false)
        .on_connect(socketio::on_connect)
        .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let ping_timeout = std::env::var("PING_TIMEOUT").ok().and_then(|timeout| timeout.parse().ok());
    let ping_timeout = Duration::from_millis(ping_timeout.unwrap_or(PING_TIMEOUT_MS));
    if std::env::var("ENGINE_ONLY").is_ok_and(|only| only == "1") {
        let engine = EngineIo::builder()
            .ping_interval(PING_INTERVAL)
            .ping_timeout(ping_timeout)
            .max_payload(MAX_PAYLOAD_BYTES)
            .cors(Cors::any())
            .build(|connection, message| connection.send(message));
        return serve(move |config| engine.configure(config)).await;
    }
    let io = SocketIo::builder()
        .ping_interval(PING_INTERVAL)
        .ping_timeout(ping_timeout)
        .max_payload(MAX_PAYLOAD_BYTES)
        .connect_timeout(Duration::from_secs(1))
        .cors(Cors::any())
        .namespace(namespace("/"))
        .namespace(namespace("/custom"))
        .build();
    serve(move |config| io.configure(config)).await
}
