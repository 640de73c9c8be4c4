//! What a user wants to be told of, and how.

use actix_web::{HttpResponse, web};
use contracts::grpc::notification::GetPreferencesRequest;

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, JsonBody};
use crate::problem::Problem;
use crate::shapes::notification::{PreferenceChanges, Preferences};

/// How the caller is told of each kind of notification.
#[utoipa::path(get, path = "/api/notifications/preferences", tag = "notifications", operation_id = "get_preferences",
    security(("bearer" = [])),
    responses((status = 200, description = "By kind", body = Preferences)))]
pub async fn get(
    clients: web::Data<Clients>,
    Authenticated(caller, ()): Authenticated,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(GetPreferencesRequest {})?;
    let answer = call("notification.GetPreferences", clients.notification().get_preferences(request)).await?;
    Ok(HttpResponse::Ok().json(Preferences::from(answer)))
}

/// Change the channels that are named of the kinds that are named.
#[utoipa::path(put, path = "/api/notifications/preferences", tag = "notifications", operation_id = "update_preferences",
    security(("bearer" = [])), request_body = PreferenceChanges,
    responses((status = 200, description = "By kind, as they are now", body = Preferences)))]
pub async fn update(
    clients: web::Data<Clients>,
    Authenticated(caller, JsonBody(body)): Authenticated<JsonBody<PreferenceChanges>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(body.into())?;
    let answer = call("notification.UpdatePreferences", clients.notification().update_preferences(request)).await?;
    Ok(HttpResponse::Ok().json(Preferences::from(answer)))
}
