//! What an event or an acknowledgement carries.

use bytes::Bytes;
use bytestring::ByteString;

/// The arguments of an event (its name first) or of an acknowledgement: a JSON array, binary data beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    json: ByteString,
    attachments: Vec<Bytes>,
}

/// A value has no form in JSON.
#[derive(Debug, thiserror::Error)]
#[error("the value can't be encoded")]
pub struct EncodeError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// A packet or its arguments are not what was expected.
#[derive(Debug, thiserror::Error)]
#[error("the arguments can't be read")]
pub struct DecodeError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);
