//! Stand-in for the chat of notification: fixed answers, except for the rooms that remember.

use std::fmt::Debug;

use contracts::grpc::notification::chat_service_server::ChatService;
use contracts::grpc::notification::*;
use contracts::ids::ChatRoomId;
use service_kit::auth::Caller;
use tonic::{Request, Response, Status};

use super::Script;
use super::chat_rooms::Rooms;
use super::orders::ID as ORDER;
use super::users::ID as USER;

pub(crate) const ROOM: &str = "0190a1b2-0000-7000-8000-0000000000dd";
pub(crate) const MESSAGE: &str = "0190a1b2-0000-7000-8000-0000000000ee";

#[derive(Clone)]
pub(crate) struct Chat {
    pub(crate) script: Script,
    pub(crate) rooms: Rooms,
}

fn room(name: &str, visibility: &str, order_id: Option<&str>) -> ChatRoom {
    ChatRoom {
        id: ROOM.to_owned(),
        name: name.to_owned(),
        visibility: visibility.to_owned(),
        order_id: order_id.map(str::to_owned),
        created_at_unix_ms: 0,
    }
}

fn member(user_id: &str) -> ChatMember {
    ChatMember {
        user_id: user_id.to_owned(),
        joined_at_unix_ms: 0,
        read_seq: 3,
        read_message_id: Some(MESSAGE.to_owned()),
    }
}

fn message(seq: u64, content: &str, client_id: Option<String>) -> ChatMessage {
    ChatMessage {
        id: MESSAGE.to_owned(),
        room_id: ROOM.to_owned(),
        seq,
        user_id: USER.to_owned(),
        content: content.to_owned(),
        client_id,
        created_at_unix_ms: 0,
    }
}

impl Chat {
    /// The user who calls, if this is about a room that remembers.
    async fn enter<T: Debug>(
        &self,
        method: &'static str,
        request: &Request<T>,
        room_id: impl Fn(&T) -> &str,
    ) -> Result<Option<String>, Status> {
        let caller = self.script.enter(method, request).await?;
        let user = || caller.user().map(|user| user.user_id.to_string());
        self.rooms.knows(room_id(request.get_ref())).then(user).transpose().map_err(Status::from)
    }
}

#[tonic::async_trait]
impl ChatService for Chat {
    async fn create_room(&self, request: Request<CreateRoomRequest>) -> Result<Response<ChatRoom>, Status> {
        self.script.enter("CreateRoom", &request).await?;
        let CreateRoomRequest { name, visibility } = request.into_inner();
        Ok(Response::new(room(&name, &visibility, None)))
    }
    async fn open_support_room(&self, request: Request<OpenSupportRoomRequest>) -> Result<Response<ChatRoom>, Status> {
        self.script.enter("OpenSupportRoom", &request).await?;
        Ok(Response::new(room(&format!("support:{ORDER}"), "private", Some(ORDER))))
    }
    async fn list_rooms(&self, request: Request<ListRoomsRequest>) -> Result<Response<ListRoomsResponse>, Status> {
        if let Caller::User(user) = self.script.enter("ListRooms", &request).await?
            && let Some(joined) = self.script.chats.lock().unwrap().get(&user.user_id)
        {
            let named = |id: &ChatRoomId| ChatRoom { id: id.to_string(), ..room("Own", "private", None) };
            let items = joined.iter().map(named).collect();
            return Ok(Response::new(ListRoomsResponse { items, next_cursor: String::new() }));
        }
        let items = vec![room("Tea talk", "public", None)];
        Ok(Response::new(ListRoomsResponse { items, next_cursor: "next".to_owned() }))
    }
    async fn get_room(&self, request: Request<GetRoomRequest>) -> Result<Response<ChatRoom>, Status> {
        if let Some(user) = self.enter("GetRoom", &request, |asked| &asked.room_id).await? {
            return Ok(Response::new(self.rooms.get(&request.get_ref().room_id, &user)?));
        }
        Ok(Response::new(room("Tea talk", "public", None)))
    }
    async fn join_room(&self, request: Request<JoinRoomRequest>) -> Result<Response<ChatMember>, Status> {
        if let Some(user) = self.enter("JoinRoom", &request, |asked| &asked.room_id).await? {
            return Ok(Response::new(self.rooms.join(&request.get_ref().room_id, &user).await?));
        }
        Ok(Response::new(member(USER)))
    }
    async fn leave_room(&self, request: Request<LeaveRoomRequest>) -> Result<Response<LeaveRoomResponse>, Status> {
        if let Some(user) = self.enter("LeaveRoom", &request, |asked| &asked.room_id).await? {
            self.rooms.leave(&request.get_ref().room_id, &user).await;
        }
        Ok(Response::new(LeaveRoomResponse {}))
    }
    async fn add_member(&self, request: Request<AddMemberRequest>) -> Result<Response<ChatMember>, Status> {
        self.script.enter("AddMember", &request).await?;
        Ok(Response::new(member(&request.get_ref().user_id)))
    }
    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        if let Some(user) = self.enter("ListMembers", &request, |asked| &asked.room_id).await? {
            return Ok(Response::new(self.rooms.members(&request.get_ref().room_id, &user)?));
        }
        Ok(Response::new(ListMembersResponse { items: vec![member(USER)], next_cursor: String::new() }))
    }
    async fn post_message(
        &self,
        request: Request<PostMessageRequest>,
    ) -> Result<Response<PostMessageResponse>, Status> {
        if let Some(user) = self.enter("PostMessage", &request, |asked| &asked.room_id).await? {
            return Ok(Response::new(self.rooms.post(request.into_inner(), &user).await?));
        }
        let PostMessageRequest { content, client_id, .. } = request.into_inner();
        let repeated_send = client_id.as_deref() == Some("again");
        Ok(Response::new(PostMessageResponse { message: Some(message(4, &content, client_id)), repeated_send }))
    }
    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        if let Some(user) = self.enter("ListMessages", &request, |asked| &asked.room_id).await? {
            return Ok(Response::new(self.rooms.list(request.get_ref(), &user)?));
        }
        let items = vec![message(4, "Hello.", None), message(5, "Hello?", Some("m-5".to_owned()))];
        let has_more = request.get_ref().limit != 100;
        Ok(Response::new(ListMessagesResponse { items, has_more, last_seq: 9 }))
    }
    async fn mark_room_read(&self, request: Request<MarkRoomReadRequest>) -> Result<Response<ReadPosition>, Status> {
        if let Some(user) = self.enter("MarkRoomRead", &request, |asked| &asked.room_id).await? {
            return Ok(Response::new(self.rooms.mark_read(request.into_inner(), &user)?));
        }
        let (room_id, read_message_id) = (ROOM.to_owned(), Some(MESSAGE.to_owned()));
        Ok(Response::new(ReadPosition { room_id, read_seq: 4, read_message_id, unread: 5, moved: true }))
    }
    async fn list_unread_counts(
        &self,
        request: Request<ListUnreadCountsRequest>,
    ) -> Result<Response<ListUnreadCountsResponse>, Status> {
        let caller = self.script.enter("ListUnreadCounts", &request).await?;
        let remembered = self.rooms.unread_counts(&caller.user()?.user_id.to_string());
        if !remembered.is_empty() {
            return Ok(Response::new(ListUnreadCountsResponse { items: remembered, next_cursor: String::new() }));
        }
        let items = vec![UnreadCount { room_id: ROOM.to_owned(), count: 5, read_seq: 4, last_seq: 9 }];
        Ok(Response::new(ListUnreadCountsResponse { items, next_cursor: String::new() }))
    }
}
