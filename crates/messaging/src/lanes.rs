//! Deliveries in work: those of one aggregate one after the other, all others side by side.

use std::collections::{HashMap, VecDeque};

use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;

use crate::bus::{Delivery, Verdict};

/// A delivery, and what becomes of it.
pub(crate) type Worked = (Delivery, Verdict);

type Work<'a> = Box<dyn Fn(Delivery) -> BoxFuture<'a, Worked> + Send + Sync + 'a>;

/// See the module. Work goes on only while [`Lanes::next`] is waited for.
pub(crate) struct Lanes<'a> {
    work: Work<'a>,
    /// Those with one in work, and what waits behind it.
    behind: HashMap<String, VecDeque<Delivery>>,
    running: FuturesUnordered<BoxFuture<'a, (Option<String>, Worked)>>,
    /// How many wait.
    waiting: usize,
}

impl<'a> Lanes<'a> {
    /// None in work yet; `work` is what is done with each.
    pub(crate) fn new<F>(work: impl Fn(Delivery) -> F + Send + Sync + 'a) -> Self
    where
        F: Future<Output = Worked> + Send + 'a,
    {
        Self {
            work: Box::new(move |delivery| work(delivery).boxed()),
            behind: HashMap::new(),
            running: FuturesUnordered::new(),
            waiting: 0,
        }
    }

    /// Whether nothing is in work.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// How many deliveries are in work or wait for their turn.
    pub(crate) fn in_work(&self) -> usize {
        self.running.len() + self.waiting
    }

    /// Takes a delivery into work: behind those of its lane, if it has one.
    pub(crate) fn add(&mut self, lane: Option<String>, delivery: Delivery) {
        if let Some(lane) = &lane {
            if let Some(behind) = self.behind.get_mut(lane) {
                behind.push_back(delivery);
                self.waiting += 1;
                return;
            }
            self.behind.insert(lane.clone(), VecDeque::new());
        }
        self.begin(lane, delivery);
    }

    fn begin(&mut self, lane: Option<String>, delivery: Delivery) {
        let work = (self.work)(delivery);
        self.running.push(async move { (lane, work.await) }.boxed());
    }

    /// Waits for the next that is done; `None` when nothing is in work. Loses nothing when it is dropped while it waits.
    pub(crate) async fn next(&mut self) -> Option<Worked> {
        let (lane, worked) = self.running.next().await?;
        if let Some(lane) = lane {
            match self.behind.get_mut(&lane).and_then(VecDeque::pop_front) {
                Some(delivery) => {
                    self.waiting -= 1;
                    self.begin(Some(lane), delivery);
                }
                None => drop(self.behind.remove(&lane)),
            }
        }
        Some(worked)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;

    fn delivery(tag: i64) -> Delivery {
        Delivery { tag, attempt: 1, event: Err("none".to_owned()) }
    }

    #[tokio::test]
    async fn a_lane_is_worked_off_in_order_and_holds_no_other_up() {
        let gates: Vec<Semaphore> = (0..6).map(|_| Semaphore::new(0)).collect();
        let begun = Mutex::new(Vec::new());
        let pass = |tag: i64| gates[tag as usize].add_permits(1);
        let mut lanes = Lanes::new(|delivery: Delivery| {
            begun.lock().unwrap().push(delivery.tag);
            let gate = &gates[delivery.tag as usize];
            async move {
                gate.acquire().await.unwrap().forget();
                (delivery, Verdict::Ack)
            }
        });
        assert!(lanes.is_idle() && lanes.next().await.is_none());
        for (tag, lane) in [(0, Some("a")), (1, Some("a")), (2, Some("b")), (3, None), (4, None)] {
            lanes.add(lane.map(str::to_owned), delivery(tag));
        }
        assert_eq!(*begun.lock().unwrap(), [0, 2, 3, 4]);
        assert_eq!(lanes.in_work(), 5);
        pass(1);
        pass(2);
        assert_eq!(lanes.next().await.unwrap().0.tag, 2, "b does not wait for a");
        pass(0);
        assert_eq!(lanes.next().await.unwrap().0.tag, 0);
        assert_eq!(lanes.next().await.unwrap().0.tag, 1);
        pass(4);
        pass(3);
        for _ in 0..2 {
            assert!(lanes.next().await.unwrap().0.tag > 2);
        }
        assert!(lanes.is_idle() && lanes.behind.is_empty() && lanes.in_work() == 0);
        lanes.add(Some("a".to_owned()), delivery(5));
        pass(5);
        assert_eq!(lanes.next().await.unwrap().0.tag, 5, "a lane that was empty begins anew");
    }
}
