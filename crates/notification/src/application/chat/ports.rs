//! What the chat needs from its store.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::{ChatMessageId, ChatRoomId, OrderId, UserId};

use crate::application::Cause;
use crate::application::ports::RepositoryError;
use crate::domain::chat::member::Member;
use crate::domain::chat::message::{ChatMessage, ClientId, Content, HistoryRange};
use crate::domain::chat::room::Room;

/// When something happens, and what caused it.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// The moment of everything that is kept.
    pub now: Timestamp,
    /// Carried by the events.
    pub cause: Cause,
}

/// A message to be stored.
#[derive(Clone, Debug)]
pub struct MessageDraft {
    /// The id that it gets.
    pub id: ChatMessageId,
    /// Where.
    pub room_id: ChatRoomId,
    /// By whom.
    pub user_id: UserId,
    /// What it says.
    pub content: Content,
    /// The sender's own name for it.
    pub client_id: Option<ClientId>,
}

/// What became of a [`MessageDraft`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is stored.
    Stored(ChatMessage),
    /// The sender had posted this before in this room, by the same name; nothing changed.
    Repeated(ChatMessage),
    /// The sender is no member, or there is no such room; nothing changed.
    NotAMember,
}

/// A part of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Oldest first.
    pub messages: Vec<ChatMessage>,
    /// Position of the newest message of the room; 0 without any.
    pub last_seq: u64,
}

/// Up to which message a member has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadUpTo {
    /// By position.
    Seq(u64),
    /// By id.
    Message(ChatMessageId),
}

/// How far a member has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPosition {
    /// Position of the last message that was read; 0 for none.
    pub read_seq: u64,
    /// That message.
    pub read_message_id: Option<ChatMessageId>,
    /// Messages of others after it.
    pub unread: u64,
    /// Whether this call moved it.
    pub moved: bool,
}

/// What became of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The position is here now.
    At(ReadPosition),
    /// No member, or no such room.
    NotAMember,
    /// The room has no such message.
    NoSuchMessage,
}

/// What is unread in one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomUnread {
    /// Where.
    pub room_id: ChatRoomId,
    /// Messages of others after the user's position.
    pub count: u64,
    /// The user's position.
    pub read_seq: u64,
    /// Position of the newest message; 0 without any.
    pub last_seq: u64,
}

/// The rooms, their members and their messages.
///
/// Each method is one transaction. A change publishes its events in the same transaction: `chat.message_created`,
/// `chat.member_joined`, `chat.member_left`. Their subject is the room, their versions count the events of the room, gapless
/// from 1, in the order in which the changes took effect.
///
/// Lists of rooms begin with the greatest id (the newest: ids are ordered by time), lists of members with the least.
#[async_trait]
pub trait ChatRepository: Send + Sync {
    /// Stores a room; its owner is its first member. [`RepositoryError::Conflict`] if the id is taken.
    async fn create_room(&self, room: Room, on: Occasion) -> Result<(), RepositoryError>;

    /// The room of the order that `room` is about: `room` itself unless there is one already, also when several ask at once.
    /// Its owner and `visitor` are members afterwards.
    async fn open_support_room(&self, room: Room, visitor: UserId, on: Occasion) -> Result<Room, RepositoryError>;

    /// Whose order it is, as the events of the order told; `None` before the first of them was used.
    async fn find_order_owner(&self, order_id: OrderId) -> Result<Option<UserId>, RepositoryError>;

    /// The room, and whether the user is a member of it.
    async fn find_room(&self, room_id: ChatRoomId, user_id: UserId) -> Result<Option<(Room, bool)>, RepositoryError>;

    /// Rooms that the user is a member of and, unless `joined_only`, all public ones; those with an id less than `before`
    /// (`None`: from the greatest), at most `limit`. Costs no more than reading those.
    async fn list_rooms(
        &self,
        user_id: UserId,
        joined_only: bool,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<Room>, RepositoryError>;

    /// Makes the user a member who has read everything so far; who is one already stays as they are, and nothing is published.
    /// `None`, and nothing changes, if there is no such room, or `by` is given and is no member.
    async fn add_member(
        &self,
        room_id: ChatRoomId,
        user_id: UserId,
        by: Option<UserId>,
        on: Occasion,
    ) -> Result<Option<Member>, RepositoryError>;

    /// The user is a member no more; `false` if they were none.
    async fn remove_member(&self, room_id: ChatRoomId, user_id: UserId, on: Occasion) -> Result<bool, RepositoryError>;

    /// Members with a user id greater than `after` (`None`: from the least), at most `limit`; `None` if `asker` is no member.
    async fn list_members(
        &self,
        room_id: ChatRoomId,
        asker: UserId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<Vec<Member>>, RepositoryError>;

    /// Stores a message at the room's next `seq` (gapless from 1, also under concurrent writers), unless its sender posted one
    /// by the same `client_id` in this room before: of many at once one is stored. The sender's read position moves as
    /// [`crate::domain::chat::member::Reading::posted`] says.
    async fn post_message(&self, draft: MessageDraft, on: Occasion) -> Result<Posted, RepositoryError>;

    /// The part of the history that `range` names, at most `limit` messages; `None` if `asker` is no member.
    async fn list_messages(
        &self,
        room_id: ChatRoomId,
        asker: UserId,
        range: HistoryRange,
        limit: u32,
    ) -> Result<Option<History>, RepositoryError>;

    /// Moves the member's read position there, unless it is as far already: it never moves back, also under concurrent calls.
    async fn mark_room_read(
        &self,
        room_id: ChatRoomId,
        user_id: UserId,
        up_to: ReadUpTo,
    ) -> Result<Marked, RepositoryError>;

    /// The rooms that the user is a member of and what is unread in each, also nothing; those with an id less than `before`
    /// (`None`: from the greatest), at most `limit`. Costs no more the more is unread.
    async fn list_unread(
        &self,
        user_id: UserId,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<RoomUnread>, RepositoryError>;
}
