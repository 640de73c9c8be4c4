//! What this process appended, handed to its own relay: it need not ask the server for what is known here.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::Event;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Most transactions that wait here. Of more the relay reads the outbox.
const MOST: usize = 1024;
/// The outbox is read this often, however much is known here: others may have appended something.
pub(super) const READ_EVERY: Duration = Duration::from_millis(200);
/// So long a commit may still take effect whose outcome is not known: as long as a server leaves a transaction open by default,
/// <https://www.mongodb.com/docs/manual/reference/parameters/#mongodb-parameter-param.transactionLifetimeLimitSeconds>.
const UNDECIDED_FOR: Duration = Duration::from_mins(1);

/// What a transaction appends: at positions from this one on.
pub(super) type Appended = (i64, Vec<Event>);

/// See the module. The outbox stays the truth: whenever it is not certain that all is known here, the relay reads it.
#[derive(Default)]
pub(super) struct Handoff {
    state: Mutex<State>,
    appended: Notify,
}

#[derive(Default)]
struct State {
    /// By their first position, transactions that are not known to have ended.
    undecided: BTreeMap<i64, Undecided>,
    /// Committed, and not taken by the relay.
    committed: BTreeMap<i64, Vec<Event>>,
    /// Beside what is undecided, all that waited when the outbox was read last, and all that was committed here since, is known.
    is_all: bool,
    read_at: Option<Instant>,
    /// A transaction whose outcome is not known may be committed until then, before later ones of its aggregate.
    distrust_until: Option<Instant>,
}

struct Undecided {
    subjects: Vec<String>,
    /// The relay has found its events in the outbox.
    was_read: bool,
}

impl Handoff {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction appends these, and has still to be committed.
    pub(super) fn begin(&self, first: i64, events: &[Event]) {
        let subjects = events.iter().map(|event| event.subject.clone()).collect();
        self.state().undecided.insert(first, Undecided { subjects, was_read: false });
    }

    /// It is committed.
    pub(super) fn committed(&self, (first, events): Appended) {
        let mut state = self.state();
        let was_read = state.undecided.remove(&first).is_some_and(|undecided| undecided.was_read);
        if state.committed.len() >= MOST {
            state.is_all = false;
        }
        if state.is_all && !was_read {
            state.committed.insert(first, events);
        }
        drop(state);
        self.appended.notify_one();
    }

    /// It is undone.
    pub(super) fn undone(&self, first: i64) {
        self.state().undecided.remove(&first);
        // What had to wait for it may go now.
        self.appended.notify_one();
    }

    /// Nobody knows whether it is, or will be, committed.
    pub(super) fn lost(&self, first: i64) {
        let mut state = self.state();
        state.is_all = false;
        state.distrust_until = Some(Instant::now() + UNDECIDED_FOR);
        drop(state);
        self.undone(first);
    }

    /// Something may have been appended that is not known here.
    pub(super) fn doubt(&self) {
        self.state().is_all = false;
    }

    /// What waits, oldest first, each as it was appended: so many events, and as many more as were appended with the last of them. None
    /// if only the outbox can tell.
    ///
    /// An event waits here while an earlier transaction of its aggregate is undecided: who commits first need not be the first to
    /// say so.
    pub(super) fn take(&self, limit: usize) -> Option<Vec<Appended>> {
        let mut state = self.state();
        let now = Instant::now();
        let is_recent = state.read_at.is_some_and(|at| now.duration_since(at) < READ_EVERY);
        if !state.is_all || !is_recent || state.distrust_until.is_some_and(|until| now < until) {
            return None;
        }
        let State { undecided, committed, .. } = &mut *state;
        let (mut taken, mut left, mut blocked) = (Vec::new(), limit, HashSet::new());
        for (first, events) in committed.iter() {
            if left == 0 {
                break;
            }
            let before = undecided.range(..first).flat_map(|(_, undecided)| &undecided.subjects);
            blocked.extend(before.map(String::as_str));
            if events.iter().any(|event| blocked.contains(event.subject.as_str())) {
                blocked.extend(events.iter().map(|event| event.subject.as_str()));
            } else {
                taken.push(*first);
                left = left.saturating_sub(events.len());
            }
        }
        Some(taken.into_iter().filter_map(|first| committed.remove_entry(&first)).collect())
    }

    /// The relay is about to read the outbox: what is committed from now on is handed on again.
    pub(super) fn read_begins(&self) {
        let mut state = self.state();
        state.is_all = true;
        state.read_at = Some(Instant::now());
    }

    /// The relay has found the events of these transactions in the outbox, known by their first positions; `all` if there are no others.
    pub(super) fn was_read(&self, found: impl IntoIterator<Item = i64>, all: bool) {
        let mut state = self.state();
        for first in found {
            state.committed.remove(&first);
            if let Some(undecided) = state.undecided.get_mut(&first) {
                undecided.was_read = true;
            }
        }
        state.is_all &= all;
    }

    /// Nobody here publishes.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.is_all = false;
        state.committed.clear();
    }

    /// Waits until something was appended here since the last call.
    pub(super) async fn appended(&self) {
        self.appended.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use contracts::Timestamp;
    use contracts::event::EventHead;
    use uuid::Uuid;

    use super::*;

    fn event(subject: &str) -> Event {
        let head = EventHead {
            id: Uuid::new_v4(),
            service: "test",
            event_type: "x",
            subject: subject.to_owned(),
            time: Timestamp::from_unix_ms(0),
            aggregate_version: 1,
            traceparent: None,
            request_id: None,
        };
        Event::new(head, &()).unwrap()
    }

    /// After the relay has read an outbox that is empty.
    fn known() -> Handoff {
        let handoff = Handoff::default();
        assert!(handoff.take(9).is_none(), "nothing is known yet");
        handoff.read_begins();
        handoff.was_read([], true);
        handoff
    }

    fn commit(handoff: &Handoff, first: i64, subject: &str) {
        let events = vec![event(subject)];
        handoff.begin(first, &events);
        handoff.committed((first, events));
    }

    fn taken(handoff: &Handoff, limit: usize) -> Option<Vec<i64>> {
        Some(handoff.take(limit)?.into_iter().map(|(first, _)| first).collect())
    }

    #[test]
    fn what_is_committed_is_taken_once_oldest_first() {
        let handoff = known();
        for first in [7, 3, 5] {
            commit(&handoff, first, &first.to_string());
        }
        assert_eq!(taken(&handoff, 2), Some(vec![3, 5]));
        assert_eq!(taken(&handoff, 2), Some(vec![7]));
        assert_eq!(taken(&handoff, 2), Some(vec![]));
    }

    #[test]
    fn nothing_overtakes_an_undecided_transaction_of_its_aggregate() {
        let handoff = known();
        let slow = vec![event("a")];
        handoff.begin(1, &slow);
        commit(&handoff, 2, "a");
        commit(&handoff, 3, "b");
        commit(&handoff, 4, "a");
        assert_eq!(taken(&handoff, 9), Some(vec![3]));
        handoff.committed((1, slow));
        assert_eq!(taken(&handoff, 9), Some(vec![1, 2, 4]));
        handoff.begin(5, &[event("a")]);
        commit(&handoff, 6, "a");
        assert_eq!(taken(&handoff, 9), Some(vec![]));
        handoff.undone(5);
        assert_eq!(taken(&handoff, 9), Some(vec![6]));
    }

    #[test]
    fn what_was_read_is_not_handed_on_as_well() {
        let handoff = known();
        let (said, silent) = (vec![event("a")], vec![event("b")]);
        handoff.begin(1, &said);
        handoff.begin(2, &silent);
        handoff.committed((1, said));
        handoff.doubt();
        assert_eq!(taken(&handoff, 9), None);
        handoff.read_begins();
        commit(&handoff, 3, "c");
        // The second is committed, too; who did it has not said so yet.
        handoff.was_read([1, 2], true);
        handoff.committed((2, silent));
        assert_eq!(taken(&handoff, 9), Some(vec![3]));
    }

    #[test]
    fn the_outbox_is_read_when_anything_is_uncertain() {
        let handoff = known();
        handoff.was_read([1], false);
        assert_eq!(taken(&handoff, 9), None, "there was more than was read");
        let handoff = known();
        for first in 0..=MOST as i64 {
            commit(&handoff, first, "a");
        }
        assert_eq!(taken(&handoff, 9), None, "there was more than is kept");
        let handoff = known();
        commit(&handoff, 1, "a");
        handoff.stop();
        handoff.read_begins();
        assert_eq!(taken(&handoff, 9), Some(vec![]), "others publish");
    }

    #[tokio::test(start_paused = true)]
    async fn the_outbox_is_read_now_and_then_and_whenever_a_commit_may_come_late() {
        let handoff = known();
        commit(&handoff, 1, "a");
        tokio::time::advance(READ_EVERY).await;
        assert_eq!(taken(&handoff, 9), None);
        let handoff = known();
        handoff.begin(1, &[event("a")]);
        handoff.lost(1);
        for _ in 0..2 {
            handoff.read_begins();
            handoff.was_read([], true);
            commit(&handoff, 2, "a");
            assert_eq!(taken(&handoff, 9), None, "the first may come yet");
            tokio::time::advance(UNDECIDED_FOR / 2).await;
        }
        handoff.read_begins();
        handoff.was_read([2], true);
        assert_eq!(taken(&handoff, 9), Some(vec![]));
    }
}
