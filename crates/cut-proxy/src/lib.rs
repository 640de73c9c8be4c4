//! A TCP proxy for tests: it stands before a server and plays what can happen on the way to it.
//!
//! - passing: bytes go both ways;
//! - [`CutProxy::cut`]: connections are reset and new ones refused, as when the server is killed;
//! - [`CutProxy::swallow`]: connections stay and are accepted, and nothing that is sent arrives, as when a network drops
//!   packets: who sets no deadline waits for ever;
//! - [`CutProxy::restore`]: passing again, on the same address; connections from before are gone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;
const BUFFER_BYTES: usize = 16 * 1024;

/// The proxy; ends when it is dropped.
pub struct CutProxy {
    address: SocketAddr,
    upstream: Arc<str>,
    swallowing: watch::Sender<bool>,
    state: State,
}

enum State {
    Passing(CancellationToken, TaskTracker),
    /// Bound and not listening: the address is kept, and connections are refused.
    Cut(TcpSocket),
    /// Between the two.
    Turning,
}

impl CutProxy {
    /// A proxy on a free port of the loopback interface before the server of this URL, which must name its port:
    /// `scheme://[user@]host:port[/…]`.
    ///
    /// # Errors
    /// When the URL has no `host:port` or there is no free port.
    pub async fn before(url: &str) -> io::Result<Self> {
        let upstream = authority(url).ok_or(io::ErrorKind::InvalidInput)?.into();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (swallowing, _) = watch::channel(false);
        let mut proxy = Self { address: listener.local_addr()?, upstream, swallowing, state: State::Turning };
        proxy.serve(listener);
        Ok(proxy)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL with this proxy in place of its server.
    pub fn url(&self, url: &str) -> String {
        match authority(url) {
            Some(server) => url.replacen(server, &self.address.to_string(), 1),
            None => url.to_owned(),
        }
    }

    /// Resets what is connected and refuses what would be.
    ///
    /// # Errors
    /// When the address was taken by somebody else in that moment.
    pub async fn cut(&mut self) -> io::Result<()> {
        if let State::Passing(stop, tasks) = std::mem::replace(&mut self.state, State::Turning) {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        self.state = State::Cut(socket);
        Ok(())
    }

    /// From now on nothing arrives, either way.
    pub fn swallow(&self) {
        self.swallowing.send_replace(true);
    }

    /// Passing again.
    ///
    /// # Errors
    /// As [`Self::cut`].
    pub async fn restore(&mut self) -> io::Result<()> {
        if matches!(self.state, State::Passing(..)) {
            self.cut().await?;
        }
        self.swallowing.send_replace(false);
        if let State::Cut(socket) = std::mem::replace(&mut self.state, State::Turning) {
            self.serve(socket.listen(BACKLOG)?);
        }
        Ok(())
    }

    fn serve(&mut self, listener: TcpListener) {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (upstream, swallowing) = (Arc::clone(&self.upstream), self.swallowing.subscribe());
        let (stopping, connections) = (stop.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Some(Ok((client, _))) = stopping.run_until_cancelled(listener.accept()).await {
                let (upstream, swallowing, stopping) = (Arc::clone(&upstream), swallowing.clone(), stopping.clone());
                connections.spawn(async move {
                    // A client's view of a failed connection is that it ends: there is nobody else to tell.
                    let _ = stopping.run_until_cancelled(pass(client, &upstream, swallowing)).await;
                });
            }
        });
        self.state = State::Passing(stop, tasks);
    }
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        if let State::Passing(stop, _) = &self.state {
            stop.cancel();
        }
    }
}

async fn pass(client: TcpStream, upstream: &str, swallowing: watch::Receiver<bool>) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::try_join!(pump(from_client, to_server, swallowing.clone()), pump(from_server, to_client, swallowing))?;
    Ok(())
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallowing: watch::Receiver<bool>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        if !*swallowing.borrow() {
            to.write_all(&buffer[..read]).await?;
        }
    }
}

/// The `host:port` of a URL.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
    server.contains(':').then_some(server)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server that sends back what it is sent.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("echo://me@{}/x", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        url
    }

    async fn echoed(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn it_passes_is_cut_swallows_and_passes_again() {
        let url = echo().await;
        let mut proxy = CutProxy::before(&url).await.unwrap();
        assert_eq!(proxy.url(&url), format!("echo://me@{}/x", proxy.address()));
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(echoed(&mut stream).await.unwrap(), b'x');
        proxy.cut().await.unwrap();
        assert!(echoed(&mut stream).await.is_err());
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        proxy.restore().await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(echoed(&mut stream).await.unwrap(), b'x');
        proxy.swallow();
        assert!(tokio::time::timeout(Duration::from_millis(100), echoed(&mut stream)).await.is_err());
        proxy.restore().await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(echoed(&mut stream).await.unwrap(), b'x');
    }
}
