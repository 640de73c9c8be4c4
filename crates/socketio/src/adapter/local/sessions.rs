//! Sessions of one process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ahash::AHashMap;
use futures::future::{BoxFuture, FutureExt as _, ready};

use super::{Recovery, Shared};
use crate::{
    Offset, Room,
    adapter::{AdapterError, target::Rooms},
    recovery::{Claim, Claimed, Missed, NotRecovered, Session, Sessions},
};

pub(super) struct LocalSessions {
    shared: Arc<Shared>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: AHashMap<String, Entry>,
    /// When which session may have expired, soonest first: all wait equally long.
    expiring: VecDeque<(u64, String)>,
}

struct Entry {
    namespace: Box<str>,
    session: Session,
    /// Set while it waits for its client.
    expires_ms: Option<u64>,
}

impl LocalSessions {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, table: Mutex::default() }
    }

    fn recovery(&self) -> &Recovery {
        self.shared.recovery.as_ref().expect("sessions are made with recovery only")
    }

    /// The sessions that live now.
    fn table(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.expire(self.recovery().clock.unix_ms());
        table
    }

    fn take_over(&self, namespace: &str, claim: &Claim) -> Result<Claimed, NotRecovered> {
        let mut table = self.table();
        let entry = table.find(namespace, &claim.pid).ok_or(NotRecovered::UnknownSession)?;
        if entry.session.user != claim.user {
            return Err(NotRecovered::OtherUser);
        }
        let from = claim.offset_since(entry.session.start)?;
        self.shared.stream(namespace).lock().as_ref().map_or(Ok(()), |history| history.check(from))?;
        entry.session.epoch += 1;
        entry.expires_ms = None;
        Ok(Claimed { session: entry.session.clone(), from })
    }

    fn read(&self, namespace: &str, rooms: &[Room], from: Offset) -> Result<Missed, NotRecovered> {
        let kept =
            self.shared.stream(namespace).lock().as_ref().map_or(Ok(Vec::new()), |history| history.after(from))?;
        // Sorted out only after the stream goes on for the others.
        let rooms = Rooms::new(rooms);
        let meant = kept.iter().filter(|kept| rooms.are_meant_by(&kept.broadcast.target));
        Ok(Missed {
            up_to: kept.last().map_or(from, |last| last.offset),
            events: meant.map(|kept| (kept.offset, kept.broadcast.payload.clone())).collect(),
        })
    }
}

impl Table {
    fn find(&mut self, namespace: &str, pid: &str) -> Option<&mut Entry> {
        self.entries.get_mut(pid).filter(|entry| &*entry.namespace == namespace)
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some((_, pid)) = self.expiring.pop_front_if(|(at_ms, _)| *at_ms <= now_ms) {
            // It may have been claimed since, or have ended.
            if self.entries.get(&pid).and_then(|entry| entry.expires_ms).is_some_and(|at_ms| at_ms <= now_ms) {
                self.entries.remove(&pid);
            }
        }
    }
}

impl Sessions for LocalSessions {
    fn position(&self, namespace: &str) -> Offset {
        self.shared.stream(namespace).position()
    }

    fn begin(&self, namespace: &str, session: Session) -> BoxFuture<'static, Result<(), AdapterError>> {
        let entry = Entry { namespace: namespace.into(), session, expires_ms: None };
        self.table().entries.insert(entry.session.pid.clone(), entry);
        ready(Ok(())).boxed()
    }

    fn update(&self, namespace: &str, session: Session) {
        let mut table = self.table();
        let Some(entry) = table.find(namespace, &session.pid) else { return };
        let epoch = entry.session.epoch;
        if epoch > session.epoch {
            drop(table);
            self.shared.node().superseded(namespace, &session.pid, epoch);
        } else {
            entry.session = session;
        }
    }

    fn detach(&self, namespace: &str, pid: &str, epoch: u64) {
        let Recovery { options, clock, .. } = self.recovery();
        let expires_ms = clock.unix_ms() + options.max_disconnection.as_millis() as u64;
        let mut table = self.table();
        if let Some(entry) = table.find(namespace, pid)
            && entry.session.epoch == epoch
            && entry.expires_ms.is_none()
        {
            entry.expires_ms = Some(expires_ms);
            table.expiring.push_back((expires_ms, pid.to_owned()));
        }
    }

    fn end(&self, namespace: &str, pid: &str, epoch: u64) {
        let mut table = self.table();
        if table.find(namespace, pid).is_some_and(|entry| entry.session.epoch <= epoch) {
            table.entries.remove(pid);
        }
    }

    fn claim(&self, namespace: &str, claim: Claim) -> BoxFuture<'static, Result<Claimed, NotRecovered>> {
        let claimed = self.take_over(namespace, &claim);
        if let Ok(Claimed { session, .. }) = &claimed {
            self.shared.node().superseded(namespace, &session.pid, session.epoch);
        }
        ready(claimed).boxed()
    }

    fn missed(
        &self,
        namespace: &str,
        rooms: Vec<Room>,
        from: Offset,
    ) -> BoxFuture<'static, Result<Missed, NotRecovered>> {
        ready(self.read(namespace, &rooms, from)).boxed()
    }
}
