//! What every store of the chat must do: each case is written once, each adapter gets a named test for it.

use std::sync::Arc;
use std::time::Duration;

use ::sqlite::SqliteUrl;
use contracts::event_data::{ChatMemberEvent, ChatMessageCreated};
use contracts::ids::{ChatMessageId, ChatRoomId, UserId, UuidV7Generator};
use contracts::{Event, IdGenerator as _};
use notification::adapters::persistence::sqlite::SqliteStore;
use notification::application::Cause;
use notification::application::chat::ports::{
    ChatRepository, Marked, MessageDraft, Occasion, Posted, ReadPosition, ReadUpTo,
};
use notification::domain::chat::message::{ChatMessage, ClientId, Content, HistoryRange};
use notification::domain::chat::room::{Room, RoomName, Visibility};
use tempfile::TempDir;

use crate::builders::{START, new_order, new_user};
use crate::contract::{CONFIRMED, Fixture, Store, change, record};

macro_rules! every_case_of_the_chat {
    ($($header:tt)*) => {
        store_contract! { $($header)*;
            positions_in_a_room_are_gapless_under_concurrent_writers
            of_many_repeats_at_once_one_is_stored
            a_client_id_names_a_message_of_one_sender_in_one_room_letter_by_letter
            every_change_of_a_room_is_published_as_it_is_stored
            who_is_no_member_neither_reads_nor_changes_anything
            who_is_a_member_stays_one_and_nothing_is_told
            only_a_member_brings_others_in
            rooms_are_listed_newest_first_public_ones_and_one_s_own
            history_is_read_from_the_end_backwards_and_onwards
            a_read_position_never_moves_back
            of_concurrent_marks_the_furthest_stays
            unread_is_what_others_said_after_the_position
            who_joins_again_begins_with_everything_read
            members_are_listed_with_how_far_they_have_read
            an_order_has_one_support_room_whoever_opens_it
            whose_order_it_is_is_known_once_an_event_of_it_was_used
        }
    };
}

every_case_of_the_chat!(memory, crate::memory::fixture(), cfg(test));
every_case_of_the_chat!(sqlite, crate::contract::sqlite(), cfg(test));
#[cfg(feature = "mongodb")]
every_case_of_the_chat!(mongo, crate::mongo_store::fixture(), ignore = "needs SOUK_TEST_MONGODB_URL");

fn on() -> Occasion {
    Occasion { now: START, cause: Cause { request_id: Some("r-1".to_owned()), traceparent: None } }
}

fn room_of(owner: UserId, visibility: Visibility) -> Room {
    let id = ChatRoomId::from_uuid(UuidV7Generator.new_uuid());
    Room::named(id, RoomName::parse("tea").unwrap(), visibility, owner, START)
}

/// A private room with these members, the first of whom made it.
async fn room_with(store: &dyn ChatRepository, members: &[UserId]) -> ChatRoomId {
    let room = room_of(members[0], Visibility::Private);
    store.create_room(room.clone(), on()).await.unwrap();
    for member in &members[1..] {
        store.add_member(room.id, *member, Some(members[0]), on()).await.unwrap().unwrap();
    }
    room.id
}

fn draft(room_id: ChatRoomId, user_id: UserId, client_id: Option<&str>) -> MessageDraft {
    MessageDraft {
        id: ChatMessageId::from_uuid(UuidV7Generator.new_uuid()),
        room_id,
        user_id,
        content: Content::parse("Hello.".to_owned()).unwrap(),
        client_id: client_id.map(|text| ClientId::parse(text.to_owned()).unwrap()),
    }
}

async fn post(store: &dyn ChatRepository, room_id: ChatRoomId, user_id: UserId) -> ChatMessage {
    match store.post_message(draft(room_id, user_id, None), on()).await.unwrap() {
        Posted::Stored(message) => message,
        other => panic!("{other:?}"),
    }
}

async fn history(store: &dyn ChatRepository, room_id: ChatRoomId, asker: UserId) -> Vec<ChatMessage> {
    let history = store.list_messages(room_id, asker, HistoryRange::After(0), 500).await.unwrap().unwrap();
    let positions: Vec<_> = history.messages.iter().map(|message| message.seq).collect();
    assert_eq!(positions, (1..=history.last_seq).collect::<Vec<_>>());
    history.messages
}

async fn mark(store: &dyn ChatRepository, room_id: ChatRoomId, user_id: UserId, up_to: ReadUpTo) -> ReadPosition {
    match store.mark_room_read(room_id, user_id, up_to).await.unwrap() {
        Marked::At(position) => position,
        other => panic!("{other:?}"),
    }
}

async fn unread(store: &dyn ChatRepository, user_id: UserId) -> Vec<u64> {
    store.list_unread(user_id, None, 99).await.unwrap().iter().map(|room| room.count).collect()
}

async fn positions_in_a_room_are_gapless_under_concurrent_writers(mut fixture: Fixture) {
    let (store, users) = (fixture.store(), [new_user(), new_user(), new_user()]);
    let rooms = [room_with(store.as_ref(), &users).await, room_with(store.as_ref(), &users).await];
    let posts: Vec<_> = (0..60)
        .map(|n| {
            let (store, room_id, user_id) = (Arc::clone(&store), rooms[n % 2], users[n % 3]);
            tokio::spawn(async move { post(store.as_ref(), room_id, user_id).await })
        })
        .collect();
    let mut answered = Vec::new();
    for post in posts {
        answered.push(post.await.unwrap());
    }
    for room_id in rooms {
        let stored = history(store.as_ref(), room_id, users[0]).await;
        assert_eq!(stored.len(), 30);
        let mut answered: Vec<_> = answered.iter().filter(|message| message.room_id == room_id).cloned().collect();
        answered.sort_by_key(|message| message.seq);
        assert_eq!(answered, stored, "each writer was told where its message is");
    }
    // Six joined, sixty spoke: told in the order of each room, without a gap.
    let published = fixture.published(66).await;
    for room_id in rooms {
        let of_room = published.iter().filter(|event| event.subject == room_id.to_string());
        assert_eq!(of_room.map(|event| event.aggregateversion).collect::<Vec<_>>(), (1..=33).collect::<Vec<_>>());
    }
}

async fn of_many_repeats_at_once_one_is_stored(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    let room_id = room_with(store.as_ref(), &[user_id]).await;
    let repeats: Vec<_> = (0..6)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.post_message(draft(room_id, user_id, Some("m-1")), on()).await.unwrap() })
        })
        .collect();
    let (mut stored, mut repeated) = (Vec::new(), Vec::new());
    for repeat in repeats {
        match repeat.await.unwrap() {
            Posted::Stored(message) => stored.push(message),
            Posted::Repeated(message) => repeated.push(message),
            Posted::NotAMember => panic!("a member"),
        }
    }
    assert_eq!((stored.len(), repeated.len()), (1, 5));
    assert!(repeated.iter().all(|message| *message == stored[0]), "each is told the one that is stored");
    assert_eq!(history(store.as_ref(), room_id, user_id).await, stored);
}

async fn a_client_id_names_a_message_of_one_sender_in_one_room_letter_by_letter(fixture: Fixture) {
    let (store, users) = (fixture.store(), [new_user(), new_user()]);
    let rooms = [room_with(store.as_ref(), &users).await, room_with(store.as_ref(), &users).await];
    let send =
        async |room_id, user_id, client_id| store.post_message(draft(room_id, user_id, client_id), on()).await.unwrap();
    for (room_id, user_id, client_id) in [
        (rooms[0], users[0], Some("a")),
        (rooms[1], users[0], Some("a")),
        (rooms[0], users[1], Some("a")),
        (rooms[0], users[0], Some("A")),
        (rooms[0], users[0], Some("a ")),
        (rooms[0], users[0], Some("ä")),
        (rooms[0], users[0], None),
        (rooms[0], users[0], None),
    ] {
        let sent = send(room_id, user_id, client_id).await;
        assert!(matches!(sent, Posted::Stored(_)), "{client_id:?}: {sent:?}");
    }
    let Posted::Repeated(message) = send(rooms[0], users[0], Some("a")).await else { panic!("said before") };
    assert_eq!((message.seq, message.client_id.as_deref()), (1, Some("a")));
}

async fn every_change_of_a_room_is_published_as_it_is_stored(mut fixture: Fixture) {
    let (store, [owner, guest]) = (fixture.store(), [new_user(), new_user()]);
    let room_id = room_with(store.as_ref(), &[owner, guest]).await;
    let Posted::Stored(message) = store.post_message(draft(room_id, guest, Some("m-1")), on()).await.unwrap() else {
        panic!("a member")
    };
    assert!(store.remove_member(room_id, guest, on()).await.unwrap());
    let published = fixture.published(4).await;
    let kinds: Vec<_> = published.iter().map(|event| (event.event_type.as_str(), event.aggregateversion)).collect();
    assert_eq!(
        kinds,
        [("chat.member_joined", 1), ("chat.member_joined", 2), ("chat.message_created", 3), ("chat.member_left", 4)]
    );
    for event in &published {
        assert_eq!((event.subject.clone(), event.source.as_str()), (room_id.to_string(), "/souk/notification"));
        assert_eq!((event.requestid.as_deref(), event.time), (Some("r-1"), START));
    }
    let member = |event: &Event| event.data::<ChatMemberEvent>().unwrap();
    assert_eq!(member(&published[0]), ChatMemberEvent { room_id, user_id: owner });
    assert_eq!(member(&published[1]), ChatMemberEvent { room_id, user_id: guest });
    assert_eq!(member(&published[3]), ChatMemberEvent { room_id, user_id: guest });
    let told: ChatMessageCreated = published[2].data().unwrap();
    assert_eq!((told.id, told.room_id, told.seq, told.user_id), (message.id, room_id, 1, guest));
    assert_eq!((told.content, told.client_id.as_deref()), ("Hello.".to_owned(), Some("m-1")));
    assert_eq!(told.created_at, START);
}

async fn who_is_no_member_neither_reads_nor_changes_anything(mut fixture: Fixture) {
    let (store, [owner, stranger, former]) = (fixture.store(), [new_user(), new_user(), new_user()]);
    let room_id = room_with(store.as_ref(), &[owner, former]).await;
    let message = post(store.as_ref(), room_id, former).await;
    store.remove_member(room_id, former, on()).await.unwrap();
    let nowhere = ChatRoomId::from_uuid(UuidV7Generator.new_uuid());
    for (room_id, user_id) in [(room_id, stranger), (room_id, former), (nowhere, owner)] {
        let posted = store.post_message(draft(room_id, user_id, Some("m-1")), on()).await.unwrap();
        assert_eq!(posted, Posted::NotAMember);
        let up_to = ReadUpTo::Message(message.id);
        assert_eq!(store.mark_room_read(room_id, user_id, up_to).await.unwrap(), Marked::NotAMember);
        assert_eq!(store.list_messages(room_id, user_id, HistoryRange::Latest, 9).await.unwrap(), None);
        assert_eq!(store.list_members(room_id, user_id, None, 9).await.unwrap(), None);
        assert!(!store.remove_member(room_id, user_id, on()).await.unwrap());
    }
    assert_eq!(store.add_member(nowhere, owner, None, on()).await.unwrap(), None);
    assert_eq!(store.find_room(nowhere, owner).await.unwrap(), None);
    let (room, is_member) = store.find_room(room_id, stranger).await.unwrap().unwrap();
    assert_eq!((room.id, is_member), (room_id, false));
    assert_eq!(history(store.as_ref(), room_id, owner).await, [message]);
    post(store.as_ref(), room_id, owner).await;
    let versions: Vec<_> = fixture.published(5).await.iter().map(|event| event.aggregateversion).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5], "what was refused was told to nobody");
}

async fn who_is_a_member_stays_one_and_nothing_is_told(mut fixture: Fixture) {
    let (store, [owner, guest]) = (fixture.store(), [new_user(), new_user()]);
    let room = room_of(owner, Visibility::Public);
    store.create_room(room.clone(), on()).await.unwrap();
    let first = store.add_member(room.id, guest, None, on()).await.unwrap().unwrap();
    assert_eq!((first.user_id, first.joined_at, first.read_seq), (guest, START, 0));
    let message = post(store.as_ref(), room.id, guest).await;
    let later = Occasion { now: START.plus(Duration::from_secs(9)), ..on() };
    for by in [None, Some(owner), Some(guest)] {
        let again = store.add_member(room.id, guest, by, later.clone()).await.unwrap().unwrap();
        assert_eq!((again.joined_at, again.read_seq, again.read_message_id), (START, 1, Some(message.id)));
    }
    assert!(store.remove_member(room.id, guest, on()).await.unwrap());
    let kinds: Vec<_> = fixture.published(4).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(kinds, ["chat.member_joined", "chat.member_joined", "chat.message_created", "chat.member_left"]);
}

async fn only_a_member_brings_others_in(fixture: Fixture) {
    let (store, [owner, stranger, friend]) = (fixture.store(), [new_user(), new_user(), new_user()]);
    let room_id = room_with(store.as_ref(), &[owner]).await;
    for newcomer in [friend, stranger] {
        assert_eq!(store.add_member(room_id, newcomer, Some(stranger), on()).await.unwrap(), None);
    }
    assert_eq!(store.list_members(room_id, owner, None, 9).await.unwrap().unwrap().len(), 1);
    assert!(store.add_member(room_id, friend, Some(owner), on()).await.unwrap().is_some());
    assert!(store.add_member(room_id, stranger, Some(friend), on()).await.unwrap().is_some());
}

async fn rooms_are_listed_newest_first_public_ones_and_one_s_own(fixture: Fixture) {
    let (store, [me, other]) = (fixture.store(), [new_user(), new_user()]);
    let mut rooms = Vec::new();
    for (owner, visibility) in [
        (other, Visibility::Public),
        (me, Visibility::Private),
        (other, Visibility::Private),
        (me, Visibility::Public),
        (other, Visibility::Public),
        (other, Visibility::Private),
    ] {
        let room = room_of(owner, visibility);
        store.create_room(room.clone(), on()).await.unwrap();
        rooms.push(room);
    }
    store.add_member(rooms[5].id, me, Some(other), on()).await.unwrap().unwrap();
    let list = async |joined_only| {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = store.list_rooms(me, joined_only, before, 2).await.unwrap();
            let Some(last) = page.last() else { return found };
            before = Some(last.id);
            found.extend(page);
        }
    };
    let expected = |of: &[usize]| of.iter().map(|n| rooms[*n].clone()).collect::<Vec<_>>();
    assert_eq!(list(false).await, expected(&[5, 4, 3, 1, 0]));
    assert_eq!(list(true).await, expected(&[5, 3, 1]));
    assert_eq!(store.find_room(rooms[1].id, me).await.unwrap(), Some((rooms[1].clone(), true)));
    let unread = store.list_unread(me, Some(rooms[5].id), 1).await.unwrap();
    assert_eq!(unread.iter().map(|room| room.room_id).collect::<Vec<_>>(), [rooms[3].id]);
}

async fn history_is_read_from_the_end_backwards_and_onwards(fixture: Fixture) {
    let (store, user_id) = (fixture.store(), new_user());
    let room_id = room_with(store.as_ref(), &[user_id]).await;
    let empty = store.list_messages(room_id, user_id, HistoryRange::Latest, 9).await.unwrap().unwrap();
    assert_eq!((empty.messages.len(), empty.last_seq), (0, 0));
    for _ in 0..7 {
        post(store.as_ref(), room_id, user_id).await;
    }
    for (range, limit, expected) in [
        (HistoryRange::Latest, 3, &[5, 6, 7][..]),
        (HistoryRange::Before(5), 3, &[2, 3, 4]),
        (HistoryRange::Before(2), 3, &[1]),
        (HistoryRange::Before(1), 3, &[]),
        (HistoryRange::Before(u64::MAX), 2, &[6, 7]),
        (HistoryRange::After(0), 2, &[1, 2]),
        (HistoryRange::After(5), 9, &[6, 7]),
        (HistoryRange::After(7), 9, &[]),
        (HistoryRange::After(u64::MAX), 9, &[]),
        (HistoryRange::Latest, 0, &[]),
    ] {
        let found = store.list_messages(room_id, user_id, range, limit).await.unwrap().unwrap();
        let seqs: Vec<_> = found.messages.iter().map(|message| message.seq).collect();
        assert_eq!((seqs.as_slice(), found.last_seq), (expected, 7), "{range:?}");
    }
}

async fn a_read_position_never_moves_back(fixture: Fixture) {
    let (store, [me, other]) = (fixture.store(), [new_user(), new_user()]);
    let room_id = room_with(store.as_ref(), &[other, me]).await;
    let elsewhere = room_with(store.as_ref(), &[me]).await;
    let foreign = post(store.as_ref(), elsewhere, me).await;
    let mut messages = Vec::new();
    for _ in 0..4 {
        messages.push(post(store.as_ref(), room_id, other).await.id);
    }
    for (up_to, read, moved) in [
        (ReadUpTo::Seq(2), 2, true),
        (ReadUpTo::Seq(2), 2, false),
        (ReadUpTo::Seq(1), 2, false),
        (ReadUpTo::Message(messages[2]), 3, true),
        (ReadUpTo::Message(messages[0]), 3, false),
    ] {
        let expected = ReadPosition {
            read_seq: read,
            read_message_id: Some(messages[usize::try_from(read).unwrap() - 1]),
            unread: 4 - read,
            moved,
        };
        assert_eq!(mark(store.as_ref(), room_id, me, up_to).await, expected, "{up_to:?}");
    }
    for up_to in [ReadUpTo::Seq(0), ReadUpTo::Seq(5), ReadUpTo::Seq(u64::MAX), ReadUpTo::Message(foreign.id)] {
        let marked = store.mark_room_read(room_id, me, up_to).await.unwrap();
        assert_eq!(marked, Marked::NoSuchMessage, "{up_to:?}");
    }
}

async fn of_concurrent_marks_the_furthest_stays(fixture: Fixture) {
    let (store, [me, other]) = (fixture.store(), [new_user(), new_user()]);
    let room_id = room_with(store.as_ref(), &[other, me]).await;
    for _ in 0..8 {
        post(store.as_ref(), room_id, other).await;
    }
    let marks: Vec<_> = [3, 8, 1, 6, 2, 7, 5, 4]
        .map(|seq| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { mark(store.as_ref(), room_id, me, ReadUpTo::Seq(seq)).await })
        })
        .into();
    for mark in marks {
        mark.await.unwrap();
    }
    let counts = store.list_unread(me, None, 9).await.unwrap();
    assert_eq!((counts[0].read_seq, counts[0].count, counts[0].last_seq), (8, 0, 8));
}

async fn unread_is_what_others_said_after_the_position(fixture: Fixture) {
    let (store, [me, other]) = (fixture.store(), [new_user(), new_user()]);
    let room_id = room_with(store.as_ref(), &[other, me]).await;
    assert_eq!(unread(store.as_ref(), me).await, [0]);
    // Positions 1 to 9: mine are 1, 3, 4, 6 and 9.
    for by_me in [true, false, true, true, false, true, false, false, true] {
        post(store.as_ref(), room_id, if by_me { me } else { other }).await;
    }
    assert_eq!((unread(store.as_ref(), me).await, unread(store.as_ref(), other).await), (vec![4], vec![5]));
    for (seq, left) in [(2, 3), (4, 3), (5, 2), (7, 1), (9, 0)] {
        assert_eq!(mark(store.as_ref(), room_id, me, ReadUpTo::Seq(seq)).await.unread, left, "{seq}");
        assert_eq!(unread(store.as_ref(), me).await, [left]);
    }
    // Who has read everything has read what they say.
    assert_eq!(post(store.as_ref(), room_id, me).await.seq, 10);
    assert_eq!(store.list_unread(me, None, 9).await.unwrap()[0].read_seq, 10);
    post(store.as_ref(), room_id, other).await;
    assert_eq!(unread(store.as_ref(), me).await, [1]);
}

async fn who_joins_again_begins_with_everything_read(fixture: Fixture) {
    let (store, [me, other]) = (fixture.store(), [new_user(), new_user()]);
    let room_id = room_with(store.as_ref(), &[other, me]).await;
    for sender in [other, me, other] {
        post(store.as_ref(), room_id, sender).await;
    }
    assert!(store.remove_member(room_id, me, on()).await.unwrap());
    assert_eq!(unread(store.as_ref(), me).await, Vec::<u64>::new());
    let member = store.add_member(room_id, me, Some(other), on()).await.unwrap().unwrap();
    assert_eq!((member.read_seq, unread(store.as_ref(), me).await), (3, vec![0]));
    assert_eq!(history(store.as_ref(), room_id, me).await.len(), 3, "and sees what was said before");
}

async fn members_are_listed_with_how_far_they_have_read(fixture: Fixture) {
    let mut users = [new_user(), new_user(), new_user(), new_user()];
    let store = fixture.store();
    let room_id = room_with(store.as_ref(), &users).await;
    users.sort();
    let first = post(store.as_ref(), room_id, users[2]).await;
    let second = post(store.as_ref(), room_id, users[2]).await;
    mark(store.as_ref(), room_id, users[0], ReadUpTo::Seq(1)).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_members(room_id, users[1], after, 3).await.unwrap().unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.user_id);
        found.extend(page);
    }
    assert_eq!(found.iter().map(|member| member.user_id).collect::<Vec<_>>(), users);
    let read: Vec<_> = found.iter().map(|member| (member.read_seq, member.read_message_id)).collect();
    assert_eq!(read, [(1, Some(first.id)), (0, None), (2, Some(second.id)), (0, None)]);
    assert!(found.iter().all(|member| member.joined_at == START));
}

async fn an_order_has_one_support_room_whoever_opens_it(mut fixture: Fixture) {
    let (store, [customer, one, two]) = (fixture.store(), [new_user(), new_user(), new_user()]);
    let order_id = new_order();
    let open = |visitor| {
        let store = Arc::clone(&store);
        let id = ChatRoomId::from_uuid(UuidV7Generator.new_uuid());
        let room = Room::support(id, order_id, customer, START);
        async move { store.open_support_room(room, visitor, on()).await.unwrap() }
    };
    let openings = [one, customer, two, customer, one].map(|visitor| tokio::spawn(open(visitor)));
    let mut opened = Vec::new();
    for opening in openings {
        opened.push(opening.await.unwrap());
    }
    assert!(opened.iter().all(|room| *room == opened[0]), "{opened:?}");
    assert_eq!((opened[0].order_id, opened[0].owner_id), (Some(order_id), customer));
    let members = store.list_members(opened[0].id, customer, None, 9).await.unwrap().unwrap();
    let mut expected = [customer, one, two];
    expected.sort();
    assert_eq!(members.iter().map(|member| member.user_id).collect::<Vec<_>>(), expected);
    assert_eq!(fixture.published(3).await.len(), 3);
    let other = Room::support(ChatRoomId::from_uuid(UuidV7Generator.new_uuid()), new_order(), customer, START);
    assert_eq!(store.open_support_room(other.clone(), customer, on()).await.unwrap(), other, "another order");
}

async fn whose_order_it_is_is_known_once_an_event_of_it_was_used(fixture: Fixture) {
    let (store, user_id, order_id) = (fixture.store(), new_user(), new_order());
    let store: &dyn Store = store.as_ref();
    assert_eq!(store.find_order_owner(order_id).await.unwrap(), None);
    record(store, change(user_id, order_id, None, 1)).await;
    assert_eq!(store.find_order_owner(order_id).await.unwrap(), Some(user_id));
    record(store, change(user_id, order_id, CONFIRMED, 2)).await;
    assert_eq!(store.find_order_owner(order_id).await.unwrap(), Some(user_id));
}

#[tokio::test]
async fn a_chat_that_was_closed_is_read_again_as_it_was() {
    let folder = TempDir::new().unwrap();
    let url = SqliteUrl::of(folder.path().join("notification.db"));
    let (me, other) = (new_user(), new_user());
    let (room_id, said) = {
        let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
        let room_id = room_with(&store, &[me, other]).await;
        post(&store, room_id, me).await;
        (room_id, history(&store, room_id, other).await)
    };
    let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
    assert_eq!(history(&store, room_id, other).await, said);
    assert_eq!(unread(&store, other).await, [1]);
    assert_eq!(post(&store, room_id, other).await.seq, 2);
}
