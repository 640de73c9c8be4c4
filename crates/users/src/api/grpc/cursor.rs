//! Cursors: opaque to clients, the position of the last item to us.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::Timestamp;

use crate::application::ports::UserPosition;

/// The text is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a next_cursor as it was returned")]
pub struct InvalidCursor;

/// Writes a cursor.
pub fn encode(position: UserPosition) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{}", position.created_at.unix_ms(), position.id))
}

/// Reads a cursor; the empty one is the beginning.
///
/// # Errors
/// [`InvalidCursor`].
pub fn decode(cursor: &str) -> Result<Option<UserPosition>, InvalidCursor> {
    if cursor.is_empty() {
        return Ok(None);
    }
    if cursor.len() > 128 {
        return Err(InvalidCursor);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| InvalidCursor)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| InvalidCursor)?;
    let (created_at, id) = text.split_once(':').ok_or(InvalidCursor)?;
    let created_at = Timestamp::from_unix_ms(created_at.parse().map_err(|_| InvalidCursor)?);
    Ok(Some(UserPosition { created_at, id: id.parse().map_err(|_| InvalidCursor)? }))
}

#[cfg(test)]
mod tests {
    use contracts::ids::UserId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_where_it_was_made(created_at in any::<i64>(), id in any::<u128>()) {
            let position = UserPosition {
                created_at: Timestamp::from_unix_ms(created_at),
                id: UserId::from_uuid(Uuid::from_u128(id)),
            };
            prop_assert_eq!(decode(&encode(position)), Ok(Some(position)));
        }

        #[test]
        fn reading_a_cursor_never_panics(text in ".{0,200}") {
            let _ = decode(&text);
        }
    }
}
