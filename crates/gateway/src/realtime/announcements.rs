//! What everyone is told.

use contracts::Timestamp;
use serde::Serialize;
use socketio::{EncodeError, SocketIo};
use utoipa::ToSchema;

/// An announcement as clients get it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Announcement {
    /// What it says.
    #[schema(example = "Souk closes for an hour at noon")]
    pub text: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Tells it to all who are connected to `/`, on every gateway.
///
/// # Errors
/// Never, for text.
pub fn announce(io: &SocketIo, announcement: &Announcement) -> Result<(), EncodeError> {
    match io.of("/") {
        Ok(everyone) => everyone.emit("announcement", announcement),
        // The server is being stopped.
        Err(_) => Ok(()),
    }
}
