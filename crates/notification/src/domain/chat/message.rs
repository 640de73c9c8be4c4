//! What is said in a room.

use contracts::Timestamp;
use contracts::ids::{ChatMessageId, ChatRoomId, UserId};

use super::is_control;

/// Most characters (Unicode scalar values) of a message.
const MAX_CONTENT_CHARS: usize = 4000;
/// Most characters of the sender's own name for a message.
const MAX_CLIENT_ID_CHARS: usize = 64;

/// Why a text can't be posted, worded to follow the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContent {
    /// Empty or too long.
    #[error("must be 1 to {MAX_CONTENT_CHARS} characters")]
    Length,
    /// White space alone.
    #[error("must not be blank")]
    Blank,
    /// A control character other than a line break or a tab.
    #[error("must not contain control characters")]
    ControlCharacter,
}

/// What a message says, as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(String);

impl std::fmt::Debug for Content {
    /// Without the words: they are between those in the room.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

impl Content {
    /// 1 to 4000 characters, kept as they are.
    ///
    /// # Errors
    /// [`InvalidContent`].
    pub fn parse(text: String) -> Result<Self, InvalidContent> {
        // A character takes at most four bytes: cheap refusal before counting.
        if text.len() > MAX_CONTENT_CHARS * 4 || !(1..=MAX_CONTENT_CHARS).contains(&text.chars().count()) {
            return Err(InvalidContent::Length);
        }
        if text.chars().any(is_control) {
            return Err(InvalidContent::ControlCharacter);
        }
        if text.trim().is_empty() {
            return Err(InvalidContent::Blank);
        }
        Ok(Self(text))
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The sender's own name for a message: the same one again, in the same room, is the same message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientId(String);

/// The text is no name for a message, worded to follow the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_CLIENT_ID_CHARS} characters without control characters")]
pub struct InvalidClientId;

impl ClientId {
    /// 1 to 64 characters, compared letter by letter.
    ///
    /// # Errors
    /// [`InvalidClientId`].
    pub fn parse(text: String) -> Result<Self, InvalidClientId> {
        let is_short = text.len() <= MAX_CLIENT_ID_CHARS * 4;
        let fits = is_short && (1..=MAX_CLIENT_ID_CHARS).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) { Ok(Self(text)) } else { Err(InvalidClientId) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message as it is stored. It never changes.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Which.
    pub id: ChatMessageId,
    /// Where it was posted.
    pub room_id: ChatRoomId,
    /// Position: gapless from 1 for each room.
    pub seq: u64,
    /// Who posted it.
    pub user_id: UserId,
    /// What it says.
    pub content: String,
    /// The sender's own name for it.
    pub client_id: Option<String>,
    /// When it was posted.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for ChatMessage {
    /// Without the words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatMessage")
            .field("id", &self.id)
            .field("room_id", &self.room_id)
            .field("seq", &self.seq)
            .field("user_id", &self.user_id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Which part of a room's history is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryRange {
    /// The newest messages.
    Latest,
    /// Those next before this position.
    Before(u64),
    /// Those next after this position.
    After(u64),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn content_has_bounds_and_is_kept_as_it_is() {
        let longest = "𝄞".repeat(4000);
        for text in ["x", "  let a;\n\tlet b;\r\n", longest.as_str()] {
            assert_eq!(Content::parse(text.to_owned()).unwrap().as_str(), text);
        }
        for (text, why) in [
            (String::new(), InvalidContent::Length),
            ("x".repeat(4001), InvalidContent::Length),
            ("x".repeat(1_000_000), InvalidContent::Length),
            (" \n\t".to_owned(), InvalidContent::Blank),
            ("a\0b".to_owned(), InvalidContent::ControlCharacter),
            ("\u{1b}[31m".to_owned(), InvalidContent::ControlCharacter),
        ] {
            assert_eq!(Content::parse(text).unwrap_err(), why);
        }
    }

    #[test]
    fn client_ids_have_bounds() {
        for text in ["x".to_owned(), "ж".repeat(64), " ".to_owned()] {
            assert_eq!(ClientId::parse(text.clone()).unwrap().as_str(), text);
        }
        for text in [String::new(), "ж".repeat(65), "a\nb".to_owned(), "\0".to_owned()] {
            assert_eq!(ClientId::parse(text), Err(InvalidClientId));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (Content::parse(text.clone()), ClientId::parse(text));
        }
    }

    #[test]
    fn what_was_said_is_not_shown_in_logs() {
        let message = ChatMessage {
            id: ChatMessageId::from_uuid(Uuid::nil()),
            room_id: ChatRoomId::from_uuid(Uuid::nil()),
            seq: 1,
            user_id: UserId::from_uuid(Uuid::nil()),
            content: "between us".to_owned(),
            client_id: None,
            created_at: Timestamp::from_unix_ms(0),
        };
        let content = Content::parse(message.content.clone()).unwrap();
        assert!(!format!("{message:?} {content:?}").contains("between"));
    }
}
