//! What is said in the rooms of the chat, and how far it was read.

use actix_web::{HttpResponse, web};
use contracts::Clock;
use contracts::grpc::notification::{ListMessagesRequest, ListUnreadCountsRequest, PostMessageRequest};
use socketio::SocketIo;

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, ChatRoomPath, JsonBody, QueryParams};
use crate::problem::{Problem, ProblemDocument};
use crate::realtime::chat::{self, Chat};
use crate::shapes::chat::{
    ChatMessage, HistoryPage, HistoryQuery, MarkRoomRead, PageQuery, PostMessage, ReadPosition, RoomUnread, posted,
};
use crate::shapes::{BadAnswer, Page};

/// Read a room's history: its newest messages, or those before or after a position.
#[utoipa::path(get, path = "/api/chat/rooms/{id}/messages", tag = "chat", operation_id = "list_chat_messages",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The room"), HistoryQuery),
    responses(
        (status = 200, description = "A part of the history, oldest first", body = HistoryPage),
        (status = 403, description = "NOT_A_MEMBER", body = ProblemDocument),
        (status = 404, description = "CHAT_ROOM_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn list(
    clients: web::Data<Clients>,
    Authenticated(caller, (ChatRoomPath(id), QueryParams(query))): Authenticated<(
        ChatRoomPath,
        QueryParams<HistoryQuery>,
    )>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(ListMessagesRequest {
        room_id: id.to_string(),
        before: query.before.map(|seq| seq.0),
        after: query.after.map(|seq| seq.0),
        limit: query.limit.to_wire(),
    })?;
    let page = call("chat.ListMessages", clients.chat().list_messages(request)).await?;
    Ok(HttpResponse::Ok().json(HistoryPage::of(page, query.after.is_some())))
}

/// Say something in a room. With a `client_id` it is said once, however often it is sent.
#[utoipa::path(post, path = "/api/chat/rooms/{id}/messages", tag = "chat", operation_id = "post_chat_message",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The room")), request_body = PostMessage,
    responses(
        (status = 201, description = "The message", body = ChatMessage),
        (status = 200, description = "The message that was stored before by this `client_id`", body = ChatMessage),
        (status = 403, description = "NOT_A_MEMBER", body = ProblemDocument),
        (status = 404, description = "CHAT_ROOM_NOT_FOUND", body = ProblemDocument),
        (status = 429, description = "RATE_LIMITED: 10 messages in 10 s", body = ProblemDocument),
    ))]
pub async fn post(
    clients: web::Data<Clients>,
    chat: web::Data<Chat>,
    clock: web::Data<dyn Clock>,
    Authenticated(caller, (ChatRoomPath(id), JsonBody(body))): Authenticated<(ChatRoomPath, JsonBody<PostMessage>)>,
) -> Result<HttpResponse, Problem> {
    chat.limits.messages.take(caller.id(), clock.now())?;
    let request = caller.request(PostMessageRequest {
        room_id: id.to_string(),
        content: body.content,
        client_id: body.client_id,
    })?;
    let (message, repeated) = posted(call("chat.PostMessage", clients.chat().post_message(request)).await?)?;
    let mut response = if repeated { HttpResponse::Ok() } else { HttpResponse::Created() };
    Ok(response.json(message))
}

/// Mark a room read up to a message. The position never moves back.
#[utoipa::path(post, path = "/api/chat/rooms/{id}/read", tag = "chat", operation_id = "mark_chat_room_read",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The room")), request_body = MarkRoomRead,
    responses(
        (status = 200, description = "How far the caller has read", body = ReadPosition),
        (status = 403, description = "NOT_A_MEMBER", body = ProblemDocument),
        (status = 404, description = "CHAT_ROOM_NOT_FOUND; CHAT_MESSAGE_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn read(
    clients: web::Data<Clients>,
    io: web::Data<SocketIo>,
    Authenticated(caller, (ChatRoomPath(id), JsonBody(body))): Authenticated<(ChatRoomPath, JsonBody<MarkRoomRead>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(body.into_request(id)?)?;
    let position = call("chat.MarkRoomRead", clients.chat().mark_room_read(request)).await?;
    if let Ok(everyone) = io.of("/") {
        chat::read::tell_room(&everyone, id, caller.id(), &position);
    }
    Ok(HttpResponse::Ok().json(ReadPosition::from(position)))
}

/// How much is unread in each of the caller's rooms, newest room first.
#[utoipa::path(get, path = "/api/chat/unread-counts", tag = "chat", operation_id = "chat_unread_counts",
    security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of rooms", body = Page<RoomUnread>)))]
pub async fn unread_counts(
    clients: web::Data<Clients>,
    Authenticated(caller, QueryParams(query)): Authenticated<QueryParams<PageQuery>>,
) -> Result<HttpResponse, Problem> {
    let request = caller
        .request(ListUnreadCountsRequest { limit: query.limit.to_wire(), cursor: query.cursor.unwrap_or_default() })?;
    let page = call("chat.ListUnreadCounts", clients.chat().list_unread_counts(request)).await?;
    let page = Page::of(page.items, page.next_cursor, |room| Ok::<_, BadAnswer>(RoomUnread::from(room)))?;
    Ok(HttpResponse::Ok().json(page))
}
