//! One Socket.IO client over WebSocket, as lean as it can be: thousands of them share a thread with each other and the
//! machine with the server.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames::{self, Frames};
use crate::http::{Request, Url, head};

/// The room of all clients.
pub const ROOM: &str = "bench";
/// How long a handshake may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// How long a step of the handshake waits for its answer before it is taken again.
const SAY_AGAIN: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// What is read is looked at once, so that all clients of a thread share one buffer.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// How far a client goes before it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// A WebSocket, with nothing spoken on it.
    Bare,
    /// A socket of the namespace `/`.
    Connected,
    /// That, in the room.
    Joined,
}

/// A connection that is ready.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    frames: Frames,
    out: Vec<u8>,
}

/// An event that came; in a fan-out, a message of the room.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a>(&'a [u8]);

impl<'a> Delivery<'a> {
    /// What a packet of this content brings.
    #[cfg(test)]
    pub(crate) fn of(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The event's name and its arguments, a JSON array.
    pub fn arguments(self) -> &'a [u8] {
        self.0.strip_prefix(b"42").unwrap_or_default()
    }

    /// The number with which the content begins; see [`message`].
    pub fn number(self) -> Option<u64> {
        const MARK: &[u8] = b"\"content\":\"";
        let at = self.0.windows(MARK.len()).position(|bytes| bytes == MARK)? + MARK.len();
        std::str::from_utf8(self.0.get(at..at + NUMBER_DIGITS)?).ok()?.parse().ok()
    }
}

const NUMBER_DIGITS: usize = 16;

/// A frame that asks for a message to the room; its content is the number, filled up to `bytes`.
pub fn message(number: u64, bytes: usize) -> Vec<u8> {
    let content = format!("{number:0NUMBER_DIGITS$}");
    let fill = "x".repeat(bytes.saturating_sub(content.len()));
    let text = format!(r#"42["message:send",{{"roomId":"{ROOM}","content":"{content}{fill}"}}]"#);
    let mut frame = Vec::with_capacity(text.len() + 14);
    frames::write(frames::TEXT, text.as_bytes(), &mut frame);
    frame
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// What the server did instead, in a few words.
    pub async fn connect(url: &Url, depth: Depth) -> Result<Self, String> {
        let steps: &[(&str, &str)] = match depth {
            Depth::Bare => &[],
            Depth::Connected => &[("", "0"), ("40", "40")],
            Depth::Joined => &[("", "0"), ("40", "40"), (r#"420["join:room","bench"]"#, "430")],
        };
        Self::connect_in(url, steps).await
    }

    /// Connects to the namespace `/` with a token.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_as(url: &Url, token: &str) -> Result<Self, String> {
        let connect = format!("40{}", serde_json::json!({ "token": token }));
        Self::connect_in(url, &[("", "0"), (&connect, "40")]).await
    }

    /// What to send, and what the answer to it begins with.
    async fn connect_in(url: &Url, steps: &[(&str, &str)]) -> Result<Self, String> {
        let connected = timeout(CONNECT_WITHIN, Self::try_connect(url, steps)).await;
        connected.map_err(|_| "the handshake takes too long".to_owned())?
    }

    async fn try_connect(url: &Url, steps: &[(&str, &str)]) -> Result<Self, String> {
        let broken = |error: io::Error| format!("{}: {error}", url.authority);
        let mut stream = TcpStream::connect(url.address).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "c291ay1sb2FkdGVzdC0xMg=="),
        ];
        stream.write_all(&Request { headers: &headers, ..Request::default() }.to_bytes(url)).await.map_err(broken)?;
        let mut buffer = Vec::new();
        let head = loop {
            if let Some(head) = head::parse(&buffer)? {
                break head;
            }
            if stream.read_buf(&mut buffer).await.map_err(broken)? == 0 {
                return Err("the server closed the connection in the handshake".to_owned());
            }
        };
        if head.status != 101 {
            return Err(format!("status {} where a WebSocket was asked for", head.status));
        }
        let mut client = Self { stream, frames: Frames::default(), out: Vec::new() };
        let mut early = buffer.split_off(head.bytes);
        for (send, wanted) in steps {
            if !send.is_empty() {
                client.send_text(send).await.map_err(broken)?;
            }
            // Some servers tell that a socket is connected before they listen to it, and lose what comes at once.
            loop {
                match timeout(SAY_AGAIN, client.until(wanted, &mut early)).await {
                    Ok(answered) => break answered?,
                    Err(_) if *wanted == "430" => client.send_text(send).await.map_err(broken)?,
                    Err(_) => {}
                }
            }
        }
        Ok(client)
    }

    /// Reads until a packet that begins so.
    async fn until(&mut self, wanted: &str, early: &mut Vec<u8>) -> Result<(), String> {
        let (mut found, mut refused) = (false, None);
        loop {
            let mut pings = 0;
            self.frames.feed(early, |opcode, content| {
                if (opcode, content) == (frames::TEXT, b"2") {
                    pings += 1;
                } else if opcode == frames::TEXT && content.starts_with(wanted.as_bytes()) {
                    found = true;
                } else if opcode == frames::CLOSE || content.starts_with(b"44") {
                    refused = Some(String::from_utf8_lossy(content).into_owned());
                }
            })?;
            early.clear();
            for _ in 0..pings {
                self.send_text("3").await.map_err(|error| error.to_string())?;
            }
            if let Some(refused) = refused {
                return Err(format!("the server refused: {refused}"));
            }
            if found {
                return Ok(());
            }
            if self.stream.read_buf(early).await.map_err(|error| error.to_string())? == 0 {
                return Err("the server closed the connection in the handshake".to_owned());
            }
        }
    }

    async fn send_text(&mut self, text: &str) -> io::Result<()> {
        let mut frame = Vec::new();
        frames::write(frames::TEXT, text.as_bytes(), &mut frame);
        self.stream.write_all(&frame).await
    }

    /// Sends frames that are ready.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames).await
    }

    /// Waits for what comes next, answers pings, and calls `each` for events; what that writes into its
    /// second argument is sent.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn receive(&mut self, mut each: impl FnMut(Delivery<'_>, &mut Vec<u8>)) -> io::Result<()> {
        self.stream.readable().await?;
        let Self { stream, frames, out } = self;
        let mut closed = false;
        BUFFER.with_borrow_mut(|buffer| {
            let read = match stream.try_read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let fed = frames.feed(&buffer[..read], |opcode, content| match (opcode, content) {
                (frames::TEXT, [b'4', b'2', ..]) => each(Delivery(content), out),
                (frames::TEXT, b"2") => frames::write(frames::TEXT, b"3", out),
                (frames::PING, _) => frames::write(frames::PONG, content, out),
                (frames::CLOSE, _) => closed = true,
                _ => {}
            });
            fed.map_err(io::Error::other)
        })?;
        if closed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if !out.is_empty() {
            stream.write_all(out).await?;
            // Most clients only listen; what they kept would count up.
            *out = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_message_is_found_whatever_stands_around_it() {
        for (text, number) in [
            (r#"42["message:new",{"roomId":"bench","content":"0000000000000042xxxx"}]"#, Some(42)),
            (r#"42["message:new",{"content":"0000000000000007","roomId":"bench"}]"#, Some(7)),
            (r#"42["message:new",{"content":"7"}]"#, None),
            (r#"42["other"]"#, None),
        ] {
            assert_eq!(Delivery(text.as_bytes()).number(), number, "{text}");
        }
    }

    #[test]
    fn a_message_has_the_length_that_is_asked_for() {
        let frame = message(42, 40);
        let text = String::from_utf8(frame[6..].to_vec()).unwrap();
        assert!(text.ends_with(&format!("\"{:016}{}\"}}]", 42, "x".repeat(24))), "{text}");
    }
}
