//! The head of an answer.

/// Header fields that an answer may have.
const MOST_HEADERS: usize = 64;

/// Where the body of an answer ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// Its own length in bytes.
    pub bytes: usize,
}

/// Reads the head at the beginning of `bytes`; `None` while it is not all there.
///
/// # Errors
/// When this is no answer of HTTP/1, in a few words.
pub fn parse(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("no HTTP answer"),
    };
    let status = response.code.ok_or("no HTTP answer")?;
    let mut keep_alive = response.version == Some(1);
    let (mut content_length, mut chunked) = (None, false);
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).map(str::trim).unwrap_or_default();
        if header.name.eq_ignore_ascii_case("content-length") {
            content_length = Some(value.parse().map_err(|_| "invalid Content-Length")?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep_alive &= !value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
        }
    }
    let framing = match (status, chunked, content_length) {
        (100..=199 | 204 | 304, ..) => Framing::Length(0),
        (_, true, _) => Framing::Chunked,
        (_, false, Some(length)) => Framing::Length(length),
        (_, false, None) => Framing::UntilClose,
    };
    Ok(Some(Head { status, framing, keep_alive, bytes: length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn the_body_ends_where_the_head_says() {
        for (rest, framing) in [
            ("200 OK\r\ncontent-length: 25\r\n\r\n", Framing::Length(25)),
            ("200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Framing::Chunked),
            ("200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", Framing::Chunked),
            ("200 OK\r\n\r\n", Framing::UntilClose),
            ("204 No Content\r\n\r\n", Framing::Length(0)),
            ("304 Not Modified\r\nContent-Length: 25\r\n\r\n", Framing::Length(0)),
        ] {
            assert_eq!(head(&format!("HTTP/1.1 {rest}")).framing, framing, "{rest}");
        }
    }

    #[test]
    fn a_connection_is_kept_unless_it_is_to_be_closed() {
        assert!(head("HTTP/1.1 200 OK\r\n\r\n").keep_alive);
        assert!(!head("HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n").keep_alive);
        assert!(!head("HTTP/1.0 200 OK\r\n\r\n").keep_alive);
    }

    #[test]
    fn waits_for_the_whole_head_and_leaves_the_body() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for end in 0..whole.len() - 2 {
            assert_eq!(parse(&whole[..end]), Ok(None), "{end}");
        }
        assert_eq!(parse(whole).unwrap().unwrap().bytes, whole.len() - 2);
    }

    #[test]
    fn refuses_what_is_no_answer() {
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
    }
}
