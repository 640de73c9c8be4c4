//! A room, and to whom it is open.

use contracts::Timestamp;
use contracts::ids::{ChatRoomId, OrderId, UserId};

/// Most characters of a name.
const MAX_NAME_CHARS: usize = 64;
/// What only the names of support rooms begin with.
const SUPPORT_PREFIX: &str = "support:";

/// Who may see a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody sees it and may join.
    Public,
    /// Its members alone see it.
    Private,
}

impl Visibility {
    /// The name on every wire and in every store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }

    /// Finds a visibility by its name.
    pub fn find(name: &str) -> Option<Self> {
        [Self::Public, Self::Private].into_iter().find(|one| one.as_str() == name)
    }
}

/// What users call a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomName(String);

/// Why a text is no name, worded to follow the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoomName {
    /// Nothing but white space, or too long.
    #[error("must be 1 to {MAX_NAME_CHARS} characters")]
    Length,
    /// More than one line, or worse.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// It would look like the support room of an order.
    #[error("must not begin with {SUPPORT_PREFIX}")]
    Reserved,
}

impl RoomName {
    /// A name that a user chose, trimmed: 1 to 64 characters in one line.
    ///
    /// # Errors
    /// [`InvalidRoomName`].
    pub fn parse(text: &str) -> Result<Self, InvalidRoomName> {
        let name = text.trim();
        if !(1..=MAX_NAME_CHARS).contains(&name.chars().count()) {
            return Err(InvalidRoomName::Length);
        }
        if name.chars().any(char::is_control) {
            return Err(InvalidRoomName::ControlCharacter);
        }
        if name.to_lowercase().starts_with(SUPPORT_PREFIX) {
            return Err(InvalidRoomName::Reserved);
        }
        Ok(Self(name.to_owned()))
    }
}

/// Somebody who wants to do something in the chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Who.
    pub user_id: UserId,
    /// Support or admin.
    pub is_staff: bool,
}

/// A room. It never changes; who is in it and what is said there does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub id: ChatRoomId,
    /// What it is called; `support:<order>` for a support room.
    pub name: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// The order that a support room is about; there is one room for each order.
    pub order_id: Option<OrderId>,
    /// Who made it; of a support room, whose order it is.
    pub owner_id: UserId,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Room {
    /// A room that a user makes.
    pub fn named(id: ChatRoomId, name: RoomName, visibility: Visibility, owner_id: UserId, now: Timestamp) -> Self {
        Self { id, name: name.0, visibility, order_id: None, owner_id, created_at: now }
    }

    /// The room in which the customer of an order and staff meet.
    pub fn support(id: ChatRoomId, order_id: OrderId, customer: UserId, now: Timestamp) -> Self {
        Self {
            id,
            name: format!("{SUPPORT_PREFIX}{order_id}"),
            visibility: Visibility::Private,
            order_id: Some(order_id),
            owner_id: customer,
            created_at: now,
        }
    }

    /// Whether this visitor may join by themselves, and so may know that the room is there: public rooms are open to all,
    /// support rooms to the order's customer and to staff, other private ones to nobody.
    pub fn is_open_to(&self, visitor: Visitor) -> bool {
        match (self.visibility, self.order_id) {
            (Visibility::Public, _) => true,
            (Visibility::Private, Some(_)) => visitor.is_staff || visitor.user_id == self.owner_id,
            (Visibility::Private, None) => false,
        }
    }

    /// Whether a member still has a place here: in a support room only while it is open to them, so that whoever is staff no more
    /// sees it no more.
    pub fn has_place_for(&self, member: Visitor) -> bool {
        self.order_id.is_none() || self.is_open_to(member)
    }

    /// Whether a member may add this user: anybody, but in a support room only the order's customer. Who is staff comes with
    /// their own token, so they join by themselves.
    pub fn may_be_added(&self, user_id: UserId) -> bool {
        self.order_id.is_none() || user_id == self.owner_id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn names_are_trimmed_and_have_bounds() {
        let sixty_four = "ж".repeat(64);
        for (text, name) in [(" tea talk ", "tea talk"), ("x", "x"), (sixty_four.as_str(), sixty_four.as_str())] {
            assert_eq!(RoomName::parse(text), Ok(RoomName(name.to_owned())));
        }
        for (text, why) in [
            ("", InvalidRoomName::Length),
            (" \n", InvalidRoomName::Length),
            (&"ж".repeat(65), InvalidRoomName::Length),
            ("a\nb", InvalidRoomName::ControlCharacter),
            ("a\0", InvalidRoomName::ControlCharacter),
            ("support:1", InvalidRoomName::Reserved),
            (" Support:1", InvalidRoomName::Reserved),
        ] {
            assert_eq!(RoomName::parse(text), Err(why), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_becomes_a_name_of_another_one(text in any::<String>()) {
            if let Ok(name) = RoomName::parse(&text) {
                prop_assert_eq!(RoomName::parse(&name.0), Ok(name));
            }
        }
    }

    #[test]
    fn each_kind_of_room_is_open_to_those_it_is_for() {
        let (id, now) = (ChatRoomId::from_uuid(Uuid::nil()), Timestamp::from_unix_ms(0));
        let name = RoomName::parse("tea").unwrap();
        let of = |visibility| Room::named(id, name.clone(), visibility, user(1), now);
        let support = Room::support(id, OrderId::from_uuid(Uuid::from_u128(7)), user(1), now);
        assert_eq!(support.name, "support:00000000-0000-0000-0000-000000000007");
        let visitors = [
            Visitor { user_id: user(1), is_staff: false },
            Visitor { user_id: user(2), is_staff: true },
            Visitor { user_id: user(2), is_staff: false },
        ];
        for (room, open) in [
            (of(Visibility::Public), [true, true, true]),
            (of(Visibility::Private), [false, false, false]),
            (support.clone(), [true, true, false]),
        ] {
            assert_eq!(visitors.map(|visitor| room.is_open_to(visitor)), open, "{room:?}");
        }
        assert_eq!(visitors.map(|member| support.has_place_for(member)), [true, true, false]);
        assert!(visitors.into_iter().all(|member| of(Visibility::Private).has_place_for(member)));
        assert!(of(Visibility::Private).may_be_added(user(2)));
        assert!(support.may_be_added(user(1)) && !support.may_be_added(user(2)));
    }

    #[test]
    fn visibilities_are_found_again() {
        for one in [Visibility::Public, Visibility::Private] {
            assert_eq!(Visibility::find(one.as_str()), Some(one));
        }
        assert_eq!(Visibility::find("secret"), None);
    }
}
