//! The sessions that this node holds, and which of them are to be written.

use std::{collections::VecDeque, sync::Arc};

use ahash::AHashMap;
use serde_json::Value;
use tokio::{sync::oneshot, time::Instant};

use super::Space;
use crate::{Offset, adapter::AdapterError, recovery::Session};

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its socket lives: it is kept alive.
    Attached,
    /// It waits for its client; it is let go once that is written.
    Detached { until: Instant },
    /// It is over; not tried any longer than it could live.
    Ended { until: Instant },
}

/// A session that this node holds.
pub(super) struct Held {
    pub(super) space: Arc<Space>,
    pub(super) session: Session,
    pub(super) state: State,
    /// Counts the changes.
    revision: u64,
    /// The last revision that is known to be written; 0 for none.
    written: u64,
    queued: bool,
    /// When its lifetime was set last.
    pub(super) refreshed: Instant,
    /// Who wants to know when the present revision is written.
    pub(super) waiting: Vec<oneshot::Sender<Result<(), AdapterError>>>,
}

impl Held {
    pub(super) fn new(space: Arc<Space>, session: Session) -> Self {
        Self {
            space,
            session,
            state: State::Attached,
            revision: 0,
            written: 0,
            queued: false,
            refreshed: Instant::now(),
            waiting: Vec::new(),
        }
    }

    /// One of which no more is known; it can be ended only.
    pub(super) fn unknown(space: Arc<Space>, pid: &str, epoch: u64) -> Self {
        let session = Session {
            pid: pid.to_owned(),
            sid: String::new(),
            rooms: Vec::new(),
            data: Value::Null,
            user: None,
            start: Offset::ZERO,
            epoch,
        };
        Self::new(space, session)
    }

    pub(super) fn is_written(&self) -> bool {
        self.written == self.revision
    }
}

/// What is to be written of a session.
pub(super) struct Job {
    pub(super) pid: String,
    pub(super) epoch: u64,
    revision: u64,
}

#[derive(Default)]
pub(super) struct Table {
    held: AHashMap<String, Held>,
    dirty: VecDeque<String>,
    /// Jobs that were taken and not put back or done.
    in_flight: usize,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.in_flight == 0
    }

    pub(super) fn held(&mut self, namespace: &str, pid: &str) -> Option<&mut Held> {
        self.held.get_mut(pid).filter(|held| &*held.space.name == namespace)
    }

    /// Holds the session from now on, instead of what was held of it before.
    pub(super) fn hold(&mut self, held: Held) {
        self.held.insert(held.session.pid.clone(), held);
    }

    pub(super) fn remove(&mut self, pid: &str) -> Option<Held> {
        self.held.remove(pid)
    }

    /// Changes the session and queues it to be written, if the change applies.
    pub(super) fn change(&mut self, pid: &str, change: impl FnOnce(&mut Held) -> bool) -> bool {
        let Some(held) = self.held.get_mut(pid) else { return false };
        if !change(held) {
            return false;
        }
        held.revision += 1;
        if !std::mem::replace(&mut held.queued, true) {
            self.dirty.push_back(pid.to_owned());
        }
        true
    }

    /// The next session to be written.
    pub(super) fn take(&mut self) -> Option<(Job, &mut Held)> {
        while let Some(pid) = self.dirty.pop_front() {
            // It may have been taken over or replaced meanwhile.
            if self.held.get(&pid).is_none_or(|held| !held.queued) {
                continue;
            }
            self.in_flight += 1;
            let held = self.held.get_mut(&pid)?;
            held.queued = false;
            return Some((Job { pid, epoch: held.session.epoch, revision: held.revision }, held));
        }
        None
    }

    /// The session could not be written: again.
    pub(super) fn put_back(&mut self, job: Job) {
        self.in_flight -= 1;
        if let Some(held) = self.current(&job)
            && !std::mem::replace(&mut held.queued, true)
        {
            self.dirty.push_front(job.pid);
        }
    }

    /// The job is over, whether or not anything was written.
    pub(super) fn drop_job(&mut self, job: &Job) -> Option<Held> {
        self.in_flight -= 1;
        self.current(job)?;
        self.held.remove(&job.pid)
    }

    /// The session was written.
    pub(super) fn done(&mut self, job: &Job) {
        self.in_flight -= 1;
        let Some(held) = self.current(job) else { return };
        held.written = job.revision;
        held.refreshed = Instant::now();
        if !held.is_written() {
            return;
        }
        for waiting in held.waiting.drain(..) {
            // Who waited may have given up.
            let _ = waiting.send(Ok(()));
        }
        if held.state != State::Attached {
            self.held.remove(&job.pid);
        }
    }

    /// The session as claimed by this node, which is how it is written.
    pub(super) fn hold_claimed(&mut self, space: Arc<Space>, session: Session) {
        self.hold(Held { revision: 1, written: 1, ..Held::new(space, session) });
    }

    /// The attached sessions whose lifetime was set before this time.
    pub(super) fn due(&self, before: Instant) -> Vec<(String, u64, Arc<Space>)> {
        let due = self
            .held
            .iter()
            .filter(|(_, held)| held.state == State::Attached && held.written > 0 && held.refreshed < before);
        due.map(|(pid, held)| (pid.clone(), held.session.epoch, Arc::clone(&held.space))).collect()
    }

    /// The session of this epoch, if it is still held.
    pub(super) fn of_epoch(&mut self, pid: &str, epoch: u64) -> Option<&mut Held> {
        self.held.get_mut(pid).filter(|held| held.session.epoch == epoch)
    }

    fn current(&mut self, job: &Job) -> Option<&mut Held> {
        self.of_epoch(&job.pid, job.epoch)
    }
}
