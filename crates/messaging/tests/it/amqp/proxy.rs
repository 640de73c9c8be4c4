//! A network between Souk and the broker that can be cut.

use lapin::uri::AMQPUri;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    /// Bytes pass.
    Up,
    /// Connections are closed, new ones too.
    Cut,
    /// Connections stay, and nothing passes.
    Frozen,
}

/// Forwards to the broker.
pub(super) struct Proxy {
    /// The broker's address through this proxy.
    pub(super) url: String,
    network: watch::Sender<Network>,
}

impl Proxy {
    pub(super) async fn to(broker: &str) -> Self {
        let mut uri: AMQPUri = broker.parse().unwrap();
        let target = (uri.authority.host.clone(), uri.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        "127.0.0.1".clone_into(&mut uri.authority.host);
        uri.authority.port = listener.local_addr().unwrap().port();
        let (network, state) = watch::channel(Network::Up);
        tokio::spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                tokio::spawn(forward(inner, target.clone(), state.clone()));
            }
        });
        Self { url: uri.to_string(), network }
    }

    pub(super) fn cut(&self) {
        self.network.send_replace(Network::Cut);
    }

    pub(super) fn freeze(&self) {
        self.network.send_replace(Network::Frozen);
    }

    pub(super) fn restore(&self) {
        self.network.send_replace(Network::Up);
    }
}

async fn forward(mut inner: TcpStream, target: (String, u16), mut network: watch::Receiver<Network>) {
    if *network.borrow_and_update() == Network::Cut {
        return;
    }
    let mut outer = TcpStream::connect(target).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
        _ = network.wait_for(|state| *state != Network::Up) => {}
    }
    // A frozen connection ends when the network comes back: what was on its way is lost.
    let _ = network.wait_for(|state| *state != Network::Frozen).await;
}
