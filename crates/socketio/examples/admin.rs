//! A namespace of its own for administrators, beside the one for everybody, over one connection.
//!
//! `cargo run -p socketio --example admin`, then:
//!
//! ```js
//! const everybody = io("http://127.0.0.1:3000");
//! everybody.on("announcement", console.log);
//! const admin = io("http://127.0.0.1:3000/admin", { auth: { token: "let-me-in" } });
//! admin.on("connect_error", (error) => console.log(error.message, error.data));
//! admin.emit("announce", "closing in five minutes");
//! admin.emit("who", (sockets) => console.log(sockets));
//! admin.emit("kick", id);
//! ```

use actix_web::{App, HttpServer};
use serde::Deserialize;
use serde_json::json;
use socketio::{
    ConnectError, Cors, Namespace, SocketIo,
    handler::{Ack, Auth, Data, State},
};

/// Whatever fails in a handler is logged with the event's name.
type Handled = Result<(), Box<dyn std::error::Error>>;

struct AdminToken(String);

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

async fn admins_only(expected: State<AdminToken>, credentials: Option<Auth<Credentials>>) -> Result<(), ConnectError> {
    match credentials {
        Some(Auth(credentials)) if credentials.token == expected.0.0 => Ok(()),
        Some(_) => Err(ConnectError::new("Admin access required").with_data(json!({ "status": 403 }))),
        None => Err(ConnectError::new("Authentication required").with_data(json!({ "status": 401 }))),
    }
}

async fn announce(io: SocketIo, Data(text): Data<String>) -> Handled {
    io.of("/")?.emit("announcement", &text)?;
    Ok(())
}

async fn who(io: SocketIo, ack: Ack) -> Handled {
    let sockets = io.of("/")?.fetch_sockets().await?;
    let ids: Vec<_> = sockets.iter().map(|socket| json!({ "id": socket.id, "rooms": socket.rooms })).collect();
    ack.send(&ids)?;
    Ok(())
}

async fn kick(io: SocketIo, Data(id): Data<String>) -> Handled {
    io.of("/")?.to(id).disconnect_sockets(true);
    Ok(())
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let token = std::env::var("ADMIN_TOKEN").unwrap_or_else(|_| "let-me-in".to_owned());
    let admin =
        Namespace::new("/admin").middleware(admins_only).on("announce", announce).on("who", who).on("kick", kick);
    let io = SocketIo::builder()
        .cors(Cors::any())
        .state(AdminToken(token))
        .namespace(Namespace::new("/"))
        .namespace(admin)
        .build();
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
