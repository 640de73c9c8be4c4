//! Publishes what the outbox holds: in order, with confirmation, at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use observability::logs::error_chain;
use tokio_util::sync::CancellationToken;

use crate::bus::EventBus;
use crate::outbox::OutboxSource;
use crate::telemetry::{self, Publishing};

/// Most events published in one step.
const BATCH: usize = 128;
/// Looks at the outbox this often even if nobody said that something was appended: a write whose caller went away
/// before it was answered wakes nobody.
const IDLE_POLL: Duration = Duration::from_secs(2);
/// Wait after a failure, so that a broker that is away is not hammered.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// What waits is counted this often.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How long a service that stops may take to publish what its last calls wrote.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes until `stop` is cancelled, and then what is there. One relay per outbox keeps the order of each aggregate.
///
/// An event is taken out of the outbox only after the broker confirmed it; after a crash in between it is published
/// again, which consumers recognise by its id.
pub async fn run(outbox: impl OutboxSource, bus: Arc<dyn EventBus>, stop: CancellationToken) {
    run_looking_every(IDLE_POLL, outbox, bus, stop).await;
}

/// As [`run`], looking at an idle outbox by itself only so often.
pub async fn run_looking_every(
    idle_poll: Duration,
    outbox: impl OutboxSource,
    bus: Arc<dyn EventBus>,
    stop: CancellationToken,
) {
    // Beside each other: while the broker is away, what waits is what operators ask for.
    tokio::select! {
        () = publish_until(&stop, idle_poll, &outbox, bus.as_ref()) => {}
        never = count(&outbox) => match never {},
    }
    let ending = async {
        flush(&outbox, bus.as_ref()).await;
        outbox.close().await;
    };
    if tokio::time::timeout(FLUSH_TIMEOUT, ending).await.is_err() {
        tracing::warn!("the outbox could not be emptied in time; what is left is published after the next start");
    }
}

/// Shows what waits to be published, for ever.
async fn count(outbox: &impl OutboxSource) -> Infallible {
    loop {
        match outbox.backlog().await {
            Ok(backlog) => telemetry::show_backlog(backlog),
            // The relay itself says so.
            Err(error) => tracing::debug!(error = %error_chain(&error), "the outbox can't be counted"),
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}

async fn publish_until(stop: &CancellationToken, idle_poll: Duration, outbox: &impl OutboxSource, bus: &dyn EventBus) {
    while !stop.is_cancelled() {
        let was_all = match publish_batch(outbox, bus).await {
            Ok(published) => outbox.was_all(BATCH, published),
            Err(error) => {
                tracing::warn!(error = %error_chain(error.as_ref()), "outbox could not be published");
                let _ = tokio::time::timeout(RETRY_WAIT, stop.cancelled()).await;
                continue;
            }
        };
        if was_all {
            tokio::select! {
                () = stop.cancelled() => {}
                () = outbox.appended() => {}
                () = tokio::time::sleep(idle_poll) => {}
            }
        }
    }
}

/// Publishes what is there when the service stops, if the broker takes it at once.
async fn flush(outbox: &impl OutboxSource, bus: &dyn EventBus) {
    loop {
        match publish_batch(outbox, bus).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                let error = error_chain(error.as_ref());
                tracing::warn!(error, "what is left in the outbox is published after the next start");
                return;
            }
        }
    }
}

async fn publish_batch(
    outbox: &impl OutboxSource,
    bus: &dyn EventBus,
) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let published = try_publish_batch(outbox, bus).await;
    if published.is_err() {
        telemetry::publishing_failed();
    }
    published
}

async fn try_publish_batch(
    outbox: &impl OutboxSource,
    bus: &dyn EventBus,
) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let pending = outbox.pending(BATCH).await?;
    if pending.is_empty() {
        return Ok(0);
    }
    let (positions, mut events): (Vec<_>, Vec<_>) = pending.into_iter().unzip();
    let publishing = Publishing::begin(&mut events, bus.system());
    match bus.publish(&events).await {
        Ok(()) => publishing.done(&events),
        Err(error) => {
            publishing.failed(&error_chain(&error));
            return Err(error.into());
        }
    }
    outbox.mark_published(positions).await?;
    Ok(events.len())
}
