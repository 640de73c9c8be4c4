//! A connection over HTTP long polling.
//!
//! Source: Engine.IO protocol v4, "HTTP long-polling".

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytestring::ByteString;

use super::{
    conn::{Conn, NoPoll, Polled},
    frame,
};
use crate::reason::DisconnectReason;

/// A request that waits for packets. Dropped before it is done, its client went away, and the connection with it.
pub(crate) struct Poller {
    conn: Arc<Conn>,
    poll: u32,
    done: bool,
}

impl Poller {
    /// Begins to wait, if no other request does and the connection has not moved.
    pub(crate) fn begin(conn: &Arc<Conn>) -> Result<Self, NoPoll> {
        let poll = conn.begin_poll()?;
        Ok(Self { conn: conn.clone(), poll, done: false })
    }
}

impl Future for Poller {
    type Output = Polled;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        let polled = self.conn.poll_payload(self.poll, cx.waker());
        self.done = polled.is_ready();
        polled
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        if !self.done && self.conn.poll_dropped(self.poll) {
            self.conn.close(DisconnectReason::TransportClose);
        }
    }
}

/// A request that brings packets; only one may at a time.
pub(crate) struct Poster {
    conn: Arc<Conn>,
}

impl Poster {
    pub(crate) fn begin(conn: &Arc<Conn>) -> Option<Self> {
        conn.begin_post().then(|| Self { conn: conn.clone() })
    }

    /// Takes the packets of a whole body.
    ///
    /// # Errors
    /// The reason for which the connection has to end: the body is malformed, or has too many packets.
    pub(crate) fn take(&self, body: ByteString) -> Result<(), DisconnectReason> {
        if body.matches(frame::SEPARATOR).count() >= self.conn.hub.config.limits.packets_per_payload {
            return Err(DisconnectReason::LimitExceeded);
        }
        for packet in body.split(frame::SEPARATOR) {
            if self.conn.is_closed() {
                break;
            }
            match packet.as_bytes().first() {
                Some(b'4') => self.conn.on_text(body.slice_ref(&packet[1..])),
                Some(b'b') => {
                    let data = BASE64_STANDARD.decode(&packet[1..]).map_err(|_| DisconnectReason::ParseError)?;
                    self.conn.on_binary(data.into());
                }
                Some(b'3') => self.conn.pong(),
                Some(b'1') => {
                    self.conn.close(DisconnectReason::TransportClose);
                    break;
                }
                Some(b'6') => {}
                _ => return Err(DisconnectReason::ParseError),
            }
        }
        Ok(())
    }
}

impl Drop for Poster {
    fn drop(&mut self) {
        self.conn.end_post();
    }
}
