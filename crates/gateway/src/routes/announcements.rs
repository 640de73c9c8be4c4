//! What admins tell everyone.

use actix_web::{HttpResponse, web};
use contracts::{Reason, Refusal, Role};
use serde::Deserialize;
use socketio::SocketIo;
use utoipa::ToSchema;

use crate::extract::{Authenticated, JsonBody};
use crate::live::feed::Live;
use crate::problem::{Problem, ProblemDocument};
use crate::realtime::announcements::{Announcement, announce};

/// Characters of an announcement.
const TEXT_LENGTH: std::ops::RangeInclusive<usize> = 1..=1000;

/// What to tell.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAnnouncement {
    /// 1 to 1000 characters, not blank.
    #[schema(example = "Souk closes for an hour at noon")]
    pub text: String,
}

/// Tell everyone who is connected over Socket.IO, on every gateway.
///
/// They get it as the event `announcement`. It is not kept for those who connect later.
#[utoipa::path(post, path = "/api/admin/announcements", tag = "realtime", operation_id = "announce",
    security(("bearer" = [])), request_body = NewAnnouncement,
    responses(
        (status = 201, description = "It is on its way", body = Announcement),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
    ))]
pub async fn create(
    io: web::Data<SocketIo>,
    live: web::Data<Live>,
    Authenticated(caller, JsonBody(new)): Authenticated<JsonBody<NewAnnouncement>>,
) -> Result<HttpResponse, Problem> {
    if !caller.user().has(Role::Admin) {
        return Err(Problem::of(Reason::NotAllowed));
    }
    if !TEXT_LENGTH.contains(&new.text.chars().count()) || new.text.trim().is_empty() {
        return Err(Refusal::invalid("/text", "must be 1 to 1000 characters, not blank").into());
    }
    let announcement = Announcement { text: new.text, created_at: live.clock.now() };
    announce(&io, &announcement).map_err(|_| Problem::of(Reason::Internal))?;
    Ok(HttpResponse::Created().json(announcement))
}
