//! One client's view of its inbox: what it missed from the store, then what happens as it happens.
//!
//! The stream listens to the hub before it reads the store, shows an entry only if it is the next one, and reads the
//! store again whenever it is not: no gap and no duplicate, whatever the bus delivers late, twice or not at all.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use contracts::grpc::notification::{InboxEntry, ListInboxRequest, ListInboxResponse};
use contracts::{Clock, Refusal};
use futures::Stream;
use observability::RequestContext;
use observability::metrics::ACTIVE_CONNECTIONS;
use observability::trace::{KeyValue, SpanKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hub::{Heard, LiveMessage, RealtimeHub, Subscription};
use super::{frame, metrics};
use crate::clients::{Clients, call};
use crate::extract::{Access, Caller};

/// How often an idle stream shows that it lives, by a comment (WHATWG HTML §9.2.7): proxies commonly drop what is silent
/// for 60 s.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Entries read at once.
const PAGE: u32 = 100;
/// Positions are below this, within what every store can compare.
const BEYOND: u64 = i64::MAX as u64;

/// Where a client wants its stream to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// With the entries after this one.
    After(u64),
    /// With a cursor that is none.
    Unreadable,
}

impl Start {
    /// Reads a cursor as a client sent it; an empty one is none, as browsers reset it (WHATWG HTML §9.2.6).
    pub fn parse(cursor: Option<&str>) -> Self {
        match cursor.map(str::trim) {
            None | Some("") => Self::Now,
            // Digits only: `+7` parses as a number, but no cursor of ours looks like that.
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok().filter(|seq| *seq < BEYOND).map_or(Self::Unreadable, Self::After)
            }
            Some(_) => Self::Unreadable,
        }
    }
}

/// What streams need.
pub struct Live {
    /// Tells of new entries.
    pub hub: Arc<dyn RealtimeHub>,
    /// Reads the inbox.
    pub clients: Clients,
    /// Says whether a token still counts.
    pub access: Arc<Access>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Ends all streams.
    pub stop: CancellationToken,
}

impl Live {
    /// Opens a stream.
    ///
    /// # Errors
    /// When the inbox can't be read.
    pub async fn open(
        self: &Arc<Self>,
        caller: Caller,
        start: Start,
    ) -> Result<impl Stream<Item = Result<Bytes, Refusal>> + 'static, Refusal> {
        let subscription = self.hub.subscribe(caller.id());
        // Without a cursor only the head is of interest.
        let (after, limit) = if let Start::After(seq) = start { (seq, PAGE) } else { (0, 1) };
        let page = self.read(&caller, after, limit).await?;
        let head = page.head_seq;
        let (position, resync) = match start {
            Start::After(seq) if seq <= head => (seq, false),
            Start::Now => (head, false),
            Start::After(_) | Start::Unreadable => (head, true),
        };
        let mut first = Vec::from(frame::connected(position, head));
        if resync {
            first.extend_from_slice(&frame::resync(head));
        }
        let now = Instant::now();
        let mut stream = InboxStream {
            live: Arc::clone(self),
            expires_at: now + caller.user().expires_at.since(self.clock.now()),
            heartbeat_at: now + HEARTBEAT,
            caller,
            subscription,
            position,
            behind: position < head,
            ready: None,
            context: RequestContext::current_or_background(),
            _counted: Counted::new(),
        };
        if let Some(entries) = stream.show(page.items) {
            first.extend_from_slice(&entries);
        }
        stream.behind = stream.position < head;
        stream.ready = Some(first.into());
        Ok(futures::stream::unfold(stream, |mut stream| async move {
            let context = stream.context.clone();
            let frames = context.scope(stream.next()).await?;
            Some((Ok(frames), stream))
        }))
    }

    async fn read(&self, caller: &Caller, after_seq: u64, limit: u32) -> Result<ListInboxResponse, Refusal> {
        let request = caller.request(ListInboxRequest { user_id: caller.id().to_string(), after_seq, limit })?;
        call("notification.ListInbox", self.clients.notification().list_inbox(request)).await
    }
}

/// What came of a turn.
enum Step {
    /// Frames for the client.
    Send(Bytes),
    /// Nothing to show.
    GoOn,
    /// No more of this stream.
    End,
}

struct InboxStream {
    live: Arc<Live>,
    caller: Caller,
    subscription: Subscription,
    /// The last entry shown, or where the stream began.
    position: u64,
    /// Whether the store may have entries after `position` that the hub will not tell of.
    behind: bool,
    /// Frames made but not yet sent.
    ready: Option<Bytes>,
    expires_at: Instant,
    heartbeat_at: Instant,
    context: RequestContext,
    _counted: Counted,
}

impl InboxStream {
    /// The next frames; `None` ends the stream, and the client connects again where it left off.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(frames) = self.ready.take() {
            return Some(frames);
        }
        loop {
            if self.live.stop.is_cancelled() || self.live.access.is_revoked(self.caller.user()) {
                return None;
            }
            match if self.behind { self.catch_up().await } else { self.listen().await } {
                Step::Send(frames) => {
                    self.heartbeat_at = Instant::now() + HEARTBEAT;
                    return Some(frames);
                }
                Step::GoOn => {}
                Step::End => return None,
            }
        }
    }

    /// Shows a page of what the store has.
    async fn catch_up(&mut self) -> Step {
        let page = match self.live.read(&self.caller, self.position, PAGE).await {
            Ok(page) => page,
            Err(refusal) => {
                tracing::warn!(reason = refusal.reason.as_str(), "a stream ended because its inbox could not be read");
                return Step::End;
            }
        };
        let shown = self.show(page.items);
        // A page without anything new ends the catching up, whatever the head says: it must not go round for ever.
        self.behind = shown.is_some() && self.position < page.head_seq;
        shown.map_or(Step::GoOn, Step::Send)
    }

    /// Waits for something to happen.
    async fn listen(&mut self) -> Step {
        tokio::select! {
            biased;
            () = self.live.stop.cancelled() => Step::End,
            heard = self.subscription.next() => heard.map_or(Step::End, |heard| self.hear(heard)),
            () = tokio::time::sleep_until(self.heartbeat_at.min(self.expires_at)) => {
                if Instant::now() < self.expires_at { Step::Send(frame::HEARTBEAT) } else { Step::End }
            }
        }
    }

    fn hear(&mut self, heard: Heard) -> Step {
        match heard {
            Heard::Message(LiveMessage::Entry { seq, .. }) if seq <= self.position => {}
            Heard::Message(LiveMessage::Entry { seq, frame, cause }) if seq == self.position + 1 => {
                self.position = seq;
                metrics::count_pushed(metrics::SSE, 1);
                end_trace(cause.as_ref(), seq);
                return Step::Send(frame);
            }
            Heard::Message(LiveMessage::Entry { .. } | LiveMessage::Missed) | Heard::Lagged => self.behind = true,
            // Looked at before the next wait.
            Heard::Message(LiveMessage::AccessChanged) => {}
        }
        Step::GoOn
    }

    /// The frames of those entries that come after the position, in one piece.
    fn show(&mut self, entries: Vec<InboxEntry>) -> Option<Bytes> {
        let mut frames = String::new();
        let mut shown = 0;
        for entry in entries {
            if entry.seq > self.position {
                frame::write_entry(&mut frames, &entry.event, entry.seq, &entry.data_json);
                self.position = entry.seq;
                shown += 1;
            }
        }
        metrics::count_pushed(metrics::SSE, shown);
        (!frames.is_empty()).then(|| frames.into())
    }
}

/// The last span of what the request caused: the entry goes out over a connection, which is on nobody's way.
fn end_trace(cause: Option<&RequestContext>, seq: u64) {
    let span = cause.and_then(|cause| {
        cause.child(SpanKind::Producer, "push inbox entry", || {
            vec![
                KeyValue::new("realtime.transport", metrics::SSE),
                KeyValue::new("inbox.cursor", i64::try_from(seq).unwrap_or(i64::MAX)),
            ]
        })
    });
    drop(span);
}

/// Counts an open stream for as long as it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        ACTIVE_CONNECTIONS.with_label_values(&[metrics::SSE]).inc();
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ACTIVE_CONNECTIONS.with_label_values(&[metrics::SSE]).dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_digits_that_a_position_can_be() {
        for (text, start) in [
            (None, Start::Now),
            (Some(""), Start::Now),
            (Some("0"), Start::After(0)),
            (Some("17"), Start::After(17)),
            (Some("+1"), Start::Unreadable),
            (Some("-1"), Start::Unreadable),
            (Some("abc"), Start::Unreadable),
            (Some("9223372036854775807"), Start::Unreadable),
            (Some("99999999999999999999999"), Start::Unreadable),
        ] {
            assert_eq!(Start::parse(text), start, "{text:?}");
        }
    }
}
