//! The smallest server: sends every event back, and acknowledges where that is asked for.
//!
//! `cargo run -p socketio --example echo`, then from a browser or Node:
//!
//! ```js
//! const socket = io("http://127.0.0.1:3000");
//! socket.on("hello", (...args) => console.log(args));
//! socket.emit("hello", "world", (answer) => console.log("acknowledged with", answer));
//! ```

use actix_web::{App, HttpServer};
use socketio::{
    Cors, Namespace, Socket, SocketIo,
    handler::{Ack, Args},
};

async fn echo(socket: Socket, Args(event): Args, ack: Ack) {
    ack.send_payload(event.without_name());
    socket.emit_payload(event);
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let io = SocketIo::builder().cors(Cors::any()).namespace(Namespace::new("/").on_any(echo)).build();
    println!("Socket.IO on http://127.0.0.1:{port}");
    let mounted = io.clone();
    let server = HttpServer::new(move || App::new().configure(|config| mounted.configure(config)))
        .h1_allow_half_closed(false)
        .on_connect(socketio::on_connect)
        .disable_signals()
        .bind(("127.0.0.1", port))?
        .run();
    io.run_until_signal(server).await
}
