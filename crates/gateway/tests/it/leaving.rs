//! Clients that go away while they wait.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{PATIENCE, World, user_id};

/// Sends a request and, once `until` holds of what came, closes this side.
async fn leave(world: &World, path: &str, until: impl AsyncFn(&str) -> bool) -> TcpStream {
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", world.token());
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    let waiting = async {
        while !until(&seen).await {
            if let Ok(read) = socket.try_read(&mut buffer) {
                seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the request is not answered");
    socket.shutdown().await.unwrap();
    socket
}

/// The gateway's end closes, too, long before a heartbeat or the end of the wait.
async fn until_closed(mut socket: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let closed = socket.read_to_end(&mut rest);
    let _ = tokio::time::timeout(PATIENCE, closed).await.expect("the gateway waits on for who has left");
    rest
}

#[tokio::test]
async fn a_listener_who_leaves_is_noticed_at_once() {
    let world = World::new().await;
    let left = leave(&world, "/events", async |seen| seen.contains("event: connected")).await;
    let rest = until_closed(left).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn a_poller_who_leaves_is_noticed_at_once() {
    let world = World::new().await;
    let path = format!("/poll/{}?cursor=0&timeout=60000", user_id());
    let left = leave(&world, &path, async |_| !world.script.calls("ListInbox").is_empty()).await;
    let rest = until_closed(left).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}
