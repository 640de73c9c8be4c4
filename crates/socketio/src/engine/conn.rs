//! One Engine.IO connection: what waits for it, and whether it lives.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use bytestring::ByteString;

use super::{Handshake, frame};
use crate::{client::Client, hub::Hub, id::Id, reason::DisconnectReason, sync::Mutex, worker::WorkerIndex};

/// Most packets that one request is answered with, unless a single message has more: python-engineio refuses payloads of more than
/// 16 (`Payload.max_decode_packets`). What is left is there for the next request, which comes at once.
const PACKETS_PER_POLL: usize = 16;
/// An outbound queue that grew beyond this gives its memory back once it is empty.
const KEPT_QUEUE: usize = 32;

/// However often pings are sent, timers don't look more often.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// How a connection carries its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP long polling.
    Polling,
    /// WebSocket.
    WebSocket,
}

impl Transport {
    /// The transport's name in the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// A connection. Shared between the worker that holds its socket and those that serve its polling requests.
pub(crate) struct Conn {
    pub(crate) id: Id,
    pub(crate) hub: Arc<Hub>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) handshake: Handshake,
    pub(crate) client: Mutex<Client>,
    home: AtomicU32,
    io: Mutex<Io>,
}

struct Io {
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// So many of them, from the first, may go out over the WebSocket; the rest waits for [`Conn::rouse`].
    ready: usize,
    /// Who sends the queue: the body of a WebSocket, or the request that polls.
    waker: Option<Waker>,
    /// The waker is waiting to be woken.
    armed: bool,
    /// A worker will call [`Conn::rouse`].
    listed: bool,
    transport: Transport,
    /// A polling request waits, and which: a later one of the same connection has another number.
    poll: Option<u32>,
    polls: u32,
    posting: bool,
    upgrade: Upgrade,
    closed: Option<DisconnectReason>,
    /// Its end has been told to the client, or there is nobody to tell it to.
    told: bool,
    ping_sent: bool,
    deadline: Instant,
}

/// How far a WebSocket has come that is to take over from polling.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    None,
    /// It is there, but has said nothing.
    Begun,
    /// Its probe arrived: polling requests are answered at once, since the client waits for them before it switches.
    Probed,
}

/// What became of a message for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// Queued, and nobody sends it before [`Conn::rouse`] is called.
    Asleep,
    /// Left out: volatile, and the connection is busy.
    Dropped,
    /// The connection is gone.
    Gone,
    /// More waits than allowed: the connection has to go.
    Overflow,
}

/// What a timer has to do next for a connection.
pub(crate) enum Heartbeat {
    At(Instant),
    Expired,
    Gone,
}

/// What a WebSocket sends next.
pub(crate) enum Outbound {
    Frame(Bytes),
    Closed(DisconnectReason),
}

/// The answer to a polling request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Payload(String),
    /// The connection ended while the request waited; `1` is its last packet.
    Closed,
}

impl Conn {
    pub(crate) fn new(
        hub: Arc<Hub>,
        transport: Transport,
        home: WorkerIndex,
        handshake: Handshake,
        ip: Option<IpAddr>,
    ) -> Arc<Self> {
        let deadline = Instant::now() + hub.config.ping_interval;
        Arc::new(Self {
            id: Id::random(),
            hub,
            ip,
            handshake,
            client: Mutex::new(Client::default()),
            home: AtomicU32::new(home),
            io: Mutex::new(Io {
                queue: VecDeque::new(),
                queued_bytes: 0,
                ready: 0,
                waker: None,
                armed: false,
                listed: false,
                transport,
                poll: None,
                polls: 0,
                posting: false,
                upgrade: Upgrade::None,
                closed: None,
                told: false,
                ping_sent: false,
                deadline,
            }),
        })
    }

    /// The worker whose tables hold the connection's sockets.
    pub(crate) fn home(&self) -> WorkerIndex {
        self.home.load(Ordering::Acquire)
    }

    pub(crate) fn transport(&self) -> Transport {
        self.io.lock().transport
    }

    /// Whether a WebSocket is there that may take over, and has not said that it does.
    pub(crate) fn is_upgrading(&self) -> bool {
        self.io.lock().upgrade != Upgrade::None
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.io.lock().closed.is_some()
    }

    /// Whether the connection has ended and nothing is left to be sent over it.
    pub(crate) fn is_over(&self) -> bool {
        let io = self.io.lock();
        io.closed.is_some() && io.told
    }

    /// Nobody is there any more whom its end could be told to.
    pub(crate) fn set_told(&self) {
        self.io.lock().told = true;
    }

    /// Queues frames that make one message.
    pub(crate) fn push(&self, frames: Bytes, volatile: bool) -> Pushed {
        self.queue(frames, volatile, false)
    }

    /// The same, but leaves it to the caller to have the frames sent: [`Pushed::Asleep`] says that it must.
    pub(crate) fn push_quietly(&self, frames: Bytes, volatile: bool) -> Pushed {
        self.queue(frames, volatile, true)
    }

    fn queue(&self, frames: Bytes, volatile: bool, quietly: bool) -> Pushed {
        let limits = &self.hub.config.limits;
        let mut io = self.io.lock();
        if io.closed.is_some() {
            return Pushed::Gone;
        }
        if volatile && !io.is_writable() {
            self.hub.stats.volatile_dropped.one();
            return Pushed::Dropped;
        }
        if io.queue.len() >= limits.queued_messages || io.queued_bytes >= limits.queued_bytes {
            return Pushed::Overflow;
        }
        io.enqueue(frames);
        if !quietly {
            io.release();
        } else if !std::mem::replace(&mut io.listed, true) {
            return Pushed::Asleep;
        }
        Pushed::Queued
    }

    /// Has sent what was pushed quietly.
    pub(crate) fn rouse(&self) {
        let mut io = self.io.lock();
        io.listed = false;
        if !io.queue.is_empty() {
            io.release();
        }
    }

    /// Gives the connection to another worker. To be called while the order of operations is held still.
    pub(crate) fn set_home(&self, to: WorkerIndex) {
        self.home.store(to, Ordering::Release);
    }

    /// Marks the connection as closed; false if it was already.
    fn mark_closed(&self, reason: DisconnectReason) -> bool {
        let mut io = self.io.lock();
        if io.closed.is_some() {
            return false;
        }
        io.closed = Some(reason);
        if matches!(reason, DisconnectReason::SlowConsumer | DisconnectReason::Superseded) {
            io.queue = VecDeque::new();
            io.queued_bytes = 0;
        }
        io.release();
        true
    }

    /// Ends the connection and all its sockets; nothing if it has ended already.
    pub(crate) fn close(self: &Arc<Self>, reason: DisconnectReason) {
        if !self.mark_closed(reason) {
            return;
        }
        let stats = &self.hub.stats;
        stats.closed.one();
        match reason {
            DisconnectReason::PingTimeout => stats.ping_timeouts.one(),
            DisconnectReason::SlowConsumer => stats.slow_consumers.one(),
            DisconnectReason::ParseError => stats.parse_errors.one(),
            _ => {}
        }
        let transport = self.transport();
        self.hub.count_connection(transport, -1);
        // A polling client is told at its next request, if it was not its own doing.
        let told_later = transport == Transport::Polling
            && matches!(
                reason,
                DisconnectReason::ForcedServerClose
                    | DisconnectReason::ServerNamespaceDisconnect
                    | DisconnectReason::ServerShuttingDown
                    | DisconnectReason::RateLimited
                    | DisconnectReason::LimitExceeded
                    | DisconnectReason::SlowConsumer
            );
        self.hub.forget(self, told_later);
        Client::closed(self, reason);
    }

    // --- heartbeat ---------------------------------------------------------------------------------

    /// What to do now; sends the ping when it is due.
    pub(crate) fn heartbeat(&self, now: Instant) -> Heartbeat {
        let config = &self.hub.config;
        let mut io = self.io.lock();
        if io.closed.is_some() {
            return Heartbeat::Gone;
        }
        if now < io.deadline {
            return Heartbeat::At(io.look_again(now, config.ping_interval));
        }
        if io.ping_sent {
            return Heartbeat::Expired;
        }
        // Counted from when it was due, so that a late timer does not lengthen the time to answer; but a client that is sent
        // the ping only now is not to answer for that timer.
        let goes_out_now = io.transport == Transport::WebSocket || io.poll.is_some();
        io.ping_sent = true;
        io.deadline = if goes_out_now { now } else { io.deadline } + config.ping_timeout;
        io.enqueue(frame::PING);
        io.release();
        if now >= io.deadline { Heartbeat::Expired } else { Heartbeat::At(io.look_again(now, config.ping_interval)) }
    }

    /// The client answered a ping.
    pub(crate) fn pong(&self) {
        let mut io = self.io.lock();
        if io.ping_sent {
            io.ping_sent = false;
            io.deadline = Instant::now() + self.hub.config.ping_interval;
        }
    }

    // --- WebSocket ---------------------------------------------------------------------------------

    /// The next frames for the WebSocket that carries this connection.
    pub(crate) fn poll_outbound(&self, waker: &Waker) -> Poll<Outbound> {
        let mut io = self.io.lock();
        if io.ready > 0
            && let Some(frames) = io.dequeue()
        {
            return Poll::Ready(Outbound::Frame(frames));
        }
        if let Some(reason) = io.closed {
            io.told = true;
            return Poll::Ready(Outbound::Closed(reason));
        }
        io.arm(waker);
        Poll::Pending
    }

    /// A WebSocket asks to take over from polling; false if the connection is not there to be taken.
    pub(crate) fn begin_upgrade(&self) -> bool {
        let mut io = self.io.lock();
        if io.closed.is_some() || io.transport != Transport::Polling || io.upgrade != Upgrade::None {
            return false;
        }
        io.upgrade = Upgrade::Begun;
        true
    }

    /// The probe of the WebSocket that asked to take over arrived.
    pub(crate) fn probed(&self) {
        let mut io = self.io.lock();
        io.upgrade = Upgrade::Probed;
        io.wake();
    }

    /// The WebSocket that asked to take over went away before it did.
    pub(crate) fn cancel_upgrade(&self) {
        self.io.lock().upgrade = Upgrade::None;
    }

    /// The WebSocket carries the connection from now on; false if the connection ended meanwhile.
    pub(crate) fn finish_upgrade(&self) -> bool {
        let mut io = self.io.lock();
        if io.closed.is_some() {
            return false;
        }
        io.transport = Transport::WebSocket;
        io.upgrade = Upgrade::None;
        // A request that still polls must not take what the WebSocket is to send.
        io.poll = None;
        io.release();
        true
    }

    // --- polling -----------------------------------------------------------------------------------

    /// A request begins to wait for packets.
    pub(crate) fn begin_poll(&self) -> Result<u32, NoPoll> {
        let mut io = self.io.lock();
        // Looked at here, not before: it would wait for ever, and for what the WebSocket is to be woken for.
        if io.transport != Transport::Polling {
            return Err(NoPoll::Moved);
        }
        if io.poll.is_some() {
            return Err(NoPoll::Twice);
        }
        io.polls = io.polls.wrapping_add(1);
        io.poll = Some(io.polls);
        Ok(io.polls)
    }

    pub(crate) fn poll_payload(&self, poll: u32, waker: &Waker) -> Poll<Polled> {
        let mut io = self.io.lock();
        if io.poll != Some(poll) {
            // The connection has moved to a WebSocket: a packet that says nothing ends the request.
            return Poll::Ready(Polled::Payload("6".to_owned()));
        }
        let (mut payload, mut room) = (String::new(), PACKETS_PER_POLL);
        while let Some(packets) = io.queue.front().map(|frames| frame::packets(frames))
            && (packets <= room || payload.is_empty())
            && let Some(frames) = io.dequeue()
        {
            room = room.saturating_sub(packets);
            frame::append_payload(&mut payload, &frames);
        }
        if let Some(reason) = io.closed {
            io.poll = None;
            // Else the end is told by the next request: the client handles it before the packets that come along with it.
            io.told = payload.is_empty() || reason == DisconnectReason::TransportError;
            if payload.is_empty() && reason == DisconnectReason::TransportClose {
                // The client's own doing: it is not told what it said.
                return Poll::Ready(Polled::Payload("6".to_owned()));
            }
            if io.told {
                return Poll::Ready(Polled::Closed);
            }
            return Poll::Ready(Polled::Payload(payload));
        }
        if payload.is_empty() {
            if io.upgrade != Upgrade::Probed {
                io.arm(waker);
                return Poll::Pending;
            }
            payload.push('6');
        }
        io.poll = None;
        Poll::Ready(Polled::Payload(payload))
    }

    /// The request went away before it was answered.
    pub(crate) fn poll_dropped(&self, poll: u32) -> bool {
        let mut io = self.io.lock();
        if io.poll == Some(poll) {
            io.poll = None;
            io.told = true;
            return io.closed.is_none();
        }
        false
    }

    /// A request begins to bring packets; false if another does already.
    pub(crate) fn begin_post(&self) -> bool {
        !std::mem::replace(&mut self.io.lock().posting, true)
    }

    pub(crate) fn end_post(&self) {
        self.io.lock().posting = false;
    }

    // --- inbound -----------------------------------------------------------------------------------

    /// A text message came.
    pub(crate) fn on_text(self: &Arc<Self>, text: ByteString) {
        self.hub.stats.messages_received.one();
        Client::on_text(self, text);
    }

    /// A binary message came.
    pub(crate) fn on_binary(self: &Arc<Self>, data: Bytes) {
        self.hub.stats.messages_received.one();
        Client::on_binary(self, data);
    }
}

/// Why a request may not wait for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPoll {
    /// Another one waits already.
    Twice,
    /// A WebSocket carries the connection.
    Moved,
}

impl Io {
    /// When there may be something to do for the heartbeat. Where a client may take longer to answer a ping than the time to the
    /// next, an answer moves the deadline forward, and nobody tells the timer.
    fn look_again(&self, now: Instant, ping_interval: Duration) -> Instant {
        if self.ping_sent { self.deadline.min(now + ping_interval.max(SHORTEST_LOOK)) } else { self.deadline }
    }

    fn enqueue(&mut self, frames: Bytes) {
        self.queued_bytes += frames.len();
        self.queue.push_back(frames);
    }

    fn dequeue(&mut self) -> Option<Bytes> {
        let frames = self.queue.pop_front()?;
        self.queued_bytes -= frames.len();
        self.ready = self.ready.saturating_sub(1);
        if self.queue.is_empty() && self.queue.capacity() > KEPT_QUEUE {
            self.queue = VecDeque::new();
        }
        Some(frames)
    }

    /// Lets all that is queued go out.
    fn release(&mut self) {
        self.ready = self.queue.len();
        self.wake();
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.armed)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    fn arm(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        self.armed = true;
    }

    /// Whether a volatile message would go out soon: nothing waits long, and somebody is there to send it.
    fn is_writable(&self) -> bool {
        const FEW: usize = 16;
        self.queue.len() < FEW && (self.transport == Transport::WebSocket || self.poll.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, task::Wake};

    use actix_web::test::TestRequest;

    use super::*;
    use crate::{config::Config, hub::Protocol};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn connection() -> Arc<Conn> {
        let hub = Hub::new(Config::default(), Protocol::Bare(Box::new(|_, _| {})));
        Conn::new(hub, Transport::WebSocket, 0, Handshake::of(&TestRequest::default().to_http_request(), 0), None)
    }

    fn frames(conn: &Conn, waker: &Waker) -> Vec<Bytes> {
        std::iter::from_fn(|| match conn.poll_outbound(waker) {
            Poll::Ready(Outbound::Frame(frames)) => Some(frames),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn what_is_pushed_quietly_is_sent_in_order_once_it_is_roused() {
        let (conn, woken) = (connection(), Arc::<Woken>::default());
        let waker = Waker::from(woken.clone());
        assert!(frames(&conn, &waker).is_empty());
        let pushed = ["a", "b"].map(|text| conn.push_quietly(frame::text(b'4', text), false));
        assert_eq!(pushed, [Pushed::Asleep, Pushed::Queued], "one call rouses for both");
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        conn.rouse();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(frames(&conn, &waker), ["a", "b"].map(|text| frame::text(b'4', text)));
        assert_eq!(conn.push_quietly(frame::text(b'4', "c"), false), Pushed::Asleep, "and again");
    }

    #[test]
    fn a_poll_brings_what_every_client_takes_and_the_next_one_the_rest() {
        let hub = Hub::new(Config::default(), Protocol::Bare(Box::new(|_, _| {})));
        let handshake = Handshake::of(&TestRequest::default().to_http_request(), 0);
        let conn = Conn::new(hub, Transport::Polling, 0, handshake, None);
        let poll = || match conn.poll_payload(conn.begin_poll().unwrap(), Waker::noop()) {
            Poll::Ready(Polled::Payload(payload)) => payload.split(frame::SEPARATOR).count(),
            _ => 0,
        };
        for n in 0..20 {
            conn.push(frame::text(b'4', &n.to_string()), false);
        }
        assert_eq!([poll(), poll()], [16, 4]);
        let attachments = vec![Bytes::from_static(b"x"); 30];
        conn.push(frame::text(b'4', "a"), false);
        conn.push(frame::message("530-[]", &attachments), false);
        assert_eq!([poll(), poll()], [1, 31], "a message is never cut");
    }

    #[test]
    fn a_request_that_comes_as_the_connection_moves_does_not_wait_beside_the_web_socket() {
        let hub = Hub::new(Config::default(), Protocol::Bare(Box::new(|_, _| {})));
        let handshake = Handshake::of(&TestRequest::default().to_http_request(), 0);
        let conn = Conn::new(hub, Transport::Polling, 0, handshake, None);
        assert!(conn.begin_upgrade() && conn.finish_upgrade());
        assert_eq!(conn.begin_poll(), Err(NoPoll::Moved));
        let (woken, waker) = (Arc::<Woken>::default(), Waker::noop());
        assert!(frames(&conn, &Waker::from(woken.clone())).is_empty());
        assert!(matches!(conn.poll_payload(1, waker), Poll::Ready(_)), "and takes no wake-up from it");
        conn.push(frame::text(b'4', "a"), false);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_sender_gets_its_own_broadcast_no_sooner_than_the_others() {
        let conn = connection();
        let waker = Waker::from(Arc::<Woken>::default());
        // While the connection is being polled, nobody waits to be woken.
        assert_eq!(conn.push_quietly(frame::text(b'4', "a"), false), Pushed::Asleep);
        conn.rouse();
        assert_eq!(conn.push_quietly(frame::text(b'4', "b"), false), Pushed::Asleep);
        assert_eq!(frames(&conn, &waker), [frame::text(b'4', "a")], "what was roused goes, what came since waits");
        conn.rouse();
        assert_eq!(frames(&conn, &waker), [frame::text(b'4', "b")]);
    }

    #[test]
    fn what_is_pushed_for_one_socket_takes_along_what_waits() {
        let (conn, woken) = (connection(), Arc::<Woken>::default());
        let waker = Waker::from(woken.clone());
        assert!(frames(&conn, &waker).is_empty());
        assert_eq!(conn.push_quietly(frame::text(b'4', "a"), false), Pushed::Asleep);
        assert_eq!(conn.push(frame::text(b'4', "b"), false), Pushed::Queued);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(frames(&conn, &waker), ["a", "b"].map(|text| frame::text(b'4', text)));
        conn.rouse();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "nothing waits any more");
    }
}
