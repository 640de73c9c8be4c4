//! Live events for those who can hold no stream: each request waits for the next ones.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use contracts::ids::UserId;
use contracts::{Reason, Refusal};

use crate::extract::QueryParams;
use crate::extract::authenticated::caller;
use crate::live::feed::{Ended, FeedEvent, Live, Start};
use crate::live::metrics::{Counted, Transport};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::live::{LiveEvent, PollQuery, Polled};

/// Wait for live events.
///
/// Answers as soon as there are events after the cursor, else after `timeout` with `"timeout": true`; poll again with the
/// `cursor` of the answer. Without a cursor the newest comes at once: nothing that happens after that answer is missed. A
/// cursor that can't be resumed from is answered at once with `"resync": true`: read the state anew. Cursors are those of
/// `/events`. The wait is also cut short when the token expires or is revoked, and when the server stops.
#[utoipa::path(get, path = "/poll/{user_id}", tag = "realtime", operation_id = "poll", security(("bearer" = []), ()),
    params(("user_id" = uuid::Uuid, Path, description = "The caller's own id"), PollQuery),
    responses(
        (status = 200, description = "What came", body = Polled,
            example = json!({"messages": [{"cursor": 7, "event": "order_created", "data": {}}], "cursor": 7})),
        (status = 403, description = "NOT_ALLOWED: an inbox is its owner's alone", body = ProblemDocument),
    ))]
pub async fn poll(
    live: web::Data<Live>,
    request: HttpRequest,
    QueryParams(query): QueryParams<PollQuery>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, query.token.as_deref()).await?;
    // What is no id is nobody's, so not the caller's either.
    if request.match_info().query("user_id").parse::<UserId>() != Ok(caller.id()) {
        return Err(Refusal::new(Reason::NotAllowed, "an inbox is its owner's alone").into());
    }
    let _counted = Counted::new(Transport::Poll);
    let start = Start::parse(query.cursor.as_deref());
    let mut feed = live.into_inner().open(caller, start, Transport::Poll).await?;
    let mut answer =
        Polled { messages: Vec::new(), cursor: feed.position(), timeout: false, resync: feed.must_resync() };
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if matches!(start, Start::Now) || answer.resync {
        return Ok(response.json(answer));
    }
    let draining = feed.draining();
    let waited = tokio::select! {
        biased;
        waited = tokio::time::timeout(query.timeout.0, feed.next()) => waited,
        () = draining.cancelled() => Ok(FeedEvent::Ended(Ended::Stopping)),
    };
    match waited {
        Ok(FeedEvent::Entries(entries)) => {
            let messages = entries.iter().map(|entry| LiveEvent::try_from(&**entry));
            answer.messages = messages.collect::<Result<_, _>>()?;
            answer.cursor = feed.position();
        }
        Ok(FeedEvent::Ended(Ended::Unreadable(refusal))) => return Err(refusal.into()),
        // The next poll learns that its token counts no more.
        Err(_) | Ok(FeedEvent::Ended(Ended::Revoked | Ended::Expired)) => answer.timeout = true,
        Ok(FeedEvent::Ended(Ended::Stopping)) => {
            answer.timeout = true;
            // The next poll goes to a server that stays.
            response.force_close();
        }
    }
    Ok(response.json(answer))
}
