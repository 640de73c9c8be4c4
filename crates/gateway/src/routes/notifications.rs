//! A user's notifications.

use actix_web::{HttpResponse, web};
use contracts::grpc::notification::{
    GetUnreadCountRequest, ListNotificationsRequest, MarkAllReadRequest, MarkReadRequest,
};

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, NotificationPath, OptionalJsonBody, QueryParams};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::Page;
use crate::shapes::notification::{MarkedRead, Notification, NotificationQuery, UnreadCount};
use crate::shapes::order::EmptyBody;

/// List the caller's notifications, newest first.
#[utoipa::path(get, path = "/api/notifications", tag = "notifications", operation_id = "list_notifications",
    security(("bearer" = [])), params(NotificationQuery),
    responses((status = 200, description = "A page of notifications", body = Page<Notification>)))]
pub async fn list(
    clients: web::Data<Clients>,
    Authenticated(caller, QueryParams(query)): Authenticated<QueryParams<NotificationQuery>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(ListNotificationsRequest {
        unread_only: query.unread.unwrap_or_default(),
        limit: query.limit.to_wire(),
        cursor: query.cursor.unwrap_or_default(),
    })?;
    let page = call("notification.ListNotifications", clients.notification().list_notifications(request)).await?;
    Ok(HttpResponse::Ok().json(Page::of(page.items, page.next_cursor, Notification::try_from)?))
}

/// Mark a notification read.
#[utoipa::path(post, path = "/api/notifications/{id}/read", tag = "notifications", operation_id = "mark_read",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The notification")),
    responses(
        (status = 200, description = "The notification, read", body = Notification),
        (status = 404, description = "NOTIFICATION_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn read(
    clients: web::Data<Clients>,
    Authenticated(caller, (NotificationPath(id), _)): Authenticated<(NotificationPath, OptionalJsonBody<EmptyBody>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(MarkReadRequest { notification_id: id.to_string() })?;
    let notification = call("notification.MarkRead", clients.notification().mark_read(request)).await?;
    Ok(HttpResponse::Ok().json(Notification::try_from(notification)?))
}

/// Mark all notifications read.
#[utoipa::path(post, path = "/api/notifications/read-all", tag = "notifications", operation_id = "mark_all_read",
    security(("bearer" = [])),
    responses((status = 200, description = "How many were unread", body = MarkedRead)))]
pub async fn read_all(
    clients: web::Data<Clients>,
    Authenticated(caller, _): Authenticated<OptionalJsonBody<EmptyBody>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(MarkAllReadRequest {})?;
    let answer = call("notification.MarkAllRead", clients.notification().mark_all_read(request)).await?;
    Ok(HttpResponse::Ok().json(MarkedRead { marked: answer.marked }))
}

/// How many notifications are unread.
#[utoipa::path(get, path = "/api/notifications/unread-count", tag = "notifications", operation_id = "unread_count",
    security(("bearer" = [])),
    responses((status = 200, description = "How many", body = UnreadCount)))]
pub async fn unread_count(
    clients: web::Data<Clients>,
    Authenticated(caller, ()): Authenticated,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(GetUnreadCountRequest {})?;
    let answer = call("notification.GetUnreadCount", clients.notification().get_unread_count(request)).await?;
    Ok(HttpResponse::Ok().json(UnreadCount { count: answer.count }))
}
