//! Live events over one long response.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::QueryParams;
use crate::extract::authenticated::caller;
use crate::live::feed::{Live, Start};
use crate::live::metrics::Transport;
use crate::live::stream::frames;
use crate::problem::Problem;

/// How to listen. Browsers can't set headers on an `EventSource`, so both may come in the query; a header goes first.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The access token.
    pub token: Option<String>,
    /// The `id` of the last event seen.
    pub cursor: Option<String>,
}

/// The caller's inbox, live.
///
/// `connected` comes first, with the newest cursor. With a cursor given, the entries after it follow, then what happens as
/// it happens: `event` names the inbox event, `id` is its cursor, `data` its JSON. A cursor that can't be resumed from is
/// answered with `resync`: read the state anew. A comment comes every 30 s. The stream ends when the token expires or is
/// revoked.
#[utoipa::path(get, path = "/events", tag = "realtime", operation_id = "events", security(("bearer" = []), ()),
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event seen")),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String,
        example = "event: order_updated\nid: 7\ndata: {\"id\":\"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\"}\n\n")))]
pub async fn stream(
    live: web::Data<Live>,
    request: HttpRequest,
    QueryParams(query): QueryParams<EventsQuery>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, query.token.as_deref()).await?;
    let last_event_id = request.headers().get("Last-Event-ID");
    let start = match last_event_id {
        Some(value) => Start::parse(Some(value.to_str().unwrap_or("not text"))),
        None => Start::parse(query.cursor.as_deref()),
    };
    let feed = live.into_inner().open(caller, start, Transport::Sse).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(frames(feed)))
}
