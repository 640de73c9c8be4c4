//! `souk.notification.v1.ChatService`.

mod convert;
mod error;

use std::sync::Arc;

use contracts::grpc::notification as proto;
use contracts::grpc::notification::chat_service_server::ChatService;
use contracts::ids::ChatRoomId;
use contracts::{Clock, IdGenerator, Refusal};
use service_kit::auth::Caller;
use tonic::{Request, Response, Status};

use super::convert::limit;
use crate::application::chat::add_member::AddMember;
use crate::application::chat::count_unread::CountUnread;
use crate::application::chat::create_room::CreateRoom;
use crate::application::chat::join_room::JoinRoom;
use crate::application::chat::leave_room::LeaveRoom;
use crate::application::chat::list_members::ListMembers;
use crate::application::chat::list_rooms::ListRooms;
use crate::application::chat::mark_room_read::MarkRoomRead;
use crate::application::chat::open_support_room::OpenSupportRoom;
use crate::application::chat::ports::ChatRepository;
use crate::application::chat::post_message::PostMessage;
use crate::application::chat::read_history::ReadHistory;
use crate::application::ports::UserDirectory;
use crate::domain::chat::room::Visitor;

/// Answers the calls.
pub struct ChatApi {
    create_room: CreateRoom,
    open_support_room: OpenSupportRoom,
    rooms: ListRooms,
    join_room: JoinRoom,
    leave_room: LeaveRoom,
    add_member: AddMember,
    members: ListMembers,
    post_message: PostMessage,
    history: ReadHistory,
    mark_read: MarkRoomRead,
    unread: CountUnread,
}

impl ChatApi {
    /// The use cases on these ports.
    pub fn new(
        chat: &Arc<dyn ChatRepository>,
        directory: Arc<dyn UserDirectory>,
        clock: &Arc<dyn Clock>,
        ids: &Arc<dyn IdGenerator>,
    ) -> Self {
        let (chat, clock, ids) = (|| Arc::clone(chat), || Arc::clone(clock), || Arc::clone(ids));
        Self {
            create_room: CreateRoom::new(chat(), clock(), ids()),
            open_support_room: OpenSupportRoom::new(chat(), clock(), ids()),
            rooms: ListRooms::new(chat()),
            join_room: JoinRoom::new(chat(), clock()),
            leave_room: LeaveRoom::new(chat(), clock()),
            add_member: AddMember::new(chat(), directory, clock()),
            members: ListMembers::new(chat()),
            post_message: PostMessage::new(chat(), clock(), ids()),
            history: ReadHistory::new(chat()),
            mark_read: MarkRoomRead::new(chat()),
            unread: CountUnread::new(chat()),
        }
    }
}

/// The signed-in user: nobody else has a place in the chat.
fn visitor<T>(request: &Request<T>) -> Result<Visitor, Refusal> {
    let caller = Caller::of(request);
    let user = caller.user()?;
    Ok(Visitor { user_id: user.user_id, is_staff: user.is_staff() })
}

fn room_id(text: &str) -> Result<ChatRoomId, Refusal> {
    convert::id(text, "id")
}

#[tonic::async_trait]
impl ChatService for ChatApi {
    async fn create_room(
        &self,
        request: Request<proto::CreateRoomRequest>,
    ) -> Result<Response<proto::ChatRoom>, Status> {
        let visitor = visitor(&request)?;
        let message = request.into_inner();
        let (name, visibility) = (convert::room_name(&message.name)?, convert::visibility(&message.visibility)?);
        let room = self.create_room.run(visitor.user_id, name, visibility).await.map_err(error::refusal)?;
        Ok(Response::new(convert::room(room)))
    }

    async fn open_support_room(
        &self,
        request: Request<proto::OpenSupportRoomRequest>,
    ) -> Result<Response<proto::ChatRoom>, Status> {
        let visitor = visitor(&request)?;
        let order_id = convert::id(&request.get_ref().order_id, "/order_id")?;
        let room = self.open_support_room.run(visitor, order_id).await.map_err(error::refusal)?;
        Ok(Response::new(convert::room(room)))
    }

    async fn list_rooms(
        &self,
        request: Request<proto::ListRoomsRequest>,
    ) -> Result<Response<proto::ListRoomsResponse>, Status> {
        let visitor = visitor(&request)?;
        let message = request.into_inner();
        let (limit, before) = (limit(message.limit, 20, 100)?, convert::room_cursor(&message.cursor)?);
        let page = self.rooms.list(visitor, message.joined_only, before, limit).await;
        Ok(Response::new(convert::rooms(page.map_err(error::refusal)?)))
    }

    async fn get_room(&self, request: Request<proto::GetRoomRequest>) -> Result<Response<proto::ChatRoom>, Status> {
        let visitor = visitor(&request)?;
        let room_id = room_id(&request.get_ref().room_id)?;
        let room = self.rooms.get(visitor, room_id).await.map_err(error::refusal)?;
        Ok(Response::new(convert::room(room)))
    }

    async fn join_room(&self, request: Request<proto::JoinRoomRequest>) -> Result<Response<proto::ChatMember>, Status> {
        let visitor = visitor(&request)?;
        let room_id = room_id(&request.get_ref().room_id)?;
        let member = self.join_room.run(visitor, room_id).await.map_err(error::refusal)?;
        Ok(Response::new(convert::member(member)))
    }

    async fn leave_room(
        &self,
        request: Request<proto::LeaveRoomRequest>,
    ) -> Result<Response<proto::LeaveRoomResponse>, Status> {
        let visitor = visitor(&request)?;
        let room_id = room_id(&request.get_ref().room_id)?;
        self.leave_room.run(visitor, room_id).await.map_err(error::refusal)?;
        Ok(Response::new(proto::LeaveRoomResponse {}))
    }

    async fn add_member(
        &self,
        request: Request<proto::AddMemberRequest>,
    ) -> Result<Response<proto::ChatMember>, Status> {
        let visitor = visitor(&request)?;
        let message = request.into_inner();
        let (room_id, user_id) = (room_id(&message.room_id)?, convert::id(&message.user_id, "/user_id")?);
        let member = self.add_member.run(visitor, room_id, user_id).await.map_err(error::refusal)?;
        Ok(Response::new(convert::member(member)))
    }

    async fn list_members(
        &self,
        request: Request<proto::ListMembersRequest>,
    ) -> Result<Response<proto::ListMembersResponse>, Status> {
        let visitor = visitor(&request)?;
        let message = request.into_inner();
        let room_id = room_id(&message.room_id)?;
        let (limit, after) = (limit(message.limit, 20, 100)?, convert::user_cursor(&message.cursor)?);
        let page = self.members.run(visitor, room_id, after, limit).await.map_err(error::refusal)?;
        Ok(Response::new(convert::members(page)))
    }

    async fn post_message(
        &self,
        request: Request<proto::PostMessageRequest>,
    ) -> Result<Response<proto::PostMessageResponse>, Status> {
        let visitor = visitor(&request)?;
        let message = request.into_inner();
        let room_id = room_id(&message.room_id)?;
        let (content, client_id) = (convert::content(message.content)?, convert::client_id(message.client_id)?);
        let posted = self.post_message.run(visitor, room_id, content, client_id).await.map_err(error::refusal)?;
        Ok(Response::new(proto::PostMessageResponse {
            message: Some(convert::message(posted.message)),
            repeated_send: posted.repeated,
        }))
    }

    async fn list_messages(
        &self,
        request: Request<proto::ListMessagesRequest>,
    ) -> Result<Response<proto::ListMessagesResponse>, Status> {
        let visitor = visitor(&request)?;
        let message = request.into_inner();
        let room_id = room_id(&message.room_id)?;
        let (limit, range) = (limit(message.limit, 50, 100)?, convert::range(message.before, message.after)?);
        let page = self.history.run(visitor, room_id, range, limit).await.map_err(error::refusal)?;
        Ok(Response::new(convert::history(page)))
    }

    async fn mark_room_read(
        &self,
        request: Request<proto::MarkRoomReadRequest>,
    ) -> Result<Response<proto::ReadPosition>, Status> {
        let visitor = visitor(&request)?;
        let message = request.into_inner();
        let (room_id, up_to) = (room_id(&message.room_id)?, convert::up_to(message.up_to)?);
        let position = self.mark_read.run(visitor, room_id, up_to).await.map_err(error::refusal)?;
        Ok(Response::new(convert::position(room_id, position)))
    }

    async fn list_unread_counts(
        &self,
        request: Request<proto::ListUnreadCountsRequest>,
    ) -> Result<Response<proto::ListUnreadCountsResponse>, Status> {
        let visitor = visitor(&request)?;
        let message = request.into_inner();
        let (limit, before) = (limit(message.limit, 20, 100)?, convert::room_cursor(&message.cursor)?);
        let page = self.unread.run(visitor.user_id, before, limit).await.map_err(error::refusal)?;
        Ok(Response::new(convert::unread(page)))
    }
}
