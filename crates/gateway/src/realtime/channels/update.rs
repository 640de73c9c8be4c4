//! What is sent to those who watch a channel.

use serde::Serialize;
use socketio::{EncodeError, Payload, SocketIo, UnknownNamespace};

use super::Channel;

/// Name of the event.
pub const EVENT: &str = "update";

/// One step of a channel.
#[derive(Debug, Serialize)]
pub struct Update<'a, T> {
    /// The channel, as it was asked for.
    pub channel: &'a str,
    /// The version it came to; absent with [`Change::Resync`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// How it came there.
    #[serde(flatten)]
    pub change: Change<T>,
}

/// How a channel came to its version.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change<T> {
    /// All of it, whatever was known before.
    Data(T),
    /// A JSON merge patch (RFC 7396) of the version before.
    Patch(T),
    /// Nobody knows what was missed: ask for the snapshot again. Always `true`.
    Resync(bool),
}

impl<T: Serialize> Update<'_, T> {
    /// The event, encoded once for all who get it.
    ///
    /// # Errors
    /// Never for what channels carry.
    pub fn payload(&self) -> Result<Payload, EncodeError> {
        Payload::event(EVENT, self)
    }
}

/// Why an update did not leave.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// It has no form in JSON.
    #[error("the update can't be encoded")]
    Encode(#[from] EncodeError),
    /// A mistake in the program.
    #[error(transparent)]
    Namespace(#[from] UnknownNamespace),
}

/// Sends an update to all who watch its channel, on every gateway of the cluster; kept for those who come back.
///
/// # Errors
/// [`EmitError`].
pub fn publish<T: Serialize>(
    io: &SocketIo,
    channel: &Channel,
    version: u64,
    change: Change<T>,
) -> Result<(), EmitError> {
    let payload = Update { channel: &channel.to_string(), version: Some(version), change }.payload()?;
    io.of("/")?.to(channel.room()).emit_payload(payload);
    Ok(())
}

/// Tells those who watch the channel on this gateway that updates may have passed them by.
///
/// # Errors
/// [`EmitError`].
pub fn resync(io: &SocketIo, channel: &Channel) -> Result<(), EmitError> {
    let change: Change<()> = Change::Resync(true);
    let payload = Update { channel: &channel.to_string(), version: None, change }.payload()?;
    io.of("/")?.to(channel.room()).local().emit_payload(payload);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_update_has_data_or_a_patch_or_asks_to_begin_again() {
        for (version, change, json) in [
            (
                Some(3),
                Change::Data(json!({"a": 1})),
                r#"["update",{"channel":"catalogue","version":3,"data":{"a":1}}]"#,
            ),
            (
                Some(4),
                Change::Patch(json!({"a": null})),
                r#"["update",{"channel":"catalogue","version":4,"patch":{"a":null}}]"#,
            ),
            (None, Change::Resync(true), r#"["update",{"channel":"catalogue","resync":true}]"#),
        ] {
            let payload = Update { channel: "catalogue", version, change }.payload().unwrap();
            assert_eq!(payload.json(), json);
        }
    }
}
