//! A connection over WebSocket.
//!
//! The response's body is the connection: polling it reads what came, runs the handlers, and gives what waits to be
//! sent. So a socket needs no task and no channel of its own, and the frames that wait for it go out in one write.
//!
//! Source: RFC 6455; Engine.IO protocol v4, "upgrade".

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::ws::{OpCode, Parser};
use actix_web::{
    body::{BodySize, MessageBody},
    dev::Payload,
};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures::Stream as _;
use tokio::time::Sleep;

use super::{
    conn::{Conn, Outbound},
    frame,
};
use crate::reason::DisconnectReason;

/// Chunks read in one go before the sockets of other tasks get their turn.
const CHUNKS_PER_TURN: usize = 16;

/// How long reading is put off while a worker is far behind.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// The body of the answer to a WebSocket handshake.
pub(crate) struct WebSocket {
    conn: Arc<Conn>,
    payload: Payload,
    phase: Phase,
    /// A frame that has not come whole. None while idle.
    partial: Option<BytesMut>,
    /// A message whose fragments have not all come.
    fragments: Option<Box<Fragments>>,
    /// Control frames, which go before messages.
    control: VecDeque<Bytes>,
    /// While probing: when the client has to have switched.
    upgrade_by: Option<Pin<Box<Sleep>>>,
    read_closed: bool,
    /// While a worker is far behind: when to look again.
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for the client's probe and its word to switch; the connection still polls.
    Probing,
    /// Carries the connection.
    Open,
    /// A close frame is on its way, or the peer is gone: nothing more is read or sent.
    Ended,
}

struct Fragments {
    opcode: OpCode,
    data: BytesMut,
}

impl WebSocket {
    /// A WebSocket that is the connection from its start.
    pub(crate) fn open(conn: Arc<Conn>, payload: Payload) -> Self {
        Self::new(conn, payload, Phase::Open)
    }

    /// A WebSocket that is to take over from polling. [`Conn::begin_upgrade`] has been called.
    pub(crate) fn probing(conn: Arc<Conn>, payload: Payload) -> Self {
        let upgrade_by = Box::pin(tokio::time::sleep(conn.hub.config.upgrade_timeout));
        let mut socket = Self::new(conn, payload, Phase::Probing);
        socket.upgrade_by = Some(upgrade_by);
        socket
    }

    /// A WebSocket for a connection that has one already: it is closed without a look at what comes.
    pub(crate) fn spare(conn: Arc<Conn>, payload: Payload) -> Self {
        let mut socket = Self::new(conn, payload, Phase::Ended);
        socket.control.push_back(frame::close(DisconnectReason::TransportClose.close_code(), ""));
        socket
    }

    fn new(conn: Arc<Conn>, payload: Payload, phase: Phase) -> Self {
        Self {
            conn,
            payload,
            phase,
            partial: None,
            fragments: None,
            control: VecDeque::new(),
            upgrade_by: None,
            read_closed: false,
            pause: None,
        }
    }

    /// Whether nothing is to be read now: what clients send must not pile up as work for a worker that can't keep up.
    fn is_paused(&mut self, cx: &mut Context<'_>) -> bool {
        while self.conn.hub.is_behind() {
            let pause = self.pause.get_or_insert_with(|| {
                self.conn.hub.stats.reading_paused.one();
                Box::pin(tokio::time::sleep(PAUSE))
            });
            if pause.as_mut().poll(cx).is_pending() {
                return true;
            }
            self.pause = None;
        }
        self.pause = None;
        false
    }

    /// Reads what has come.
    fn read(&mut self, cx: &mut Context<'_>) {
        if self.is_paused(cx) {
            return;
        }
        for _ in 0..CHUNKS_PER_TURN {
            if self.read_closed || self.phase == Phase::Ended {
                return;
            }
            match Pin::new(&mut self.payload).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.feed(chunk),
                Poll::Ready(Some(Err(_)) | None) => {
                    self.read_closed = true;
                    self.fail(DisconnectReason::TransportClose);
                }
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    fn feed(&mut self, chunk: Bytes) {
        let mut buffer = match self.partial.take() {
            Some(mut partial) => {
                partial.extend_from_slice(&chunk);
                partial
            }
            None => chunk.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..])),
        };
        let max = self.conn.hub.config.max_payload;
        while self.phase != Phase::Ended {
            match Parser::parse(&mut buffer, true, max) {
                Ok(Some((fin, opcode, data))) => self.on_frame(fin, opcode, data.unwrap_or_default()),
                Ok(None) => break,
                Err(actix_http::ws::ProtocolError::Overflow) => {
                    self.oversized();
                    return;
                }
                Err(error) => {
                    tracing::debug!(connection = %self.conn.id, %error, "websocket frame refused");
                    self.fail(DisconnectReason::TransportError);
                    return;
                }
            }
        }
        // A frame larger than allowed is refused at its head, not when the memory for it is spent.
        if buffer.len() > max + 14 {
            self.oversized();
        } else if !buffer.is_empty() {
            self.partial = Some(buffer);
        }
    }

    fn oversized(&mut self) {
        self.conn.hub.stats.oversized_payloads.one();
        // RFC 6455 §7.4.1: 1009 is a message too big to process.
        self.control.push_back(frame::close(1009, "message too big"));
        self.end(DisconnectReason::TransportError);
    }

    fn on_frame(&mut self, fin: bool, opcode: OpCode, data: BytesMut) {
        match opcode {
            OpCode::Ping if fin => {
                // One that has not been answered needs not be: RFC 6455 §5.5.3. So pings can't pile up.
                if self.control.back().is_some_and(|last| frame::is_pong(last)) {
                    self.control.pop_back();
                }
                self.control.push_back(frame::pong(&data));
            }
            OpCode::Pong if fin => {}
            OpCode::Close => {
                let code = match Parser::try_parse_close_payload(&data) {
                    Ok(Some(close)) => close.code.into(),
                    Ok(None) => 1000,
                    Err(_) => 1002,
                };
                self.control.push_back(frame::close(code, ""));
                self.end(DisconnectReason::TransportClose);
            }
            OpCode::Text | OpCode::Binary if fin && self.fragments.is_none() => self.on_message(opcode, data.freeze()),
            OpCode::Text | OpCode::Binary if !fin && self.fragments.is_none() => {
                self.fragments = Some(Box::new(Fragments { opcode, data }));
            }
            OpCode::Continue => {
                let Some(mut message) = self.fragments.take() else {
                    self.fail(DisconnectReason::TransportError);
                    return;
                };
                if message.data.len() + data.len() > self.conn.hub.config.max_payload {
                    self.oversized();
                    return;
                }
                message.data.extend_from_slice(&data);
                if fin {
                    self.on_message(message.opcode, message.data.freeze());
                } else {
                    self.fragments = Some(message);
                }
            }
            _ => self.fail(DisconnectReason::TransportError),
        }
    }

    fn on_message(&mut self, opcode: OpCode, data: Bytes) {
        if opcode == OpCode::Binary {
            if self.phase == Phase::Open {
                self.conn.on_binary(data);
            } else {
                self.fail(DisconnectReason::TransportError);
            }
            return;
        }
        let Ok(text) = ByteString::try_from(data) else {
            self.fail(DisconnectReason::ParseError);
            return;
        };
        if self.phase == Phase::Probing {
            self.on_probing_text(&text);
            return;
        }
        match text.as_bytes().first() {
            Some(b'4') => {
                let body = text.split_at(1).1;
                self.conn.on_text(body);
            }
            Some(b'3') => self.conn.pong(),
            Some(b'1') => self.fail(DisconnectReason::TransportClose),
            // Noop; a ping, which clients of this version don't send.
            Some(b'6') => {}
            _ => self.fail(DisconnectReason::ParseError),
        }
    }

    fn on_probing_text(&mut self, text: &str) {
        match text {
            "2probe" => {
                if self.control.is_empty() {
                    self.control.push_back(frame::PROBE_ANSWER);
                }
                self.conn.probed();
            }
            "5" => {
                if !self.conn.finish_upgrade() {
                    self.phase = Phase::Ended;
                    return;
                }
                self.phase = Phase::Open;
                self.upgrade_by = None;
                self.conn.hub.upgraded(&self.conn);
            }
            _ => self.fail(DisconnectReason::ParseError),
        }
    }

    /// The connection ends for this reason, which the peer is told if it is still there.
    fn fail(&mut self, reason: DisconnectReason) {
        if !self.read_closed {
            self.control.push_back(frame::close(reason.close_code(), reason.as_str()));
        }
        self.end(reason);
    }

    fn end(&mut self, reason: DisconnectReason) {
        match self.phase {
            // A WebSocket that fails before it took over leaves the polling connection as it is.
            Phase::Probing => self.conn.cancel_upgrade(),
            Phase::Open => {
                self.conn.close(reason);
                self.conn.set_told();
            }
            Phase::Ended => {}
        }
        self.phase = Phase::Ended;
    }
}

impl MessageBody for WebSocket {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        // A client that doesn't take its answers needs not be listened to.
        if this.control.is_empty() {
            this.read(cx);
        }
        if let Some(frame) = this.control.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match this.phase {
            Phase::Ended => Poll::Ready(None),
            Phase::Probing => {
                let late = this.upgrade_by.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
                if late || this.conn.is_closed() {
                    this.end(DisconnectReason::TransportClose);
                    return Poll::Ready(None);
                }
                Poll::Pending
            }
            Phase::Open => match this.conn.poll_outbound(cx.waker()) {
                Poll::Ready(Outbound::Frame(frames)) => Poll::Ready(Some(Ok(frames))),
                Poll::Ready(Outbound::Closed(reason)) => {
                    this.phase = Phase::Ended;
                    Poll::Ready(Some(Ok(frame::close(reason.close_code(), reason.as_str()))))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.end(DisconnectReason::TransportClose);
    }
}
