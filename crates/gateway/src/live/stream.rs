//! A feed as server-sent events.

use std::time::Duration;

use actix_web::web::Bytes;
use contracts::Refusal;
use futures::Stream;
use observability::RequestContext;
use tokio::time::Instant;

use super::entry::Entry;
use super::feed::{FeedEvent, InboxFeed};
use super::frame;
use super::metrics::{Counted, Transport};
use crate::realtime::drain::Staying;

/// How often an idle stream shows that it lives, by a comment (WHATWG HTML §9.2.7): proxies commonly drop what is silent
/// for 60 s.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The frames of a feed, from `connected` to its end; then the client connects again where it left off. What they cause
/// belongs to the request that opened the feed.
pub fn frames(feed: InboxFeed) -> impl Stream<Item = Result<Bytes, Refusal>> + 'static {
    let stream = EventStream {
        heartbeat_at: Instant::now() + HEARTBEAT,
        greeted: false,
        staying: feed.staying(),
        context: RequestContext::current_or_background(),
        feed,
        _counted: Counted::new(Transport::Sse),
    };
    futures::stream::unfold(stream, |mut stream| async move {
        let context = stream.context.clone();
        let frames = context.scope(stream.next()).await?;
        Some((Ok(frames), stream))
    })
}

struct EventStream {
    feed: InboxFeed,
    greeted: bool,
    heartbeat_at: Instant,
    staying: Staying,
    context: RequestContext,
    _counted: Counted,
}

impl EventStream {
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(self.greeting());
        }
        let event = tokio::select! {
            biased;
            event = self.feed.next() => event,
            () = tokio::time::sleep_until(self.heartbeat_at) => {
                self.heartbeat_at += HEARTBEAT;
                return Some(frame::HEARTBEAT);
            }
            // The client connects again, to a server that stays.
            () = self.staying.turn() => return None,
        };
        match event {
            FeedEvent::Entries(entries) => {
                self.heartbeat_at = Instant::now() + HEARTBEAT;
                Some(render(&entries))
            }
            FeedEvent::Ended(_) => None,
        }
    }

    fn greeting(&self) -> Bytes {
        let (position, head) = (self.feed.position(), self.feed.head());
        let connected = frame::connected(position, head);
        if self.feed.must_resync() { [connected, frame::resync(head)].concat().into() } else { connected }
    }
}

/// In one piece; a single one, as it mostly is, is shared by all streams.
fn render(entries: &[std::sync::Arc<Entry>]) -> Bytes {
    if let [entry] = entries {
        return entry.frame();
    }
    let mut frames = String::new();
    for entry in entries {
        frame::write_entry(&mut frames, &entry.event, entry.seq, &entry.data_json);
    }
    frames.into()
}
