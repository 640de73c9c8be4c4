//! Drives the release of holds that ran out.

use std::sync::Arc;
use std::time::Duration;

use observability::RequestContext;
use observability::logs::error_chain;
use tokio_util::sync::CancellationToken;

use crate::application::Inventory;

/// Wait after the store failed.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Releases holds as they run out, until `stop` is cancelled. Sleeps in between.
pub async fn run(inventory: Arc<Inventory>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let sweep = RequestContext::background().scope(inventory.release_expired_and_wait());
        let result = tokio::select! {
            () = stop.cancelled() => return,
            result = sweep => result,
        };
        if let Err(error) = result {
            tracing::warn!(error = %error_chain(&error), "holds that ran out could not be released, trying again");
            let _ = tokio::time::timeout(RETRY_WAIT, stop.cancelled()).await;
        }
    }
}
