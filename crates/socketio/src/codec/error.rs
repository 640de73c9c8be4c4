//! What can be wrong with packets and values.

/// Why a packet, or what it carries, can't be read.
///
/// A packet that came from a client and can't be read closes the connection; arguments that are well formed but not
/// what a handler expects ([`Self::Arguments`]) do not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first character is none of the packet types 0 to 6.
    #[error("unknown packet type")]
    PacketType,
    /// A binary packet does not say how many attachments follow: at least one, in decimal digits, then a hyphen.
    #[error("the number of attachments is missing or malformed")]
    AttachmentCount,
    /// The namespace has control characters.
    #[error("the namespace has control characters")]
    Namespace,
    /// The id of the acknowledgement is too large, missing where there must be one, or stands where there must be none.
    #[error("the id of the acknowledgement is malformed, missing or out of place")]
    Id,
    /// What should be JSON is not.
    #[error("the JSON is malformed at byte {at}")]
    Json {
        /// Where it went wrong, in bytes from the beginning of the JSON.
        at: usize,
    },
    /// The JSON is sound, but not of the kind that this type of packet carries.
    #[error("expected {expected}")]
    Kind {
        /// What must be there.
        expected: &'static str,
    },
    /// An event's name is missing, is neither text nor a number, or has half a surrogate pair.
    #[error("the event has no name")]
    EventName,
    /// An event has a name that means something else to one of the sides.
    #[error("{0:?} is a reserved name of an event")]
    ReservedName(String),
    /// Placeholders and attachments don't agree: each attachment must have exactly one placeholder.
    #[error("placeholders and attachments don't agree")]
    Placeholders,
    /// Text came while attachments were awaited.
    #[error("text came while {missing} attachments were awaited")]
    UnexpectedText {
        /// How many did not come.
        missing: usize,
    },
    /// Binary data came that no packet announced.
    #[error("binary data came that no packet announced")]
    UnexpectedBinary,
    /// The packet announces more attachments than allowed.
    #[error("{count} attachments, at most {limit} are allowed")]
    TooManyAttachments {
        /// How many it announced.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The attachments of one packet are larger than allowed, taken together.
    #[error("attachments of more than {limit_bytes} bytes")]
    AttachmentsTooLarge {
        /// How many bytes are allowed.
        limit_bytes: usize,
    },
    /// Arrays and objects are nested deeper than allowed.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// How deep is allowed.
        limit: usize,
    },
    /// The arguments are sound, but not of the types asked for.
    #[error("the arguments are not of the expected types")]
    Arguments(#[source] serde_json::Error),
}

impl DecodeError {
    /// True where a limit was passed; false where something is malformed or of another type.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooManyAttachments { .. } | Self::AttachmentsTooLarge { .. } | Self::TooDeep { .. })
    }
}

/// Why a value can't be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value has no form in JSON, such as a map whose keys are no text.
    #[error("the value has no form in JSON")]
    Value(#[source] serde_json::Error),
    /// The name means something else to one of the sides.
    #[error("{0:?} is a reserved name of an event")]
    ReservedName(String),
    /// The value could not be read back: it is nested too deeply, or holds, beside binary data, an object that looks
    /// like a placeholder.
    #[error("the value could not be read back")]
    Unreadable(#[source] DecodeError),
}
