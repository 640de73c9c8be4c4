//! The chat, as its proto promises it: who may do what, what is refused and how.

use contracts::event_data::{ChatMessageCreated, OrderStatus, event_type};
use contracts::grpc::notification as proto;
use contracts::grpc::notification::mark_room_read_request::UpTo;
use contracts::ids::{OrderId, UserId};
use contracts::{Reason, Refusal};
use messaging::{Subscription, Verdict};
use service_kit::grpc::client::on_behalf_of;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::builders::{history, new_order, new_user};
use crate::world::{World, eventually};

fn refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Refusal {
    Refusal::from_status(&answer.unwrap_err())
}

fn reason<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Reason {
    refused(answer).reason
}

fn post(room_id: &str, content: &str, client_id: Option<&str>) -> proto::PostMessageRequest {
    let client_id = client_id.map(str::to_owned);
    proto::PostMessageRequest { room_id: room_id.to_owned(), content: content.to_owned(), client_id }
}

fn by_seq(room_id: &str, seq: u64) -> proto::MarkRoomReadRequest {
    proto::MarkRoomReadRequest { room_id: room_id.to_owned(), up_to: Some(UpTo::Seq(seq)) }
}

impl World {
    async fn room(&self, owner: UserId, visibility: &str) -> String {
        let request = proto::CreateRoomRequest { name: "Tea talk".to_owned(), visibility: visibility.to_owned() };
        self.chat().create_room(self.of(owner, request)).await.unwrap().into_inner().id
    }

    async fn join(&self, user_id: UserId, room_id: &str) -> Result<Response<proto::ChatMember>, Status> {
        let request = proto::JoinRoomRequest { room_id: room_id.to_owned() };
        self.chat().join_room(self.of(user_id, request)).await
    }

    async fn add(&self, by: UserId, room_id: &str, user_id: &str) -> Result<Response<proto::ChatMember>, Status> {
        let request = proto::AddMemberRequest { room_id: room_id.to_owned(), user_id: user_id.to_owned() };
        self.chat().add_member(self.of(by, request)).await
    }

    async fn say(&self, user_id: UserId, room_id: &str, content: &str) -> proto::ChatMessage {
        let posted = self.chat().post_message(self.of(user_id, post(room_id, content, None))).await.unwrap();
        posted.into_inner().message.unwrap()
    }

    async fn read(
        &self,
        user_id: UserId,
        request: proto::ListMessagesRequest,
    ) -> Result<Response<proto::ListMessagesResponse>, Status> {
        self.chat().list_messages(self.of(user_id, request)).await
    }

    /// Everything that only members may do, tried.
    async fn try_all(&self, visitor: UserId, room_id: &str) -> Vec<Reason> {
        let room = || room_id.to_owned();
        let members = proto::ListMembersRequest { room_id: room(), limit: 0, cursor: String::new() };
        let messages = proto::ListMessagesRequest { room_id: room(), ..Default::default() };
        vec![
            reason(self.chat().list_members(self.of(visitor, members)).await),
            reason(self.read(visitor, messages).await),
            reason(self.chat().post_message(self.of(visitor, post(room_id, "Hello.", Some("m")))).await),
            reason(self.chat().mark_room_read(self.of(visitor, by_seq(room_id, 1))).await),
            reason(self.add(visitor, room_id, &new_user().to_string()).await),
        ]
    }

    async fn open_support(&self, request: Request<proto::OpenSupportRoomRequest>) -> Result<proto::ChatRoom, Refusal> {
        let opened = self.chat().open_support_room(request).await;
        opened.map(Response::into_inner).map_err(|status| Refusal::from_status(&status))
    }

    /// An order whose first event was used.
    async fn order_of(&self, customer: UserId) -> OrderId {
        let order_id = new_order();
        self.publish(&history(order_id, customer, &[OrderStatus::Pending])).await;
        self.inbox_of(customer, 1).await;
        order_id
    }
}

#[tokio::test]
async fn strangers_learn_nothing_of_private_rooms_and_must_join_public_ones() {
    let world = World::start().await;
    let (owner, stranger) = (new_user(), new_user());
    let (public, private) = (world.room(owner, "public").await, world.room(owner, "private").await);
    for room_id in [&public, &private] {
        world.say(owner, room_id, "Hello.").await;
    }
    let nowhere = Uuid::new_v4().to_string();
    assert_eq!(world.try_all(stranger, &public).await, [Reason::NotAMember; 5]);
    for hidden in [&private, &nowhere] {
        assert_eq!(world.try_all(stranger, hidden).await, [Reason::ChatRoomNotFound; 5]);
        assert_eq!(reason(world.join(stranger, hidden).await), Reason::ChatRoomNotFound);
        let get = world.of(stranger, proto::GetRoomRequest { room_id: hidden.clone() });
        assert_eq!(reason(world.chat().get_room(get).await), Reason::ChatRoomNotFound);
        let leave = world.of(stranger, proto::LeaveRoomRequest { room_id: hidden.clone() });
        assert_eq!(reason(world.chat().leave_room(leave).await), Reason::ChatRoomNotFound);
    }
    let list = world.of(stranger, proto::ListRoomsRequest::default());
    let listed = world.chat().list_rooms(list).await.unwrap().into_inner().items;
    assert_eq!(listed.iter().map(|room| &room.id).collect::<Vec<_>>(), [&public]);

    let joined = world.join(stranger, &public).await.unwrap().into_inner();
    assert_eq!((joined.user_id, joined.read_seq), (stranger.to_string(), 1));
    assert_eq!(world.say(stranger, &public, "Hello?").await.seq, 2);
    // Who left is a stranger again; who is none can't leave, and that is no error where they could join.
    for _ in 0..2 {
        let leave = world.of(stranger, proto::LeaveRoomRequest { room_id: public.clone() });
        world.chat().leave_room(leave).await.unwrap();
        assert_eq!(world.try_all(stranger, &public).await, [Reason::NotAMember; 5]);
    }
}

#[tokio::test]
async fn members_bring_others_into_private_rooms_if_there_are_such() {
    let world = World::start().await;
    let (owner, friend) = (new_user(), new_user());
    let room_id = world.room(owner, "private").await;
    assert_eq!(reason(world.add(owner, &room_id, &friend.to_string()).await), Reason::UserNotFound);
    world.users.is_away_for(friend);
    let refusal = refused(world.add(owner, &room_id, &friend.to_string()).await);
    assert_eq!((refusal.reason, refusal.retry_after.is_some()), (Reason::Unavailable, true));
    assert_eq!(refused(world.add(owner, &room_id, "ada").await).fields[0].field, "/user_id");
    world.users.knows(friend, "ada@souk.test", "Ada", 1);
    world.add(owner, &room_id, &friend.to_string()).await.unwrap();
    // A member of a private room may say again that they join it.
    world.join(friend, &room_id).await.unwrap();
    world.say(friend, &room_id, "Hello.").await;
    let list = world.of(friend, proto::ListRoomsRequest { joined_only: true, ..Default::default() });
    let listed = world.chat().list_rooms(list).await.unwrap().into_inner().items;
    assert_eq!((listed.len(), listed[0].id.as_str(), listed[0].visibility.as_str()), (1, room_id.as_str(), "private"));
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_the_one_that_is_stored() {
    let world = World::start().await;
    let user_id = new_user();
    let room_id = world.room(user_id, "private").await;
    let send = async |content: &str| {
        let request = world.of(user_id, post(&room_id, content, Some("m-1")));
        world.chat().post_message(request).await.unwrap().into_inner()
    };
    let first = send("Hello.").await;
    let again = send("Something else.").await;
    assert_eq!((first.repeated_send, again.repeated_send), (false, true));
    assert_eq!(first.message, again.message);
    let message = first.message.unwrap();
    assert_eq!((message.content.as_str(), message.client_id.as_deref(), message.seq), ("Hello.", Some("m-1"), 1));
    assert_eq!((message.room_id, message.user_id), (room_id.clone(), user_id.to_string()));
    let longest = "𝄞".repeat(4000);
    assert_eq!(world.say(user_id, &room_id, &longest).await.content, longest);
    for (request, field) in [
        (post(&room_id, "", None), "/content"),
        (post(&room_id, " \n ", None), "/content"),
        (post(&room_id, &"x".repeat(4001), None), "/content"),
        (post(&room_id, "a\0b", None), "/content"),
        (post(&room_id, "x", Some("")), "/client_id"),
        (post(&room_id, "x", Some(&"x".repeat(65))), "/client_id"),
        (post("1", "x", None), "id"),
    ] {
        let refusal = refused(world.chat().post_message(world.of(user_id, request)).await);
        assert_eq!((refusal.reason, refusal.fields[0].field.as_str()), (Reason::InvalidRequest, field));
    }
}

#[tokio::test]
async fn history_is_paged_in_both_directions_without_gap_or_repetition() {
    let world = World::start().await;
    let user_id = new_user();
    let room_id = world.room(user_id, "private").await;
    for n in 1..=7 {
        world.say(user_id, &room_id, &n.to_string()).await;
    }
    let ask = async |before: Option<u64>, after: Option<u64>| {
        let request = proto::ListMessagesRequest { room_id: room_id.clone(), before, after, limit: 3 };
        let page = world.read(user_id, request).await.unwrap().into_inner();
        assert_eq!(page.last_seq, 7);
        (page.items.iter().map(|message| message.seq).collect::<Vec<_>>(), page.has_more)
    };
    assert_eq!(ask(None, None).await, (vec![5, 6, 7], true));
    assert_eq!(ask(Some(5), None).await, (vec![2, 3, 4], true));
    assert_eq!(ask(Some(2), None).await, (vec![1], false));
    assert_eq!(ask(Some(4), None).await, (vec![1, 2, 3], false));
    assert_eq!(ask(None, Some(0)).await, (vec![1, 2, 3], true));
    assert_eq!(ask(None, Some(4)).await, (vec![5, 6, 7], false));
    assert_eq!(ask(None, Some(7)).await, (vec![], false));
    for (request, field) in [
        (proto::ListMessagesRequest { before: Some(1), after: Some(1), ..Default::default() }, "after"),
        (proto::ListMessagesRequest { limit: 101, ..Default::default() }, "limit"),
    ] {
        let request = proto::ListMessagesRequest { room_id: room_id.clone(), ..request };
        assert_eq!(refused(world.read(user_id, request).await).fields[0].field, field);
    }
}

#[tokio::test]
async fn reading_is_counted_for_each_member_and_shown_to_all() {
    let world = World::start().await;
    let (one, two) = (new_user(), new_user());
    let room_id = world.room(one, "public").await;
    world.join(two, &room_id).await.unwrap();
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(world.say(one, &room_id, "Hello.").await.id);
    }
    let counts = async |user_id| {
        let request = world.of(user_id, proto::ListUnreadCountsRequest::default());
        let items = world.chat().list_unread_counts(request).await.unwrap().into_inner().items;
        items.into_iter().map(|room| (room.count, room.read_seq, room.last_seq)).collect::<Vec<_>>()
    };
    assert_eq!((counts(one).await, counts(two).await), (vec![(0, 3, 3)], vec![(3, 0, 3)]));
    let by_id = proto::MarkRoomReadRequest { room_id: room_id.clone(), up_to: Some(UpTo::MessageId(said[1].clone())) };
    for (request, moved) in [(by_id, true), (by_seq(&room_id, 1), false)] {
        let position = world.chat().mark_room_read(world.of(two, request)).await.unwrap().into_inner();
        let expected = (2, Some(said[1].clone()), 1, moved);
        assert_eq!((position.read_seq, position.read_message_id, position.unread, position.moved), expected);
    }
    assert_eq!(counts(two).await, [(1, 2, 3)]);
    let unknown = world.of(two, by_seq(&room_id, 4));
    assert_eq!(reason(world.chat().mark_room_read(unknown).await), Reason::ChatMessageNotFound);
    let neither = world.of(two, proto::MarkRoomReadRequest { room_id: room_id.clone(), up_to: None });
    assert_eq!(refused(world.chat().mark_room_read(neither).await).fields[0].field, "/seq");

    let (mut members, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = proto::ListMembersRequest { room_id: room_id.clone(), limit: 1, cursor };
        let page = world.chat().list_members(world.of(one, request)).await.unwrap().into_inner();
        members.extend(page.items.into_iter().map(|member| (member.user_id, member.read_seq)));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    let mut expected = [(one.to_string(), 3), (two.to_string(), 2)];
    expected.sort();
    assert_eq!(members, expected);
}

#[tokio::test]
async fn rooms_are_paged_by_cursor() {
    let world = World::start().await;
    let user_id = new_user();
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(world.room(user_id, if n % 2 == 0 { "public" } else { "private" }).await);
    }
    made.reverse();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = proto::ListRoomsRequest { joined_only: false, limit: 2, cursor };
        let page = world.chat().list_rooms(world.of(user_id, request)).await.unwrap().into_inner();
        found.extend(page.items.into_iter().map(|room| room.id));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(found, made);
    let bad = world.of(user_id, proto::ListRoomsRequest { cursor: "AAAA".to_owned(), ..Default::default() });
    assert_eq!(refused(world.chat().list_rooms(bad).await).fields[0].field, "cursor");
    for (name, visibility, field) in
        [(" ", "public", "/name"), ("support:1", "public", "/name"), ("Tea", "secret", "/visibility")]
    {
        let request = proto::CreateRoomRequest { name: name.to_owned(), visibility: visibility.to_owned() };
        assert_eq!(refused(world.chat().create_room(world.of(user_id, request)).await).fields[0].field, field);
    }
}

#[tokio::test]
async fn the_support_room_of_an_order_is_for_its_customer_and_staff() {
    let world = World::start().await;
    let (customer, stranger, helper) = (new_user(), new_user(), new_user());
    let order_id = world.order_of(customer).await;
    let open = |order_id: OrderId| proto::OpenSupportRoomRequest { order_id: order_id.to_string() };
    for (visitor, order_id) in [(stranger, order_id), (customer, new_order())] {
        let refusal = world.open_support(world.of(visitor, open(order_id))).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::OrderNotFound);
    }
    // Staff begins: the customer is in the room, too.
    let room = world.open_support(world.of_staff(helper, open(order_id))).await.unwrap();
    assert_eq!((room.name, room.order_id), (format!("support:{order_id}"), Some(order_id.to_string())));
    assert_eq!(room.visibility, "private");
    assert_eq!(world.open_support(world.of(customer, open(order_id))).await.unwrap().id, room.id);
    let hello = world.of_staff(helper, post(&room.id, "How can we help?", None));
    world.chat().post_message(hello).await.unwrap();
    let counts = world.of(customer, proto::ListUnreadCountsRequest::default());
    assert_eq!(world.chat().list_unread_counts(counts).await.unwrap().into_inner().items[0].count, 1);

    assert_eq!(world.try_all(stranger, &room.id).await, [Reason::ChatRoomNotFound; 5]);
    assert_eq!(reason(world.join(stranger, &room.id).await), Reason::ChatRoomNotFound);
    world.users.knows(stranger, "eve@souk.test", "Eve", 1);
    assert_eq!(reason(world.add(customer, &room.id, &stranger.to_string()).await), Reason::NotAllowed);
    // Other staff sees the room and joins by themselves.
    let colleague = new_user();
    let peek = proto::ListMessagesRequest { room_id: room.id.clone(), ..Default::default() };
    let peeked = world.chat().list_messages(world.of_staff(colleague, peek.clone())).await;
    assert_eq!(reason(peeked), Reason::NotAMember);
    let join = proto::JoinRoomRequest { room_id: room.id.clone() };
    world.chat().join_room(world.of_staff(colleague, join)).await.unwrap();
    let read = world.chat().list_messages(world.of_staff(colleague, peek)).await;
    assert_eq!(read.unwrap().into_inner().items.len(), 1);
}

#[tokio::test]
async fn who_is_staff_no_more_has_no_place_in_support_rooms() {
    let world = World::start().await;
    let (customer, helper) = (new_user(), new_user());
    let order_id = world.order_of(customer).await.to_string();
    let open = world.of_staff(helper, proto::OpenSupportRoomRequest { order_id });
    let room_id = world.open_support(open).await.unwrap().id;
    let hello = world.of_staff(helper, post(&room_id, "How can we help?", None));
    world.chat().post_message(hello).await.unwrap();
    // The same user, whose token says nothing of support.
    assert_eq!(world.try_all(helper, &room_id).await, [Reason::ChatRoomNotFound; 5]);
    assert_eq!(reason(world.join(helper, &room_id).await), Reason::ChatRoomNotFound);
    let get = world.of(helper, proto::GetRoomRequest { room_id: room_id.clone() });
    assert_eq!(reason(world.chat().get_room(get).await), Reason::ChatRoomNotFound);
    let list = world.of(helper, proto::ListRoomsRequest::default());
    assert_eq!(world.chat().list_rooms(list).await.unwrap().into_inner().items, []);
    let leave = world.of(helper, proto::LeaveRoomRequest { room_id });
    world.chat().leave_room(leave).await.unwrap();
}

#[tokio::test]
async fn only_signed_in_users_have_a_place_in_the_chat() {
    let world = World::start().await;
    let list = proto::ListRoomsRequest::default;
    assert_eq!(reason(world.chat().list_rooms(list()).await), Reason::NotAllowed, "the gateway itself");
    let forged = on_behalf_of("no.such.token", list()).unwrap();
    assert_eq!(reason(world.chat().list_rooms(forged).await), Reason::InvalidToken);
}

#[tokio::test]
async fn what_is_said_goes_over_the_bus_and_is_there_after_a_restart() {
    let world = World::start().await;
    let user_id = new_user();
    let mut bus = world.bus.subscribe(Subscription::new("test", &["chat.*"])).await.unwrap();
    let room_id = world.room(user_id, "private").await;
    let said = world.say(user_id, &room_id, "Hello.").await;
    let told = eventually("the message is told", async || {
        let batch = bus.next().await.unwrap();
        let told = batch.iter().find_map(|delivery| {
            let event = delivery.event.as_ref().unwrap();
            (event.event_type == event_type::CHAT_MESSAGE_CREATED).then(|| event.clone())
        });
        bus.settle(batch.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect()).await.unwrap();
        told
    })
    .await;
    let data: ChatMessageCreated = told.data().unwrap();
    assert_eq!((data.id.to_string(), data.content.as_str(), data.seq), (said.id.clone(), "Hello.", 1));
    assert!(told.requestid.is_some(), "it names the request that caused it");
    drop(bus);
    let folder = world.stop().await;
    let world = World::start_in(folder).await;
    let request = proto::ListMessagesRequest { room_id, ..Default::default() };
    // The keys of the first start are gone: the same user has a new token.
    assert_eq!(world.read(user_id, request).await.unwrap().into_inner().items, [said]);
}
