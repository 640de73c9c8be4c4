//! Requests as bytes.

use super::url::Url;

/// What is to be sent.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// `GET` where it is empty.
    pub method: &'a str,
    /// Names and values, without `Host` and `Content-Length`, which are written from the rest.
    pub headers: &'a [(&'a str, &'a str)],
    /// Empty for none.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Writes the request to `url` behind what is in `into`.
    pub fn write(&self, url: &Url, into: &mut Vec<u8>) {
        let method = if self.method.is_empty() { "GET" } else { self.method };
        for part in [method, " ", &url.path, " HTTP/1.1\r\nHost: ", &url.authority, "\r\n"] {
            into.extend_from_slice(part.as_bytes());
        }
        for (name, value) in self.headers {
            for part in [name, ": ", value, "\r\n"] {
                into.extend_from_slice(part.as_bytes());
            }
        }
        if !self.body.is_empty() {
            into.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        into.extend_from_slice(b"\r\n");
        into.extend_from_slice(self.body);
    }

    /// The same, on its own.
    pub fn to_bytes(&self, url: &Url) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(url, &mut bytes);
        bytes
    }
}

/// Reads `Name: value`, as `--header` takes it.
///
/// # Errors
/// What to write instead.
pub fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write Name: value")?;
    let value = value.trim();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) || value.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("write Name: value".to_owned());
    }
    if ["host", "content-length", "connection", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("{name} is written by the driver itself"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_request_as_the_protocol_wants_it() {
        let url = Url::of("127.0.0.1:8080".parse().unwrap()).at("/api/orders");
        let get = String::from_utf8(Request::default().to_bytes(&url)).unwrap();
        assert_eq!(get, "GET /api/orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
        let post = Request { method: "POST", headers: &[("A", "b")], body: b"{}" };
        let post = String::from_utf8(post.to_bytes(&url)).unwrap();
        assert_eq!(post, "POST /api/orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nA: b\r\nContent-Length: 2\r\n\r\n{}");
    }

    #[test]
    fn a_header_has_a_name_and_can_not_break_the_request() {
        assert_eq!(parse_header("Accept:  text/html ").unwrap(), ("Accept".to_owned(), "text/html".to_owned()));
        for bad in ["Accept", ": x", "A b: c", "A: b\r\nC: d", "Host: elsewhere", "Content-Length: 3"] {
            assert!(parse_header(bad).is_err(), "{bad:?}");
        }
    }
}
