//! The rooms of the chat and who is in them.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use contracts::grpc::notification::{
    AddMemberRequest, CreateRoomRequest, GetRoomRequest, JoinRoomRequest, LeaveRoomRequest, ListMembersRequest,
    ListRoomsRequest, OpenSupportRoomRequest,
};

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, ChatRoomPath, JsonBody, OptionalJsonBody, QueryParams};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::chat::{AddMember, ChatMember, ChatRoom, CreateRoom, OpenSupportRoom, PageQuery, RoomQuery};
use crate::shapes::order::EmptyBody;
use crate::shapes::{BadAnswer, Page};

/// List public rooms and the caller's own, newest first.
#[utoipa::path(get, path = "/api/chat/rooms", tag = "chat", operation_id = "list_chat_rooms",
    security(("bearer" = [])), params(RoomQuery),
    responses((status = 200, description = "A page of rooms", body = Page<ChatRoom>)))]
pub async fn list(
    clients: web::Data<Clients>,
    Authenticated(caller, QueryParams(query)): Authenticated<QueryParams<RoomQuery>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(ListRoomsRequest {
        joined_only: query.joined.unwrap_or_default(),
        limit: query.limit.to_wire(),
        cursor: query.cursor.unwrap_or_default(),
    })?;
    let page = call("chat.ListRooms", clients.chat().list_rooms(request)).await?;
    let page = Page::of(page.items, page.next_cursor, |room| Ok::<_, BadAnswer>(ChatRoom::from(room)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// Make a room. The caller is its first member.
#[utoipa::path(post, path = "/api/chat/rooms", tag = "chat", operation_id = "create_chat_room",
    security(("bearer" = [])), request_body = CreateRoom,
    responses((status = 201, description = "The room", body = ChatRoom,
        headers(("Location" = String, description = "Its address")))))]
pub async fn create(
    clients: web::Data<Clients>,
    Authenticated(caller, JsonBody(body)): Authenticated<JsonBody<CreateRoom>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(CreateRoomRequest { name: body.name, visibility: body.visibility })?;
    let room = ChatRoom::from(call("chat.CreateRoom", clients.chat().create_room(request)).await?);
    let address = format!("/api/chat/rooms/{}", room.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, address)).json(room))
}

/// Open the room in which the customer of an order and staff meet. There is one for each order.
#[utoipa::path(post, path = "/api/chat/support-rooms", tag = "chat", operation_id = "open_support_room",
    security(("bearer" = [])), request_body = OpenSupportRoom,
    responses(
        (status = 200, description = "The room; the caller and the customer are members", body = ChatRoom),
        (status = 404, description = "ORDER_NOT_FOUND, also for another customer's, and in the first moment of a new one", body = ProblemDocument),
    ))]
pub async fn open_support(
    clients: web::Data<Clients>,
    Authenticated(caller, JsonBody(body)): Authenticated<JsonBody<OpenSupportRoom>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(OpenSupportRoomRequest { order_id: body.order_id })?;
    let room = call("chat.OpenSupportRoom", clients.chat().open_support_room(request)).await?;
    Ok(HttpResponse::Ok().json(ChatRoom::from(room)))
}

/// One room that the caller is in or may join.
#[utoipa::path(get, path = "/api/chat/rooms/{id}", tag = "chat", operation_id = "get_chat_room",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The room")),
    responses(
        (status = 200, description = "The room", body = ChatRoom),
        (status = 404, description = "CHAT_ROOM_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn get(
    clients: web::Data<Clients>,
    Authenticated(caller, ChatRoomPath(id)): Authenticated<ChatRoomPath>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(GetRoomRequest { room_id: id.to_string() })?;
    let room = call("chat.GetRoom", clients.chat().get_room(request)).await?;
    Ok(HttpResponse::Ok().json(ChatRoom::from(room)))
}

/// List who is in a room and how far they have read.
#[utoipa::path(get, path = "/api/chat/rooms/{id}/members", tag = "chat", operation_id = "list_chat_members",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The room"), PageQuery),
    responses(
        (status = 200, description = "A page of members", body = Page<ChatMember>),
        (status = 403, description = "NOT_A_MEMBER", body = ProblemDocument),
        (status = 404, description = "CHAT_ROOM_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn members(
    clients: web::Data<Clients>,
    Authenticated(caller, (ChatRoomPath(id), QueryParams(query))): Authenticated<(
        ChatRoomPath,
        QueryParams<PageQuery>,
    )>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(ListMembersRequest {
        room_id: id.to_string(),
        limit: query.limit.to_wire(),
        cursor: query.cursor.unwrap_or_default(),
    })?;
    let page = call("chat.ListMembers", clients.chat().list_members(request)).await?;
    let page = Page::of(page.items, page.next_cursor, |member| Ok::<_, BadAnswer>(ChatMember::from(member)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// Join a room, or add somebody to a room that the caller is in. Who is a member already stays as they are.
#[utoipa::path(post, path = "/api/chat/rooms/{id}/members", tag = "chat", operation_id = "add_chat_member",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The room")), request_body = Option<AddMember>,
    responses(
        (status = 200, description = "The member", body = ChatMember),
        (status = 403, description = "NOT_A_MEMBER; NOT_ALLOWED in a support room, for anybody but its customer", body = ProblemDocument),
        (status = 404, description = "CHAT_ROOM_NOT_FOUND; USER_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn add_member(
    clients: web::Data<Clients>,
    Authenticated(caller, (ChatRoomPath(id), OptionalJsonBody(body))): Authenticated<(
        ChatRoomPath,
        OptionalJsonBody<AddMember>,
    )>,
) -> Result<HttpResponse, Problem> {
    let room_id = id.to_string();
    let own_id = caller.id().to_string();
    let other = body.user_id.filter(|user_id| !user_id.eq_ignore_ascii_case(&own_id));
    let member = if let Some(user_id) = other {
        let request = caller.request(AddMemberRequest { room_id, user_id })?;
        call("chat.AddMember", clients.chat().add_member(request)).await?
    } else {
        let request = caller.request(JoinRoomRequest { room_id })?;
        call("chat.JoinRoom", clients.chat().join_room(request)).await?
    };
    Ok(HttpResponse::Ok().json(ChatMember::from(member)))
}

/// Leave a room.
#[utoipa::path(post, path = "/api/chat/rooms/{id}/leave", tag = "chat", operation_id = "leave_chat_room",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The room")),
    responses(
        (status = 204, description = "The caller is no member"),
        (status = 404, description = "CHAT_ROOM_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn leave(
    clients: web::Data<Clients>,
    Authenticated(caller, (ChatRoomPath(id), _)): Authenticated<(ChatRoomPath, OptionalJsonBody<EmptyBody>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(LeaveRoomRequest { room_id: id.to_string() })?;
    call("chat.LeaveRoom", clients.chat().leave_room(request)).await?;
    Ok(HttpResponse::NoContent().finish())
}
