//! Empties a server little by little, so that its clients don't reach the others all at once.

use std::{
    collections::HashSet,
    future::Future,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt as _, seq::SliceRandom as _};

use crate::{engine::conn::Conn, hub::Hub, worker::Op};

/// Connections are closed in batches, one about as often as this.
const PAUSE: Duration = Duration::from_millis(100);
/// How often to look whether the clients know.
const LOOK: Duration = Duration::from_millis(10);

/// See [`crate::SocketIo::drain`].
pub(crate) fn run(hub: &Arc<Hub>, per_second: NonZeroU32) -> impl Future<Output = ()> + Send + use<> {
    hub.begin_draining();
    let draining = Draining { hub: hub.clone(), done: false };
    async move {
        let mut closing = Closing::default();
        let mut budget = Budget::new(per_second);
        loop {
            // Again, as there may be some that were about to come when this began.
            let mut left = closing.others(&draining.hub);
            if left.is_empty() {
                break;
            }
            left.shuffle(&mut rand::rng());
            while !left.is_empty() {
                tokio::time::sleep(jittered(PAUSE)).await;
                let count = budget.take().min(left.len());
                for conn in left.drain(..count) {
                    closing.add(conn);
                }
            }
        }
        closing.all_told(draining.hub.config.ping_timeout).await;
        draining.done();
    }
}

/// Between a half and one and a half of it: the nodes of a cluster don't keep step.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// New connections are refused while it is there, and afterwards if it was done.
struct Draining {
    hub: Arc<Hub>,
    done: bool,
}

impl Draining {
    fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        if !self.done {
            self.hub.cancel_draining();
        }
    }
}

/// How many connections may be closed now.
struct Budget {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    fn new(per_second: NonZeroU32) -> Self {
        Self { per_second: per_second.get().into(), left: 0.0, at: Instant::now() }
    }

    fn take(&mut self) -> usize {
        let now = Instant::now();
        // What was not done while the process did not run is not made up for.
        let passed = (now - self.at).min(2 * PAUSE);
        self.at = now;
        self.left += self.per_second * passed.as_secs_f64();
        let count = self.left.floor();
        self.left -= count;
        count as usize
    }
}

/// Connections that were told to close, and have not told their clients.
#[derive(Default)]
struct Closing(Vec<Arc<Conn>>);

impl Closing {
    /// Has the worker that holds it close the connection, after all that was sent to it before.
    fn add(&mut self, conn: Arc<Conn>) {
        conn.hub.post(&conn, Op::Drain(conn.clone()));
        self.0.push(conn);
    }

    /// The open connections that are not among these.
    fn others(&mut self, hub: &Hub) -> Vec<Arc<Conn>> {
        self.0.retain(|conn| !conn.is_over());
        let known: HashSet<_> = self.0.iter().map(|conn| conn.id).collect();
        let mut open = hub.connections();
        open.retain(|conn| !conn.is_closed() && !known.contains(&conn.id));
        open
    }

    async fn all_told(mut self, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            self.0.retain(|conn| !conn.is_over());
            if self.0.is_empty() || Instant::now() >= until {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
