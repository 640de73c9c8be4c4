//! Accounts, for those who keep them in order. Users decides who may.

use actix_web::{HttpResponse, web};
use contracts::grpc::users::{BanUserRequest, GetUserRequest, ListUsersRequest, SetRolesRequest, UnbanUserRequest};

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, JsonBody, OptionalJsonBody, QueryParams, UserPath};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::order::EmptyBody;
use crate::shapes::user::{BanUser, SetRoles, User, UserQuery};
use crate::shapes::{BadAnswer, Page};

/// List accounts, in order of registration.
#[utoipa::path(get, path = "/api/users", tag = "users", operation_id = "list_users", security(("bearer" = [])),
    params(UserQuery),
    responses(
        (status = 200, description = "A page of accounts", body = Page<User>),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
    ))]
pub async fn list(
    clients: web::Data<Clients>,
    Authenticated(caller, QueryParams(query)): Authenticated<QueryParams<UserQuery>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(ListUsersRequest {
        search: query.search.unwrap_or_default(),
        limit: query.limit.to_wire(),
        cursor: query.cursor.unwrap_or_default(),
    })?;
    let page = call("users.ListUsers", clients.users().list_users(request)).await?;
    let page = Page::of(page.items, page.next_cursor, |user| Ok::<_, BadAnswer>(User::from(user)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// One account.
#[utoipa::path(get, path = "/api/users/{id}", tag = "users", operation_id = "get_user", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 200, description = "The account", body = User),
        (status = 403, description = "NOT_ALLOWED: for staff", body = ProblemDocument),
        (status = 404, description = "USER_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn get(
    clients: web::Data<Clients>,
    Authenticated(caller, UserPath(id)): Authenticated<UserPath>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(GetUserRequest { user_id: id.to_string() })?;
    let user = call("users.GetUser", clients.users().get_user(request)).await?;
    Ok(HttpResponse::Ok().json(User::from(user)))
}

/// Ban a user. Every session ends.
#[utoipa::path(post, path = "/api/users/{id}/ban", tag = "users", operation_id = "ban_user", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user")), request_body = BanUser,
    responses(
        (status = 200, description = "The account as it is now", body = User),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 404, description = "USER_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn ban(
    clients: web::Data<Clients>,
    Authenticated(caller, (UserPath(id), JsonBody(body))): Authenticated<(UserPath, JsonBody<BanUser>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(BanUserRequest { user_id: id.to_string(), reason: body.reason })?;
    let user = call("users.BanUser", clients.users().ban_user(request)).await?;
    Ok(HttpResponse::Ok().json(User::from(user)))
}

/// Lift a ban.
#[utoipa::path(post, path = "/api/users/{id}/unban", tag = "users", operation_id = "unban_user",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The user")),
    responses(
        (status = 200, description = "The account as it is now", body = User),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 404, description = "USER_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn unban(
    clients: web::Data<Clients>,
    Authenticated(caller, (UserPath(id), _)): Authenticated<(UserPath, OptionalJsonBody<EmptyBody>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(UnbanUserRequest { user_id: id.to_string() })?;
    let user = call("users.UnbanUser", clients.users().unban_user(request)).await?;
    Ok(HttpResponse::Ok().json(User::from(user)))
}

/// Replace a user's roles. Access tokens issued before are void.
#[utoipa::path(put, path = "/api/users/{id}/roles", tag = "users", operation_id = "set_roles",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The user")), request_body = SetRoles,
    responses(
        (status = 200, description = "The account as it is now", body = User),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 404, description = "USER_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn set_roles(
    clients: web::Data<Clients>,
    Authenticated(caller, (UserPath(id), JsonBody(body))): Authenticated<(UserPath, JsonBody<SetRoles>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(SetRolesRequest { user_id: id.to_string(), roles: body.roles })?;
    let user = call("users.SetRoles", clients.users().set_roles(request)).await?;
    Ok(HttpResponse::Ok().json(User::from(user)))
}
