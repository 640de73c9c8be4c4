//! The tokens there are.

use super::date::DateFormat;
use super::format::InvalidFormat;

/// Digits after the point of a time in milliseconds, unless the format says otherwise.
const DIGITS: usize = 3;
/// The most digits that a time has.
const MAX_DIGITS: usize = 9;

/// A part of a line that each request fills anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Date(DateFormat),
    HttpVersion,
    Id,
    Method,
    Referrer,
    RemoteAddr,
    RemoteUser,
    /// The header with this lower-case name.
    RequestHeader(String),
    ResponseHeader(String),
    /// Milliseconds to the head of the response, with so many digits.
    ResponseTime(usize),
    Status,
    /// Milliseconds to the end of the response.
    TotalTime(usize),
    Url,
    UserAgent,
}

/// For messages.
pub(super) const KNOWN: &str = ":date[clf|iso|web], :http-version, :id, :method, :referrer, :remote-addr, :remote-user, \
     :req[header], :res[header], :response-time[digits], :status, :total-time[digits], :url, :user-agent";

impl Token {
    /// A token by its name and what stands in brackets after it.
    pub(super) fn parse(name: &str, argument: Option<&str>) -> Result<Self, InvalidFormat> {
        let token = match name {
            "date" => return date(argument),
            "req" => return header(name, argument).map(Self::RequestHeader),
            "res" => return header(name, argument).map(Self::ResponseHeader),
            "response-time" => return digits(name, argument).map(Self::ResponseTime),
            "total-time" => return digits(name, argument).map(Self::TotalTime),
            "http-version" => Self::HttpVersion,
            "id" => Self::Id,
            "method" => Self::Method,
            "referrer" => Self::Referrer,
            "remote-addr" => Self::RemoteAddr,
            "remote-user" => Self::RemoteUser,
            "status" => Self::Status,
            "url" => Self::Url,
            "user-agent" => Self::UserAgent,
            _ => return Err(InvalidFormat::UnknownToken { name: name.to_owned() }),
        };
        match argument {
            None => Ok(token),
            Some(argument) => Err(InvalidFormat::argument(name, argument, "it takes none")),
        }
    }
}

fn date(argument: Option<&str>) -> Result<Token, InvalidFormat> {
    match argument {
        None | Some("web") => Ok(Token::Date(DateFormat::Web)),
        Some("clf") => Ok(Token::Date(DateFormat::Clf)),
        Some("iso") => Ok(Token::Date(DateFormat::Iso)),
        Some(other) => Err(InvalidFormat::argument("date", other, "use clf, iso or web")),
    }
}

fn header(token: &str, argument: Option<&str>) -> Result<String, InvalidFormat> {
    let name = argument.unwrap_or_default();
    // A field name is a token (RFC 9110 §5.6.2).
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(InvalidFormat::argument(token, name, "use the name of a header"))
    }
}

fn digits(token: &str, argument: Option<&str>) -> Result<usize, InvalidFormat> {
    let Some(text) = argument else { return Ok(DIGITS) };
    text.parse()
        .ok()
        .filter(|digits| *digits <= MAX_DIGITS)
        .ok_or_else(|| InvalidFormat::argument(token, text, "use 0 to 9 digits"))
}
