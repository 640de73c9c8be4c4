//! Sessions in Redis: who holds one writes it, and who claims it takes it over by comparing what is there.
//!
//! A session's first characters say who holds it and since which claim (see [`super::wire::session`]); every write by
//! its holder compares them, so that a session that was claimed elsewhere is never overwritten.

mod claims;
mod missed;
mod table;
mod writer;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};

use self::table::{Held, State, Table};
pub(super) use self::writer::{keep_alive, write};
use super::{Shared, Space};
use crate::{
    Offset, Room,
    adapter::AdapterError,
    recovery::{Claim, Claimed, Missed, NotRecovered, RecoveryOptions, Session, Sessions},
};

/// Longest wait for a session to be written, for those who wait for it.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

/// The sessions that this node holds, and the way to the others.
pub(super) struct RedisSessions {
    /// For the tasks that calls begin.
    this: std::sync::Weak<Self>,
    shared: Arc<Shared>,
    options: RecoveryOptions,
    table: Mutex<Table>,
    changed: Notify,
    settled: Notify,
}

impl RedisSessions {
    pub(super) fn new(shared: Arc<Shared>, options: RecoveryOptions) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            shared,
            options,
            table: Mutex::default(),
            changed: Notify::new(),
            settled: Notify::new(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn this(&self) -> Arc<Self> {
        self.this.upgrade().expect("who calls it has it")
    }

    /// Changes the held session, if it is held and the change applies, and has it written.
    fn change(&self, pid: &str, change: impl FnOnce(&mut Held) -> bool) {
        let mut table = self.table();
        if table.change(pid, change) {
            drop(table);
            self.changed.notify_one();
        }
    }

    /// Another node took the session over.
    pub(super) fn taken_over(&self, namespace: &str, pid: &str, epoch: u64) {
        let mut table = self.table();
        if table.held(namespace, pid).is_some_and(|held| held.session.epoch < epoch) {
            table.remove(pid);
        }
        self.shared.counters.sessions.set(table.len());
        drop(table);
        self.shared.counters.superseded.add(1);
        self.shared.node().superseded(namespace, pid, epoch);
    }

    /// Waits until nothing waits to be written.
    pub(super) async fn written(&self) {
        loop {
            let settled = self.settled.notified();
            if self.table().is_settled() {
                return;
            }
            settled.await;
        }
    }

    /// Waits until what this node has to write of this session is written.
    async fn written_of(&self, namespace: &str, pid: &str) -> Result<(), AdapterError> {
        let receiver = {
            let mut table = self.table();
            match table.held(namespace, pid) {
                Some(held) if !held.is_written() => {
                    let (waiting, receiver) = oneshot::channel();
                    held.waiting.push(waiting);
                    receiver
                }
                _ => return Ok(()),
            }
        };
        wait_for(receiver).await
    }
}

async fn wait_for(written: oneshot::Receiver<Result<(), AdapterError>>) -> Result<(), AdapterError> {
    match timeout(WRITE_TIMEOUT, written).await {
        Ok(Ok(result)) => result,
        // It was replaced by a later claim on this node.
        Ok(Err(_)) => Err(AdapterError::Unavailable("another connection claimed the session".to_owned())),
        Err(_) => Err(AdapterError::Unavailable("the session is not written yet".to_owned())),
    }
}

impl Sessions for RedisSessions {
    fn position(&self, namespace: &str) -> Offset {
        self.shared.space(namespace).map_or(Offset::ZERO, |space| space.lane.position())
    }

    fn begin(&self, namespace: &str, session: Session) -> BoxFuture<'static, Result<(), AdapterError>> {
        let space = self.shared.open(namespace);
        let (waiting, written) = oneshot::channel();
        let pid = session.pid.clone();
        {
            let mut table = self.table();
            let mut held = Held::new(space, session);
            held.waiting.push(waiting);
            table.hold(held);
            table.change(&pid, |_| true);
            self.shared.counters.sessions.set(table.len());
        }
        self.changed.notify_one();
        self.shared.ask(wait_for(written))
    }

    fn update(&self, namespace: &str, session: Session) {
        let pid = session.pid.clone();
        let epoch = self.table().held(namespace, &pid).map(|held| held.session.epoch);
        match epoch {
            Some(epoch) if epoch > session.epoch => self.shared.node().superseded(namespace, &pid, epoch),
            Some(_) => self.change(&pid, |held| {
                let applies = held.session.epoch == session.epoch && !matches!(held.state, State::Ended { .. });
                if applies {
                    held.session = session;
                }
                applies
            }),
            None => {}
        }
    }

    fn detach(&self, namespace: &str, pid: &str, epoch: u64) {
        let until = Instant::now() + self.options.max_disconnection;
        self.change(pid, |held| {
            let applies =
                &*held.space.name == namespace && held.session.epoch == epoch && matches!(held.state, State::Attached);
            if applies {
                held.state = State::Detached { until };
            }
            applies
        });
    }

    fn end(&self, namespace: &str, pid: &str, epoch: u64) {
        let until = Instant::now() + self.options.lifetime();
        let space = self.shared.open(namespace);
        {
            let mut table = self.table();
            if table.held(namespace, pid).is_none() {
                // It may have been written and let go when its socket lost its connection.
                table.hold(Held::unknown(space, pid, epoch));
            }
        }
        self.change(pid, |held| {
            let applies = &*held.space.name == namespace && held.session.epoch <= epoch;
            if applies {
                held.state = State::Ended { until };
            }
            applies
        });
    }

    fn claim(&self, namespace: &str, claim: Claim) -> BoxFuture<'static, Result<Claimed, NotRecovered>> {
        let (this, space) = (self.this(), self.shared.open(namespace));
        self.recovered(async move { claims::claim(&this, &space, claim).await })
    }

    fn missed(
        &self,
        namespace: &str,
        rooms: Vec<Room>,
        from: Offset,
    ) -> BoxFuture<'static, Result<Missed, NotRecovered>> {
        let (shared, space) = (Arc::clone(&self.shared), self.shared.open(namespace));
        self.recovered(async move { missed::missed(&shared, &space, &rooms, from).await })
    }
}

impl RedisSessions {
    /// Does it on the adapter's thread.
    fn recovered<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, NotRecovered>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, NotRecovered>> {
        let work = self.shared.ask(async move { Ok(work.await) });
        async move { work.await? }.boxed()
    }
}
