//! gRPC connections between services of one process: the same HTTP/2, over memory instead of a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Bytes in flight in each direction before the writer waits.
const BUFFER_BYTES: usize = 64 * 1024;

/// The accepting end.
pub struct LocalListener(mpsc::Receiver<DuplexStream>);

/// The connecting end; clones connect to the same listener.
#[derive(Clone)]
pub struct LocalConnector(mpsc::Sender<DuplexStream>);

/// A listener and what connects to it.
pub fn pair() -> (LocalConnector, LocalListener) {
    let (sender, receiver) = mpsc::channel(16);
    (LocalConnector(sender), LocalListener(receiver))
}

impl Stream for LocalListener {
    type Item = io::Result<DuplexStream>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|stream| stream.map(Ok))
    }
}

impl tower::Service<Uri> for LocalConnector {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let listener = self.0.clone();
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
            listener
                .send(theirs)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::ConnectionRefused, "the service is not running"))?;
            Ok(TokioIo::new(ours))
        })
    }
}
