//! What was revoked before this process started. The bus tells what comes after: its queue was declared before. Should the
//! bus have missed something, the list is read again.

use std::sync::Arc;
use std::time::Duration;

use contracts::grpc::users::{ListRevocationsRequest, Revocation};
use contracts::{IdGenerator, Refusal, Timestamp};
use observability::RequestContext;
use service_kit::backoff::Backoff;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::hub::LiveMessage;
use super::{RealtimeHub, Revocations};
use crate::clients::{Clients, call};
use crate::realtime::{Desk, guard};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_secs(2) };

/// Loads the list, and fills it up again.
#[derive(Clone)]
pub struct RevocationLoader {
    /// Where users are asked.
    pub clients: Clients,
    /// The list.
    pub revocations: Arc<Revocations>,
    /// Who learns that more may be revoked than was told.
    pub hub: Arc<dyn RealtimeHub>,
    /// Asks for the list to be read again.
    pub reload: Arc<Notify>,
    /// Who is connected over Socket.IO, and learns it too.
    pub desk: Desk,
    /// For jitter.
    pub ids: Arc<dyn IdGenerator>,
}

impl RevocationLoader {
    /// Loads the list, and again whenever asked to, until `stop` is cancelled. What is known goes on to hold meanwhile.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            load(&self.clients, &self.revocations, self.ids.as_ref(), &stop).await;
            self.hub.tell_all(&LiveMessage::AccessChanged);
            guard::access_of_all_changed(&self.desk);
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.reload.notified() => {}
            }
        }
    }
}

/// Asks users until it answers or `stop` is cancelled.
async fn load(clients: &Clients, revocations: &Revocations, ids: &dyn IdGenerator, stop: &CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        match RequestContext::background().scope(load_once(clients, revocations)).await {
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
