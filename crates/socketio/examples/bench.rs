//! A server to be measured: rooms, broadcasts, echoes. No logging.
//!
//! `PORT` (3000 unless set; 0 takes a free one) on 127.0.0.1. Events:
//!
//! - `join:room` id: joins the room, acknowledges
//! - `message:send` {roomId, content}: broadcasts `message:new` {roomId, content} to the room, sender included
//! - `echo`, any argument: acknowledges with it

use actix_web::{App, HttpServer};
use serde::{Deserialize, Serialize};
use socketio::{
    EncodeError, Namespace, Socket, SocketIo,
    handler::{Ack, Args, Data},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    room_id: String,
    content: String,
}

async fn join(socket: Socket, Data(room): Data<String>, ack: Ack) -> Result<(), EncodeError> {
    socket.join(room);
    ack.send(&())
}

async fn send(socket: Socket, Data(message): Data<Message>) -> Result<(), EncodeError> {
    socket.everyone().to(message.room_id.as_str()).emit("message:new", &message)
}

async fn echo(Args(event): Args, ack: Ack) {
    ack.send_payload(event.without_name());
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let main = Namespace::new("/").on("join:room", join).on("message:send", send).on("echo", echo);
    let io = SocketIo::builder().namespace(main).build();
    let mounted = io.clone();
    let server = HttpServer::new(move || App::new().configure(|config| mounted.configure(config)))
        .h1_allow_half_closed(false)
        .on_connect(socketio::on_connect)
        .disable_signals()
        .bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    io.run_until_signal(server.run()).await
}
