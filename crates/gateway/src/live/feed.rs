//! One client's view of its inbox, whatever the transport: what it missed from the store, then what happens as it happens.
//!
//! A feed listens to the hub before it reads the store, hands out an entry only if it is the next one, and reads the store
//! again whenever it is not: no gap and no duplicate, whatever the bus delivers late, twice or not at all.

use std::sync::Arc;

use contracts::grpc::notification::{ListInboxRequest, ListInboxResponse};
use contracts::{Clock, Refusal};
use futures::FutureExt as _;
use observability::trace::{KeyValue, SpanKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::entry::Entry;
use super::hub::{Heard, LiveMessage, RealtimeHub, Subscription};
use super::metrics::{self, Transport};
use crate::clients::{Clients, call};
use crate::extract::{Access, Caller};
use crate::realtime::drain::{Departures, Staying};

/// The most entries handed out at once.
pub const PAGE: u32 = 100;
/// Positions are below this, within what every store can compare.
const BEYOND: u64 = i64::MAX as u64;

/// Where a client wants its feed to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// With the entries after this one.
    After(u64),
    /// With the entries after the last one that any device of the user has acknowledged.
    Acknowledged,
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

/// What feeds need.
pub struct Live {
    /// Tells of new entries.
    pub hub: Arc<dyn RealtimeHub>,
    /// Reads the inbox.
    pub clients: Clients,
    /// Says whether a token still counts.
    pub access: Arc<Access>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// This gateway is about to stop: who waits for a single answer gets it now.
    pub draining: CancellationToken,
    /// Has streams end one after the other.
    pub departures: Arc<Departures>,
    /// Ends all feeds.
    pub stop: CancellationToken,
}

impl Live {
    /// Opens a feed of the caller's inbox. `transport` is the label under which its entries are counted.
    ///
    /// # Errors
    /// When the inbox can't be read.
    pub async fn open(
        self: &Arc<Self>,
        caller: Caller,
        start: Start,
        transport: Transport,
    ) -> Result<InboxFeed, Refusal> {
        let subscription = self.hub.subscribe(caller.id());
        // Without a cursor only the head is of interest.
        let (after, limit) = if let Start::After(seq) = start { (seq, PAGE) } else { (0, 1) };
        let page = self.read(&caller, after, limit).await?;
        let head = page.head_seq;
        let (position, resync) = match start {
            Start::After(seq) if seq <= head && !begins_after_a_gap(&page, seq) => (seq, false),
            Start::Now => (head, false),
            Start::Acknowledged => (page.acked_seq.min(head), false),
            Start::After(_) | Start::Unreadable => (head, true),
        };
        let acked = page.acked_seq;
        // Only what was asked for from its place: the first page of another question is of no use.
        let ready = if matches!(start, Start::After(_)) { fresh(page, position) } else { Vec::new() };
        Ok(InboxFeed {
            live: Arc::clone(self),
            transport,
            expires_at: self.expiry(&caller),
            caller,
            subscription,
            head,
            acked,
            resync,
            position,
            behind: ready.last().map_or(position, |entry| entry.seq) < head,
            ready,
        })
    }

    async fn read(&self, caller: &Caller, after_seq: u64, limit: u32) -> Result<ListInboxResponse, Refusal> {
        let request = caller.request(ListInboxRequest { user_id: caller.id().to_string(), after_seq, limit })?;
        call("notification.ListInbox", self.clients.notification().list_inbox(request)).await
    }

    fn expiry(&self, caller: &Caller) -> Instant {
        Instant::now() + caller.user().expires_at.since(self.clock.now())
    }
}

/// What a feed has to say.
#[derive(Debug)]
pub enum FeedEvent {
    /// The next entries, in order and without a gap: at least one, at most [`PAGE`].
    Entries(Vec<Arc<Entry>>),
    /// Nothing more will come. The client may open another feed where this one ended.
    Ended(Ended),
}

/// Why a feed ended.
#[derive(Debug)]
pub enum Ended {
    /// The process stops, or its hub did.
    Stopping,
    /// The token counts no more.
    Revoked,
    /// The token has expired.
    Expired,
    /// The inbox could not be read.
    Unreadable(Refusal),
}

/// See the module. Dropping it ends the listening.
pub struct InboxFeed {
    live: Arc<Live>,
    transport: Transport,
    caller: Caller,
    subscription: Subscription,
    head: u64,
    acked: u64,
    resync: bool,
    /// The last entry handed out, or where the feed began.
    position: u64,
    /// Whether the store may have entries after those known that the hub will not tell of.
    behind: bool,
    /// Read when the feed was opened, not yet handed out.
    ready: Vec<Arc<Entry>>,
    expires_at: Instant,
}

/// What came of a turn.
enum Step {
    GoOn,
    HandOut(Vec<Arc<Entry>>),
    End(Ended),
}

impl InboxFeed {
    /// The newest position there was when the feed was opened.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The highest position that any device of the user had acknowledged when the feed was opened; 0 for none.
    pub fn acknowledged(&self) -> u64 {
        self.acked
    }

    /// This gateway is about to stop.
    pub fn draining(&self) -> CancellationToken {
        self.live.draining.clone()
    }

    /// Counts a stream of this feed among those that end one after the other.
    pub fn staying(&self) -> Staying {
        Staying::at(&self.live.departures)
    }

    /// Whether the cursor asked for can't be resumed from: the client must read its state anew. The feed goes on from
    /// [`InboxFeed::head`].
    pub fn must_resync(&self) -> bool {
        self.resync
    }

    /// The last entry handed out, or where the feed began: the cursor to resume by.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whose inbox it is, and by which token.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Goes on with a newer token of the same user.
    pub fn renew(&mut self, caller: Caller) {
        debug_assert_eq!(caller.id(), self.caller.id(), "a feed is of one user's inbox");
        self.expires_at = self.live.expiry(&caller);
        self.caller = caller;
    }

    /// Waits for the next entries, or for the end. May be given up at any time: nothing is lost.
    pub async fn next(&mut self) -> FeedEvent {
        loop {
            if let Some(why) = self.over() {
                return FeedEvent::Ended(why);
            }
            let step = if !self.ready.is_empty() {
                Step::HandOut(std::mem::take(&mut self.ready))
            } else if self.behind {
                self.catch_up().await
            } else {
                self.listen().await
            };
            match step {
                Step::GoOn => {}
                Step::HandOut(entries) => return self.hand_out(entries),
                Step::End(why) => return FeedEvent::Ended(why),
            }
        }
    }

    fn over(&self) -> Option<Ended> {
        if self.live.stop.is_cancelled() {
            Some(Ended::Stopping)
        } else if self.live.access.is_revoked(self.caller.user()) {
            Some(Ended::Revoked)
        } else if Instant::now() >= self.expires_at {
            Some(Ended::Expired)
        } else {
            None
        }
    }

    /// Everything between a wait and this is done without another: whoever gives the wait up loses nothing.
    fn hand_out(&mut self, entries: Vec<Arc<Entry>>) -> FeedEvent {
        // The token may have been revoked during the wait.
        if let Some(why) = self.over() {
            return FeedEvent::Ended(why);
        }
        self.position = entries.last().map_or(self.position, |entry| entry.seq);
        metrics::count_pushed(self.transport, entries.len() as u64);
        for entry in &entries {
            end_trace(self.transport, entry);
        }
        FeedEvent::Entries(entries)
    }

    /// A page of what the store has.
    async fn catch_up(&mut self) -> Step {
        let page = match self.live.read(&self.caller, self.position, PAGE).await {
            Ok(page) => page,
            Err(refusal) => {
                tracing::warn!(reason = refusal.reason.as_str(), "a feed ended because its inbox could not be read");
                return Step::End(Ended::Unreadable(refusal));
            }
        };
        let head = page.head_seq;
        let entries = fresh(page, self.position);
        // A page without anything new ends the catching up, whatever the head says: it must not go round for ever.
        self.behind = entries.last().is_some_and(|entry| entry.seq < head);
        if entries.is_empty() { Step::GoOn } else { Step::HandOut(entries) }
    }

    /// Waits for something to happen, and takes along what has happened meanwhile.
    async fn listen(&mut self) -> Step {
        let first = tokio::select! {
            biased;
            () = self.live.stop.cancelled() => return Step::End(Ended::Stopping),
            heard = self.subscription.next() => heard,
            () = tokio::time::sleep_until(self.expires_at) => return Step::End(Ended::Expired),
        };
        let mut entries = Vec::new();
        let mut heard = first;
        loop {
            match heard {
                None => return Step::End(Ended::Stopping),
                Some(heard) => self.hear(heard, &mut entries),
            }
            if self.behind || entries.len() >= PAGE as usize {
                break;
            }
            match self.subscription.next().now_or_never() {
                Some(more) => heard = more,
                None => break,
            }
        }
        if entries.is_empty() { Step::GoOn } else { Step::HandOut(entries) }
    }

    fn hear(&mut self, heard: Heard, entries: &mut Vec<Arc<Entry>>) {
        let known = entries.last().map_or(self.position, |entry: &Arc<Entry>| entry.seq);
        match heard {
            Heard::Message(LiveMessage::Entry(entry)) if entry.seq <= known => {}
            Heard::Message(LiveMessage::Entry(entry)) if entry.seq == known + 1 => entries.push(entry),
            Heard::Message(LiveMessage::Entry(_) | LiveMessage::Missed) | Heard::Lagged => self.behind = true,
            // Looked at before anything is handed out.
            Heard::Message(LiveMessage::AccessChanged) => {}
        }
    }
}

/// Whether entries after a position are gone. Inboxes keep all of theirs (crates/notification), so a cursor is too old only
/// if someone took entries out of a store by hand; the client is told all the same.
fn begins_after_a_gap(page: &ListInboxResponse, position: u64) -> bool {
    page.items.first().is_some_and(|entry| entry.seq > position + 1)
}

/// Those entries of a page that come after a position.
fn fresh(page: ListInboxResponse, mut position: u64) -> Vec<Arc<Entry>> {
    let mut fresh = Vec::new();
    for entry in page.items {
        if entry.seq > position {
            position = entry.seq;
            fresh.push(Entry::stored(entry));
        }
    }
    fresh
}

/// The last span of what the request caused: the entry goes out over a connection, which is on nobody's way.
fn end_trace(transport: Transport, entry: &Entry) {
    let span = entry.cause.as_ref().and_then(|cause| {
        cause.child(SpanKind::Producer, "push inbox entry", || {
            vec![
                KeyValue::new("realtime.transport", transport.label()),
                KeyValue::new("inbox.cursor", i64::try_from(entry.seq).unwrap_or(i64::MAX)),
            ]
        })
    });
    drop(span);
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
