//! The user's inbox over Socket.IO: every entry as an event of its own name, with its `cursor` among the data, from where
//! the client left it.
//!
//! Each socket has a feed ([`InboxFeed`]) of its own: entries are read from the store and heard from the bus of this
//! gateway, so that they need no way through the cluster and are never stored there. A client that comes back shows its
//! cursor; one that does not, and recovered its session, goes on where this gateway, or the one it was at, noted it was.

use std::time::Duration;

use contracts::Refusal;
use contracts::grpc::notification::{AckInboxRequest, MarkReadRequest};
use serde::Deserialize;
use serde_json::{Value, json};
use service_kit::backoff::Backoff;
use socketio::{Namespace, Socket};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{Asker, Call};
use super::{Desk, Session, guard};
use crate::clients::call;
use crate::live::feed::{Ended, FeedEvent, InboxFeed, Start};
use crate::live::metrics::Transport;
use crate::shapes::notification::Notification;

/// Waits between attempts to read an inbox that can't be read.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(5) };
/// How often it is noted in the session where a client is, while entries come.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Adds the events of the inbox.
pub fn mount(namespace: Namespace) -> Namespace {
    namespace.on("inbox:ack", acknowledge).on("notification:mark_read", mark_read)
}

/// Sends the inbox to a client, from `cursor` on, until it is gone.
pub async fn follow(desk: &Desk, socket: &Socket, session: &Session, cursor: &Value) {
    let mut start = start(socket, cursor);
    let mut failures = 0;
    loop {
        let opened = desk.live.open(session.caller(), start, Transport::SocketIo).await;
        let opened_at = Instant::now();
        match opened {
            Ok(mut feed) => {
                greet(socket, &feed, failures);
                tokio::select! {
                    () = session.left.cancelled() => return,
                    go_on = send(socket, session, &mut feed) => if !go_on { return },
                }
                start = Start::After(feed.position());
                if opened_at.elapsed() > BACKOFF.most {
                    failures = 0;
                }
            }
            Err(refusal) => {
                tracing::warn!(reason = refusal.reason.as_str(), "a client's inbox could not be read: trying again");
            }
        }
        failures += 1;
        let wait = BACKOFF.wait(failures, u64::from(socket.id().as_str().as_bytes()[0]));
        if tokio::time::timeout(wait, session.left.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// Where the client wants to go on.
fn start(socket: &Socket, cursor: &Value) -> Start {
    match cursor {
        Value::Null if socket.recovered() => noted(socket).map_or(Start::Now, Start::After),
        Value::Null => Start::Now,
        Value::String(text) if text == "acked" => Start::Acknowledged,
        Value::String(text) => Start::parse(Some(text)),
        other => match Start::parse(Some(&other.to_string())) {
            Start::After(seq) => Start::After(seq),
            _ => Start::Unreadable,
        },
    }
}

/// Tells the client where its inbox goes on, and whether what it knew is of any use.
fn greet(socket: &Socket, feed: &InboxFeed, failures: u32) {
    if feed.must_resync() {
        emit(socket, "resync", &json!({ "cursor": feed.head() }));
    }
    if failures == 0 {
        let ready = json!({ "cursor": feed.position(), "head": feed.head(), "acked": feed.acknowledged() });
        emit(socket, "inbox:ready", &ready);
    }
}

/// Sends entries as they come. False when the client is to have no more of them.
async fn send(socket: &Socket, session: &Session, feed: &mut InboxFeed) -> bool {
    let mut note_at = None;
    let draining = feed.draining();
    note(socket, feed.position());
    loop {
        let event = tokio::select! {
            event = feed.next() => event,
            () = session.renewed.notified() => {
                feed.renew(session.caller());
                continue;
            }
            () = time_to_note(note_at, &draining), if note_at.is_some() => {
                note_at = None;
                note(socket, feed.position());
                continue;
            }
        };
        match event {
            FeedEvent::Entries(entries) => {
                for payload in entries.iter().filter_map(|entry| entry.payload()) {
                    socket.emit_local_payload(payload);
                }
                note_at.get_or_insert_with(|| Instant::now() + NOTE_EVERY);
            }
            FeedEvent::Ended(Ended::Unreadable(_)) => return true,
            FeedEvent::Ended(Ended::Stopping) => return false,
            FeedEvent::Ended(Ended::Revoked | Ended::Expired) => {
                guard::end(socket);
                return false;
            }
        }
    }
}

/// Waits for the moment; no longer than until the gateway is about to stop: another one is to know exactly where the client is.
async fn time_to_note(moment: Option<Instant>, draining: &CancellationToken) {
    let moment = moment.unwrap_or_else(Instant::now);
    // It is the time to note either way.
    let _ = tokio::time::timeout_at(moment, draining.cancelled()).await;
}

/// What outlives the connection, in the session.
#[derive(Deserialize)]
struct Noted {
    inbox: u64,
}

fn note(socket: &Socket, position: u64) {
    if let Err(error) = socket.set_data(&json!({ "inbox": position })) {
        tracing::error!(%error, "where a client is could not be noted");
    }
}

fn noted(socket: &Socket) -> Option<u64> {
    serde_json::from_value::<Noted>(socket.data()).ok().map(|noted| noted.inbox)
}

/// How far the client has what it was sent: a cursor, alone or as `{cursor}`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a cursor, 0 or more, or {cursor}")]
pub enum Acknowledged {
    /// Alone.
    Bare(u64),
    /// In an object, as entries have it.
    Named {
        /// The cursor.
        cursor: u64,
    },
}

/// `inbox:ack` cursor: kept for the user, so that a device without a cursor of its own can go on from there.
async fn acknowledge(call: Call<Acknowledged>) {
    call.answer(keep).await;
}

async fn keep(asker: Asker, acknowledged: Acknowledged) -> Result<Value, Refusal> {
    let (Acknowledged::Bare(cursor) | Acknowledged::Named { cursor }) = acknowledged;
    let request = asker.caller.request(AckInboxRequest { cursor })?;
    let kept = call("notification.AckInbox", asker.desk.clients.notification().ack_inbox(request)).await?;
    Ok(json!({ "cursor": kept.acked_seq }))
}

/// Which notification was read.
#[derive(Deserialize)]
#[serde(expecting = "{id}, of a notification")]
pub struct Read {
    #[serde(alias = "notificationId", alias = "notification_id")]
    id: String,
}

/// `notification:mark_read` {id}: the answer is the notification; all devices hear of it through the inbox.
async fn mark_read(call: Call<Read>) {
    call.answer(read).await;
}

async fn read(asker: Asker, read: Read) -> Result<Notification, Refusal> {
    let request = asker.caller.request(MarkReadRequest { notification_id: read.id })?;
    let marked = call("notification.MarkRead", asker.desk.clients.notification().mark_read(request)).await?;
    Notification::try_from(marked).map_err(Into::into)
}

fn emit(socket: &Socket, event: &str, data: &Value) {
    if let Err(error) = socket.emit_local(event, data) {
        tracing::error!(event, %error, "an event could not be encoded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn where_a_client_is_is_noted_each_second_and_at_once_when_the_gateway_is_about_to_stop() {
        let (draining, begun) = (CancellationToken::new(), Instant::now());
        time_to_note(Some(begun + NOTE_EVERY), &draining).await;
        assert_eq!(begun.elapsed(), NOTE_EVERY);
        draining.cancel();
        time_to_note(Some(Instant::now() + NOTE_EVERY), &draining).await;
        assert_eq!(begun.elapsed(), NOTE_EVERY);
    }
}
