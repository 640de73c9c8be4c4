//! What an event or an acknowledgement carries.

use bytes::Bytes;
use bytestring::ByteString;

/// The arguments of an event (its name first) or of an acknowledgement: a JSON array, binary data beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    json: ByteString,
    attachments: Vec<Bytes>,
}

impl Payload {
    /// From a JSON array whose placeholders count through the attachments; neither is looked at.
    pub fn from_parts(json: ByteString, attachments: Vec<Bytes>) -> Self {
        Self { json, attachments }
    }

    /// The JSON array; `{"_placeholder":true,"num":n}` stands for the nth attachment.
    pub fn json(&self) -> &ByteString {
        &self.json
    }

    /// The binary data beside the JSON.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }
}

/// A value has no form in JSON.
#[derive(Debug, thiserror::Error)]
#[error("the value can't be encoded")]
pub struct EncodeError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// A packet or its arguments are not what was expected.
#[derive(Debug, thiserror::Error)]
#[error("the arguments can't be read")]
pub struct DecodeError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);
