//! The formats: compiled once, rendered for each request.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;

use super::exchange::Exchange;
use super::token::{KNOWN, Token};
use super::{ABSENT, clean, mask};

/// morgan's predefined formats, in its own words.
const PREDEFINED: [(&str, &str); 5] = [
    (
        "combined",
        ":remote-addr - :remote-user [:date[clf]] \":method :url HTTP/:http-version\" :status :res[content-length] \
         \":referrer\" \":user-agent\"",
    ),
    (
        "common",
        ":remote-addr - :remote-user [:date[clf]] \":method :url HTTP/:http-version\" :status :res[content-length]",
    ),
    ("dev", ":method :url :status :response-time ms - :res[content-length]"),
    (
        "short",
        ":remote-addr :remote-user :method :url HTTP/:http-version :status :res[content-length] - :response-time ms",
    ),
    ("tiny", ":method :url :status :res[content-length] - :response-time ms"),
];

/// What is written for each request: `tiny`, `dev`, `short`, `common`, `combined`, `json`, or a string of tokens.
///
/// What is not there is `-`. Lengths are in bytes, times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    source: String,
    /// `None`: fields instead of a line.
    line: Option<Vec<Part>>,
    coloured: bool,
    request_headers: Vec<String>,
    response_headers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Token(Token),
}

/// Why a format was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFormat {
    /// No such token.
    #[error("there is no token :{name}; there are {KNOWN}")]
    UnknownToken {
        /// Its name.
        name: String,
    },
    /// What stands in brackets is not for this token.
    #[error(":{name}[{argument}] is no token: {fix}")]
    Argument {
        /// The token.
        name: String,
        /// What stands in the brackets.
        argument: String,
        /// What should.
        fix: &'static str,
    },
    /// Neither a name nor a string with tokens in it.
    #[error("use tiny, dev, short, common, combined, json, or tokens such as :method :url; there are {KNOWN}")]
    NoToken,
}

impl InvalidFormat {
    pub(super) fn argument(name: &str, argument: &str, fix: &'static str) -> Self {
        Self::Argument { name: name.to_owned(), argument: argument.to_owned(), fix }
    }
}

impl FromStr for Format {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        let text = text.trim();
        let mut format = Self {
            source: text.to_owned(),
            line: None,
            coloured: false,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
        };
        if text == "json" {
            format.request_headers = vec!["referer".to_owned(), "user-agent".to_owned()];
            return Ok(format);
        }
        let predefined = PREDEFINED.iter().find(|(name, _)| *name == text).map(|(_, line)| *line);
        let parts = parse(predefined.unwrap_or(text))?;
        for part in &parts {
            let (headers, name) = match part {
                Part::Token(Token::Referrer) => (&mut format.request_headers, "referer"),
                Part::Token(Token::UserAgent) => (&mut format.request_headers, "user-agent"),
                Part::Token(Token::RequestHeader(name)) => (&mut format.request_headers, name.as_str()),
                Part::Token(Token::ResponseHeader(name)) => (&mut format.response_headers, name.as_str()),
                _ => continue,
            };
            if !headers.iter().any(|known| known == name) {
                headers.push(name.to_owned());
            }
        }
        format.line = Some(parts);
        Ok(format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// A token is a colon, two or more of `A-Z a-z 0-9 _ -`, and perhaps an argument in brackets; all else is text.
fn parse(text: &str) -> Result<Vec<Part>, InvalidFormat> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(colon) = rest.find(':') {
        let after = &rest[colon + 1..];
        let length =
            after.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).unwrap_or(after.len());
        literal.push_str(&rest[..colon]);
        if length < 2 {
            literal.push(':');
            rest = after;
            continue;
        }
        let (name, mut tail) = after.split_at(length);
        let mut argument = None;
        if let Some((inside, outside)) = tail.strip_prefix('[').and_then(|open| open.split_once(']'))
            && !inside.is_empty()
        {
            (argument, tail) = (Some(inside), outside);
        }
        if !literal.is_empty() {
            parts.push(Part::Text(clean_text(&std::mem::take(&mut literal))));
        }
        parts.push(Part::Token(Token::parse(name, argument)?));
        rest = tail;
    }
    literal.push_str(rest);
    if parts.is_empty() {
        return Err(InvalidFormat::NoToken);
    }
    if !literal.is_empty() {
        parts.push(Part::Text(clean_text(&literal)));
    }
    Ok(parts)
}

/// A format is of the operator's own making, but a line is still one line.
fn clean_text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    clean::push_field(&mut clean, text);
    clean
}

impl Format {
    /// Colours the status of `dev`, and of no other format: for lines that go to a terminal. Off at first.
    pub fn coloured(mut self, on: bool) -> Self {
        self.coloured = on && self.source == "dev";
        self
    }

    /// Whether there is a line, or fields instead (`json`).
    pub fn is_json(&self) -> bool {
        self.line.is_none()
    }

    /// The request headers that it shows, in lower case.
    pub fn request_headers(&self) -> &[String] {
        &self.request_headers
    }

    /// The response headers that it shows, in lower case.
    pub fn response_headers(&self) -> &[String] {
        &self.response_headers
    }

    /// The line of a request that ends now; `None` in the format `json`, which has none.
    pub fn render(&self, exchange: &Exchange) -> Option<String> {
        self.line.as_ref()?;
        self.render_at(exchange, OffsetDateTime::now_utc())
    }

    pub(super) fn render_at(&self, exchange: &Exchange, now: OffsetDateTime) -> Option<String> {
        let parts = self.line.as_ref()?;
        let mut line = String::with_capacity(160);
        for part in parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Token(token) => self.push(&mut line, token, exchange, now),
            }
        }
        Some(line)
    }

    fn push(&self, line: &mut String, token: &Token, exchange: &Exchange, now: OffsetDateTime) {
        match token {
            Token::Date(format) => line.push_str(&format.of(now)),
            Token::HttpVersion => line.push_str(exchange.http_version),
            Token::Method => push_value(line, Some(exchange.method.as_str())),
            Token::Url => push_value(line, Some(&mask::url(&exchange.url))),
            Token::Id => push_value(line, exchange.id.as_deref()),
            Token::RemoteAddr => push_value(line, exchange.remote_addr.as_deref()),
            Token::RemoteUser => push_value(line, exchange.remote_user.as_deref()),
            Token::Referrer => push_value(line, self.request_header(exchange, "referer").as_deref()),
            Token::UserAgent => push_value(line, self.request_header(exchange, "user-agent").as_deref()),
            Token::RequestHeader(name) => push_value(line, self.request_header(exchange, name).as_deref()),
            // The length is known also where no header says it.
            Token::ResponseHeader(name) if name == "content-length" => match exchange.content_length {
                Some(bytes) => push_display(line, bytes),
                None => line.push_str(ABSENT),
            },
            Token::ResponseHeader(name) => push_value(line, self.response_header(exchange, name).as_deref()),
            Token::ResponseTime(digits) => push_ms(line, exchange.response_time, *digits),
            Token::TotalTime(digits) => push_ms(line, exchange.total_time, *digits),
            Token::Status => match (exchange.status, self.coloured) {
                (None, _) => line.push_str(ABSENT),
                (Some(status), false) => push_display(line, status),
                (Some(status), true) => push_display(line, format_args!("\x1b[{}m{status}\x1b[0m", colour(status))),
            },
        }
    }

    /// A request header as it may be shown.
    pub(super) fn request_header<'a>(&self, exchange: &'a Exchange, name: &str) -> Option<Cow<'a, str>> {
        find(&self.request_headers, &exchange.request_headers, name)
    }

    fn response_header<'a>(&self, exchange: &'a Exchange, name: &str) -> Option<Cow<'a, str>> {
        find(&self.response_headers, &exchange.response_headers, name)
    }
}

fn find<'a>(names: &[String], values: &'a [Option<String>], name: &str) -> Option<Cow<'a, str>> {
    let index = names.iter().position(|known| known == name)?;
    values.get(index)?.as_deref().map(|value| mask::header(name, value))
}

/// As morgan colours: red for the server's errors, yellow for the client's, cyan for elsewhere, green for success.
fn colour(status: u16) -> u8 {
    match status {
        500.. => 31,
        400.. => 33,
        300.. => 36,
        200.. => 32,
        _ => 0,
    }
}

fn push_value(line: &mut String, value: Option<&str>) {
    match value {
        None | Some("") => line.push_str(ABSENT),
        Some(value) => clean::push_quotable(line, value),
    }
}

fn push_ms(line: &mut String, time: Option<Duration>, digits: usize) {
    match time {
        Some(time) => push_display(line, format_args!("{:.digits$}", time.as_secs_f64() * 1e3)),
        None => line.push_str(ABSENT),
    }
}

fn push_display(line: &mut String, value: impl fmt::Display) {
    let _ = write!(line, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exchange with everything, filled for this format.
    fn everything(format: &Format) -> Exchange {
        let value = |name: &String| {
            Some(match name.as_str() {
                "referer" => "https://shop.example/".to_owned(),
                "user-agent" => "curl/8.0".to_owned(),
                "absent" => return None,
                other => format!("value of {other}"),
            })
        };
        Exchange {
            method: "GET".to_owned(),
            url: "/apples?colour=red&token=abc".to_owned(),
            http_version: "1.1",
            remote_addr: Some("203.0.113.7".to_owned()),
            remote_user: Some("frank".to_owned()),
            id: Some("the-id".to_owned()),
            request_headers: format.request_headers().iter().map(value).collect(),
            response_headers: format.response_headers().iter().map(value).collect(),
            status: Some(200),
            content_length: Some(2326),
            response_time: Some(Duration::from_micros(12_346)),
            total_time: Some(Duration::from_micros(2_500)),
            aborted: false,
        }
    }

    fn format(text: &str) -> Format {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn line(text: &str) -> String {
        let format = format(text);
        let at = OffsetDateTime::from_unix_timestamp(971_186_136).unwrap();
        format.render_at(&everything(&format), at).unwrap()
    }

    #[test]
    fn the_predefined_formats_look_as_morgan_documents_them() {
        for (name, wanted) in [
            ("tiny", "GET /apples?colour=red&token=*** 200 2326 - 12.346 ms"),
            ("dev", "GET /apples?colour=red&token=*** 200 12.346 ms - 2326"),
            ("short", "203.0.113.7 frank GET /apples?colour=red&token=*** HTTP/1.1 200 2326 - 12.346 ms"),
            (
                "common",
                "203.0.113.7 - frank [10/Oct/2000:13:55:36 +0000] \"GET /apples?colour=red&token=*** HTTP/1.1\" 200 2326",
            ),
            (
                "combined",
                "203.0.113.7 - frank [10/Oct/2000:13:55:36 +0000] \"GET /apples?colour=red&token=*** HTTP/1.1\" 200 2326 \
                 \"https://shop.example/\" \"curl/8.0\"",
            ),
        ] {
            assert_eq!(line(name), wanted, "{name}");
        }
    }

    #[test]
    fn tokens_have_arguments_and_all_else_is_text() {
        for (text, wanted) in [
            (":response-time[0]|:response-time[1]|:total-time|:total-time[2]", "12|12.3|2.500|2.50"),
            (":date|:date[iso]", "Tue, 10 Oct 2000 13:55:36 GMT|2000-10-10T13:55:36.000Z"),
            (":req[X-Thing] :res[ETag]", "value of x-thing value of etag"),
            (":req[absent]:res[absent]", "--"),
            (":id :method :url", "the-id GET /apples?colour=red&token=***"),
            ("a: :x :: [:status] 100%", "a: :x :: [200] 100%"),
            (":status[]", "200[]"),
        ] {
            assert_eq!(line(text), wanted, "{text}");
        }
    }

    #[test]
    fn credentials_are_masked_whatever_the_format_asks_for() {
        assert_eq!(line(":req[Authorization] :req[cookie] :res[set-cookie] :req[x-api-key]"), "*** *** *** ***");
    }

    #[test]
    fn what_is_not_there_is_a_dash() {
        let format = format(
            ":status :res[content-length] :response-time :total-time :remote-addr :remote-user :referrer :user-agent :id",
        );
        let nothing = Exchange::default();
        assert_eq!(format.render(&nothing).unwrap(), "- - - - - - - - -");
    }

    #[test]
    fn dev_is_coloured_by_status_on_a_terminal_and_no_other_format_ever() {
        for (status, wanted) in [
            (200, "\x1b[32m200\x1b[0m"),
            (304, "\x1b[36m304\x1b[0m"),
            (404, "\x1b[33m404\x1b[0m"),
            (503, "\x1b[31m503\x1b[0m"),
            (101, "\x1b[0m101\x1b[0m"),
        ] {
            let dev = format("dev").coloured(true);
            let exchange = Exchange { status: Some(status), ..everything(&dev) };
            let line = dev.render(&exchange).unwrap();
            assert!(line.contains(&format!(" {wanted} ")), "{line:?}");
            let tiny = format("tiny").coloured(true).render(&exchange).unwrap();
            assert!(!tiny.contains('\x1b'), "{tiny:?}");
        }
    }

    #[test]
    fn what_callers_send_can_neither_break_a_line_nor_close_a_quote() {
        let combined = format("combined");
        let mut exchange = everything(&combined);
        exchange.request_headers = vec![Some("x\" 200\r\nforged".to_owned()), Some("\x1b[2Jagent".to_owned())];
        exchange.remote_user = Some("frank\nforged".to_owned());
        let line = combined.render(&exchange).unwrap();
        assert!(line.ends_with(r#""x\" 200\x0d\x0aforged" "\x1b[2Jagent""#), "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }

    #[test]
    fn what_is_no_format_is_refused_and_the_tokens_are_told() {
        for bad in [":methd", ":method :nope", ":pid", "tinny", "", "100%", ":x"] {
            let error = bad.parse::<Format>().unwrap_err().to_string();
            assert!(error.contains(":remote-addr") && error.contains(":total-time[digits]"), "{bad}: {error}");
        }
        for bad in [":res", ":req[two words]", ":date[local]", ":response-time[-1]", ":total-time[10]", ":method[x]"] {
            assert!(matches!(bad.parse::<Format>(), Err(InvalidFormat::Argument { .. })), "{bad}");
        }
    }

    #[test]
    fn a_format_names_the_headers_it_needs_once() {
        let format = format(":referrer :req[Referer] :user-agent :req[x] :res[y] :res[Y] :res[content-length]");
        assert_eq!(format.request_headers(), ["referer", "user-agent", "x"]);
        assert_eq!(format.response_headers(), ["y", "content-length"]);
        assert!(self::format("json").is_json());
    }
}
