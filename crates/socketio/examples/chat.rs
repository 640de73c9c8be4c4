//! A chat with rooms: who is there, what they say, and who left.
//!
//! `cargo run -p socketio --example chat`, then:
//!
//! ```js
//! const socket = io("http://127.0.0.1:3000", { auth: { name: "Ada" } });
//! socket.emit("join", "tea", (members) => console.log("with", members));
//! socket.on("message", ({ room, from, text }) => console.log(`[${room}] ${from}: ${text}`));
//! socket.emit("message", "tea", "hello");
//! ```

use actix_web::{App, HttpServer};
use serde::{Deserialize, Serialize};
use socketio::{
    ConnectError, Cors, DisconnectReason, Namespace, Socket, SocketIo,
    handler::{Ack, Auth, Data},
};

/// Whatever fails in a handler is logged with the event's name.
type Handled = Result<(), Box<dyn std::error::Error>>;

#[derive(Deserialize)]
struct Credentials {
    name: String,
}

#[derive(Deserialize, Serialize)]
struct Member {
    name: String,
}

#[derive(Serialize)]
struct Message<'a> {
    room: &'a str,
    from: &'a str,
    text: &'a str,
}

fn name(socket: &Socket) -> String {
    socket.user().unwrap_or_default()
}

/// Rooms that clients name lie apart from those the server makes, such as each socket's own.
fn room(name: &str) -> String {
    format!("room:{name}")
}

async fn authenticate(socket: Socket, credentials: Option<Auth<Credentials>>) -> Result<(), ConnectError> {
    match credentials {
        Some(Auth(Credentials { name })) if !name.is_empty() && name.len() <= 64 => {
            socket.set_data(&Member { name: name.clone() }).map_err(|error| ConnectError::new(error.to_string()))?;
            socket.set_user(name);
            Ok(())
        }
        _ => Err(ConnectError::new("a name of 1 to 64 characters is needed")),
    }
}

async fn join(socket: Socket, Data(name_of_room): Data<String>, ack: Ack) -> Handled {
    let members = socket.everyone().to(room(&name_of_room)).fetch_sockets().await?;
    let names: Vec<_> = members.iter().filter_map(|member| member.data["name"].as_str()).collect();
    socket.join(room(&name_of_room));
    socket.to(room(&name_of_room)).emit("joined", &(&name_of_room, name(&socket)))?;
    ack.send(&names)?;
    Ok(())
}

async fn message(socket: Socket, Data((name_of_room, text)): Data<(String, String)>) -> Handled {
    let room = room(&name_of_room);
    if socket.rooms().iter().any(|joined| **joined == *room) {
        let message = Message { room: &name_of_room, from: &name(&socket), text: &text };
        socket.everyone().to(room).emit("message", &message)?;
    }
    Ok(())
}

async fn leave(socket: Socket, Data(name_of_room): Data<String>) -> Handled {
    socket.leave(room(&name_of_room));
    socket.to(room(&name_of_room)).emit("left", &(&name_of_room, name(&socket)))?;
    Ok(())
}

async fn gone(socket: Socket, reason: DisconnectReason) -> Handled {
    for room in socket.rooms() {
        let name_of_room = room.strip_prefix("room:").unwrap_or(&room);
        socket.to(room.clone()).emit("left", &(name_of_room, name(&socket)))?;
    }
    println!("{} is gone: {reason}", name(&socket));
    Ok(())
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let chat = Namespace::new("/")
        .middleware(authenticate)
        .on("join", join)
        .on("message", message)
        .on("leave", leave)
        .on_disconnect(gone);
    let io = SocketIo::builder().cors(Cors::any()).namespace(chat).build();
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
