//! What was revoked before this process started. The bus tells what comes after: its queue was declared before.

use std::sync::Arc;
use std::time::Duration;

use contracts::grpc::users::{ListRevocationsRequest, Revocation};
use contracts::{IdGenerator, Refusal, Timestamp};
use observability::RequestContext;
use service_kit::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use super::Revocations;
use crate::clients::{Clients, call};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_secs(2) };

/// Asks users until it answers or `stop` is cancelled.
pub async fn load(clients: Clients, revocations: Arc<Revocations>, ids: Arc<dyn IdGenerator>, stop: CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        match RequestContext::background().scope(load_once(&clients, &revocations)).await {
            Ok(count) => {
                revocations.mark_loaded();
                tracing::debug!(count, "revoked tokens loaded");
                return;
            }
            Err(refusal) => {
                failures += 1;
                tracing::warn!(failures, reason = refusal.reason.as_str(), "revoked tokens could not be loaded yet");
                let wait = BACKOFF.wait(failures, ids.new_uuid().as_u64_pair().1);
                let _ = tokio::time::timeout(wait, stop.cancelled()).await;
            }
        }
    }
}

async fn load_once(clients: &Clients, revocations: &Revocations) -> Result<usize, Refusal> {
    let mut users = clients.users();
    let list = call("users.ListRevocations", users.list_revocations(ListRevocationsRequest {})).await?.items;
    for item in &list {
        apply(revocations, item);
    }
    Ok(list.len())
}

fn apply(revocations: &Revocations, item: &Revocation) {
    let session = item.session_id.as_deref().map(str::parse);
    match (item.user_id.parse(), session.transpose()) {
        (Ok(user), Ok(session)) => {
            revocations.revoke(user, session, Timestamp::from_unix_ms(item.not_before_unix_ms));
        }
        _ => tracing::error!(user.id = item.user_id, "users listed a revocation that names no user or session"),
    }
}
