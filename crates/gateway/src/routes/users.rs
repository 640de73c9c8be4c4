//! A user's own account.

use actix_web::{HttpResponse, web};
use contracts::grpc::users::{GetUserRequest, UpdateUserRequest};

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, JsonBody};
use crate::problem::Problem;
use crate::shapes::user::{UpdateUser, User};

/// The caller's account.
#[utoipa::path(get, path = "/api/users/me", tag = "users", operation_id = "get_me", security(("bearer" = [])),
    responses((status = 200, description = "The account", body = User)))]
pub async fn me(clients: web::Data<Clients>, caller: Authenticated) -> Result<HttpResponse, Problem> {
    let Authenticated(caller, ()) = caller;
    let request = caller.request(GetUserRequest { user_id: caller.id().to_string() })?;
    let user = call("users.GetUser", clients.users().get_user(request)).await?;
    Ok(HttpResponse::Ok().json(User::from(user)))
}

/// Change the caller's account.
#[utoipa::path(patch, path = "/api/users/me", tag = "users", operation_id = "update_me", security(("bearer" = [])),
    request_body = UpdateUser,
    responses((status = 200, description = "The account as it is now", body = User)))]
pub async fn update_me(
    clients: web::Data<Clients>,
    Authenticated(caller, JsonBody(body)): Authenticated<JsonBody<UpdateUser>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(UpdateUserRequest { user_id: caller.id().to_string(), name: body.name })?;
    let user = call("users.UpdateUser", clients.users().update_user(request)).await?;
    Ok(HttpResponse::Ok().json(User::from(user)))
}
