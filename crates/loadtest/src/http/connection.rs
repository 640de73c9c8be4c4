//! A connection that is kept open and opened again.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::head::{self, Framing};

/// Room for each read: an answer of the catalogue fits in.
const READ_BYTES: usize = 32 * 1024;
/// The longest head, and the longest line of a chunk.
const MOST_HEAD_BYTES: usize = 64 * 1024;
/// The longest body that is kept.
const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server can't be reached.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// The connection ended before the answer did.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// What came is no answer.
    #[error("no valid answer: {0}")]
    Invalid(&'static str),
}

impl HttpError {
    /// A word for it, to count by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "no connection",
            Self::Broken(_) => "connection broke",
            Self::Invalid(_) => "invalid answer",
        }
    }
}

/// An answer that came whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Length of the body.
    pub body_bytes: u64,
    /// The body, where it was asked for.
    pub body: Vec<u8>,
}

/// One connection; not there until it is needed.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: BytesMut,
    /// Whether anything came since the last request was sent.
    heard: bool,
    reopened: u64,
}

impl Connection {
    /// A connection to be made to this address.
    pub fn to(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: BytesMut::new(), heard: false, reopened: 0 }
    }

    /// How often it was found closed by the server and was opened again.
    pub fn reopened(&self) -> u64 {
        self.reopened
    }

    /// Closes it; the next request opens it again. To be called when a request was given up in the middle.
    pub fn close(&mut self) {
        self.stream = None;
        self.buffer.clear();
    }

    /// Sends a request and reads its answer, the body too if it is to be kept.
    ///
    /// A server closes connections that were idle for long. If one that was used before turns out to be closed before a
    /// single byte of an answer came, the request is sent once more on a new one (RFC 9112, section 9.3.1); requests that
    /// must not be taken twice need an idempotency key.
    ///
    /// # Errors
    /// [`HttpError`]; the connection is closed then.
    pub async fn send(&mut self, request: &[u8], keep_body: bool) -> Result<Answer, HttpError> {
        if !self.buffer.is_empty() {
            // More came than was asked for: whose answer the next one would be is unknown.
            self.close();
        }
        let used_before = self.stream.is_some();
        let mut result = self.send_once(request, keep_body).await;
        if used_before && !self.heard && matches!(result, Err(HttpError::Broken(_))) {
            self.close();
            self.reopened += 1;
            result = self.send_once(request, keep_body).await;
        }
        if result.is_err() {
            self.close();
        }
        result
    }

    async fn send_once(&mut self, request: &[u8], keep_body: bool) -> Result<Answer, HttpError> {
        self.heard = false;
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await.map_err(HttpError::Connect)?;
            // Each request is one write: nothing is gained by waiting for more.
            stream.set_nodelay(true).map_err(HttpError::Connect)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().ok_or(HttpError::Invalid("no connection"))?;
        stream.write_all(request).await.map_err(HttpError::Broken)?;
        let head = loop {
            match head::parse(&self.buffer).map_err(HttpError::Invalid)? {
                // Interim answers (100, 103) go before the one that counts.
                Some(head) if (100..200).contains(&head.status) => self.buffer.advance(head.bytes),
                Some(head) => break head,
                None if self.buffer.len() > MOST_HEAD_BYTES => return Err(HttpError::Invalid("the head is too long")),
                None => self.fill().await?,
            }
        };
        self.buffer.advance(head.bytes);
        let mut answer = Answer { status: head.status, ..Answer::default() };
        match head.framing {
            Framing::Length(length) => self.take(length, keep_body, &mut answer).await?,
            Framing::Chunked => self.take_chunks(keep_body, &mut answer).await?,
            Framing::UntilClose => self.take_rest(keep_body, &mut answer).await?,
        }
        if !head.keep_alive || head.framing == Framing::UntilClose {
            self.close();
        }
        Ok(answer)
    }

    /// Reads what there is, at least one byte.
    async fn fill(&mut self) -> Result<(), HttpError> {
        self.buffer.reserve(READ_BYTES);
        let stream = self.stream.as_mut().ok_or(HttpError::Invalid("no connection"))?;
        match stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(HttpError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                self.heard = true;
                Ok(())
            }
            Err(error) => Err(HttpError::Broken(error)),
        }
    }

    async fn take(&mut self, length: u64, keep: bool, answer: &mut Answer) -> Result<(), HttpError> {
        let mut left = length;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.use_up(here, keep, answer)?;
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn take_chunks(&mut self, keep: bool, answer: &mut Answer) -> Result<(), HttpError> {
        loop {
            let size = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((line, size))) => {
                        self.buffer.advance(line);
                        break size;
                    }
                    Ok(httparse::Status::Partial) if self.buffer.len() <= MOST_HEAD_BYTES => self.fill().await?,
                    _ => return Err(HttpError::Invalid("a chunk without a size")),
                }
            };
            if size == 0 {
                return self.skip_trailers().await;
            }
            self.take(size, keep, answer).await?;
            while self.buffer.len() < 2 {
                self.fill().await?;
            }
            if !self.buffer.starts_with(b"\r\n") {
                return Err(HttpError::Invalid("a chunk of another size than it says"));
            }
            self.buffer.advance(2);
        }
    }

    /// Everything up to an empty line.
    async fn skip_trailers(&mut self) -> Result<(), HttpError> {
        loop {
            match self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                Some(0) => {
                    self.buffer.advance(2);
                    return Ok(());
                }
                Some(end) => self.buffer.advance(end + 2),
                None if self.buffer.len() > MOST_HEAD_BYTES => return Err(HttpError::Invalid("a trailer too long")),
                None => self.fill().await?,
            }
        }
    }

    async fn take_rest(&mut self, keep: bool, answer: &mut Answer) -> Result<(), HttpError> {
        loop {
            self.use_up(self.buffer.len(), keep, answer)?;
            match self.fill().await {
                Ok(()) => {}
                Err(HttpError::Broken(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn use_up(&mut self, bytes: usize, keep: bool, answer: &mut Answer) -> Result<(), HttpError> {
        if keep {
            if answer.body.len() + bytes > MOST_BODY_BYTES {
                return Err(HttpError::Invalid("the body is too long"));
            }
            answer.body.extend_from_slice(&self.buffer[..bytes]);
        }
        answer.body_bytes += bytes as u64;
        self.buffer.advance(bytes);
        Ok(())
    }
}
