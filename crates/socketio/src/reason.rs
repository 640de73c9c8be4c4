//! Why a connection or a socket ended.

use std::fmt;

/// Why a socket is gone. The words of the first eight are the original's.
///
/// Source: <https://socket.io/docs/v4/server-socket-instance/#disconnect>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// The connection ended without a word: the client went away, or its network did.
    TransportClose,
    /// The connection broke the rules of its transport.
    TransportError,
    /// The client did not answer a ping in time.
    PingTimeout,
    /// A packet was malformed.
    ParseError,
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The server disconnected the socket from the namespace.
    ServerNamespaceDisconnect,
    /// The server shuts down.
    ServerShuttingDown,
    /// The server closed the connection: no namespace was joined in time, or a packet came out of turn.
    ForcedServerClose,
    /// The client took its events too slowly: more of them waited than allowed.
    SlowConsumer,
    /// The client sent more events than allowed.
    RateLimited,
    /// The client asked for more than a limit allows: attachments, namespaces, packets of one request.
    LimitExceeded,
    /// The session went on over another connection.
    Superseded,
}

impl DisconnectReason {
    /// The reason in the words of the protocol's documentation, such as `transport close`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ServerShuttingDown => "server shutting down",
            Self::ForcedServerClose => "forced server close",
            Self::SlowConsumer => "slow consumer",
            Self::RateLimited => "rate limit exceeded",
            Self::LimitExceeded => "limit exceeded",
            Self::Superseded => "session superseded",
        }
    }

    /// Whether the client may come back and recover its session.
    pub const fn is_recoverable(self) -> bool {
        matches!(
            self,
            Self::TransportClose
                | Self::TransportError
                | Self::PingTimeout
                | Self::ServerShuttingDown
                | Self::ForcedServerClose
                | Self::SlowConsumer
        )
    }

    /// Code of the WebSocket close frame that tells the client.
    ///
    /// Source: RFC 6455 §7.4.1; 1013 from the registry of close codes (try again later).
    pub(crate) const fn close_code(self) -> u16 {
        match self {
            Self::ServerShuttingDown => 1001,
            Self::TransportError => 1002,
            Self::ParseError => 1007,
            Self::RateLimited | Self::LimitExceeded => 1008,
            Self::SlowConsumer => 1013,
            _ => 1000,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
