//! The task that speaks to the store: it alone, so that what happens to a device reaches the store in its order.

use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::registry::{Item, Question};
use super::store::{Lease, PresenceStore, Step, StoreAway};
use super::{Announce, Presence, metrics};

/// Most steps of one round trip.
const AT_ONCE: usize = 200;

struct Worker {
    presence: Presence,
    store: Arc<dyn PresenceStore>,
    announce: Arc<dyn Announce>,
    /// The store failed, and has not answered since.
    is_away: bool,
    beaten: Option<Instant>,
}

pub(super) async fn run(presence: Presence, announce: Arc<dyn Announce>, stop: CancellationToken) {
    let store = Arc::clone(&presence.0.store);
    let mut worker = Worker { presence, store, announce, is_away: false, beaten: None };
    let mut ticks = interval(worker.presence.0.timing.sweep);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let wake = &worker.presence.0.wake;
        let ticked = tokio::select! {
            () = stop.cancelled() => break,
            () = wake.notified() => false,
            _ = ticks.tick() => true,
        };
        // Before anything else: a gateway that was frozen has to be known again.
        if worker.is_beat_due() && (ticked || !worker.is_away) {
            worker.beat().await;
        }
        worker.flush().await;
        if ticked && !worker.is_away {
            worker.sweep().await;
        }
    }
    worker.flush().await;
    if !worker.is_away {
        let grace = worker.presence.0.timing.grace;
        let left = worker.store.doubt(grace).await;
        worker.noted(left);
    }
}

impl Worker {
    fn is_beat_due(&self) -> bool {
        let beat = self.presence.0.timing.beat;
        self.is_away || self.presence.registry().is_behind || self.beaten.is_none_or(|at| at.elapsed() >= beat)
    }

    async fn beat(&mut self) {
        let answer = self.store.beat().await;
        let Some(lease) = self.noted(answer) else { return };
        self.beaten = Some(Instant::now());
        let is_behind = self.presence.registry().is_behind;
        if lease == Lease::Lost || is_behind {
            // What ended while the store was not told ends there, too.
            let doubted = self.store.doubt(self.presence.0.timing.expiry).await;
            if self.noted(doubted).is_some() {
                let all = self.presence.registry().everything();
                self.tell(&all).await;
            }
        }
    }

    /// Tells the store what waits. While it is away nothing waits: it will be told everything.
    async fn flush(&mut self) {
        let waiting = self.presence.registry().take_waiting();
        let mut steps = Vec::new();
        for item in waiting {
            match item {
                Item::Do(step) => steps.push(step),
                Item::Ask(question) => {
                    self.tell(&std::mem::take(&mut steps)).await;
                    self.answer(question).await;
                }
            }
        }
        self.tell(&steps).await;
    }

    async fn tell(&mut self, steps: &[Step]) {
        for some in steps.chunks(AT_ONCE) {
            if self.is_away {
                self.presence.registry().is_behind = true;
                return;
            }
            let answer = self.store.apply(some).await;
            for change in self.noted(answer).unwrap_or_default() {
                self.announce.announce(&change);
                metrics::count_change(change.is_online);
            }
        }
    }

    async fn answer(&mut self, question: Question) {
        let answer = if self.is_away {
            Err(StoreAway("it failed a moment ago".into()))
        } else {
            let answer = self.store.online(question.asker, &question.users).await;
            if let Err(error) = &answer {
                self.note_failure(error);
            }
            answer
        };
        // Whoever asked may have gone.
        let _ = question.answer.send(answer);
    }

    async fn sweep(&mut self) {
        let answer = self.store.sweep().await;
        for change in self.noted(answer).unwrap_or_default() {
            self.announce.announce(&change);
            metrics::count_change(change.is_online);
        }
    }

    fn noted<T>(&mut self, answer: Result<T, StoreAway>) -> Option<T> {
        match answer {
            Ok(answer) => {
                if self.is_away {
                    self.is_away = false;
                    tracing::info!("the presence store is back");
                }
                Some(answer)
            }
            Err(error) => {
                self.note_failure(&error);
                None
            }
        }
    }

    fn note_failure(&mut self, error: &StoreAway) {
        metrics::count_failure();
        // What it did not take, it has to be told once it is back.
        self.presence.registry().is_behind = true;
        if !self.is_away {
            self.is_away = true;
            let error = observability::logs::error_chain(error);
            tracing::warn!(error, "the presence store is away: nobody is told who comes and goes");
        }
    }
}
