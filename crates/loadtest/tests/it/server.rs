//! A server that answers by script.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What to do about a request, by its number from 0 on the whole server.
pub(crate) type Script = fn(u64) -> Reply;

/// What to do about a request.
pub(crate) enum Reply {
    /// These bytes, and the connection stays.
    Keep(&'static str),
    /// These bytes, and the connection ends.
    Close(&'static str),
    /// Nothing at all, for ever.
    Silence,
}

/// Ends when it is dropped, with its connections.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, script, Arc::clone(&counter)));
            }
        });
        Self { address, requests, task }
    }

    /// Requests that came.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Requests without a body, one after the other.
async fn serve(mut stream: TcpStream, script: Script, requests: Arc<AtomicU64>) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let end = loop {
            if let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => seen.extend_from_slice(&buffer[..read]),
            }
        };
        seen.drain(..end);
        let (bytes, close) = match script(requests.fetch_add(1, Ordering::SeqCst)) {
            Reply::Keep(bytes) => (bytes, false),
            Reply::Close(bytes) => (bytes, true),
            Reply::Silence => return std::future::pending().await,
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() || close {
            return;
        }
    }
}
