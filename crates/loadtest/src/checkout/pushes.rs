//! What comes of an order on its customer's screen, and when: from the moment the order was to be sent to the push on a socket.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::customers::Customers;
use crate::error::Error;
use crate::fanout::client::{Client, Delivery};
use crate::http::Url;
use crate::latency::{Latency, Percentiles};

/// What every order that is paid for at once brings to its customer.
const EXPECTED: [&str; 3] = ["order_created", "order_updated", "notification"];
/// How long pushes may take after the last answer before they are missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(super) struct Pushes {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Default)]
struct State {
    /// When orders were to be sent, by their ids.
    orders: HashMap<String, Instant>,
    /// What came before the order's own answer.
    early: HashMap<String, Vec<(&'static str, Instant)>>,
    latencies: BTreeMap<&'static str, Latency>,
}

impl State {
    fn record(&mut self, event: &'static str, took: Duration) {
        self.latencies.entry(event).or_default().record(took);
    }

    fn is_complete(&self) -> bool {
        let orders = self.orders.len() as u64;
        EXPECTED.iter().all(|event| self.latencies.get(event).map_or(0, Latency::count) >= orders)
    }
}

impl Pushes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order was answered, which was to be sent at `from`.
    pub(super) fn answered(&self, order_id: &str, from: Instant) {
        let mut state = self.state();
        for (event, at) in state.early.remove(order_id).unwrap_or_default() {
            state.record(event, at.saturating_duration_since(from));
        }
        state.orders.insert(order_id.to_owned(), from);
    }

    /// Something came to a customer.
    fn came(&self, push: Delivery<'_>) {
        let at = Instant::now();
        let Some((event, order_id)) = order_of(push) else { return };
        let mut state = self.state();
        match state.orders.get(&order_id).copied() {
            Some(from) => state.record(event, at.saturating_duration_since(from)),
            None => state.early.entry(order_id).or_default().push((event, at)),
        }
        if state.is_complete() {
            self.came.notify_one();
        }
    }

    /// Connects every customer, and listens until the set is dropped.
    pub(super) async fn listen(self: &Arc<Self>, url: &Url, customers: &Customers) -> Result<JoinSet<()>, Error> {
        let url = url.at("/socket.io/?EIO=4&transport=websocket");
        let mut listening = JoinSet::new();
        for place in 0..customers.count() as u64 {
            let token = customers.with_token(place, str::to_owned);
            let mut client = Client::connect_as(&url, &token).await.map_err(Error::Failed)?;
            let pushes = Arc::clone(self);
            listening.spawn(async move { while client.receive(|push, _| pushes.came(push)).await.is_ok() {} });
        }
        Ok(listening)
    }

    /// Waits until everything has come, or for so long that it is missing. What came, in the order of [`EXPECTED`].
    pub(super) async fn all(&self) -> Vec<Pushed> {
        let complete = async {
            while !self.state().is_complete() {
                self.came.notified().await;
            }
        };
        // What is missing then is told.
        let _ = tokio::time::timeout(PATIENCE, complete).await;
        let state = self.state();
        let pushed = EXPECTED.map(|event| {
            let latency = state.latencies.get(event).cloned().unwrap_or_default();
            let missing = (state.orders.len() as u64).saturating_sub(latency.count());
            Pushed { event, came: latency.count(), missing, latency: latency.percentiles() }
        });
        pushed.into()
    }
}

/// Which of the expected events it is, and of which order.
fn order_of(push: Delivery<'_>) -> Option<(&'static str, String)> {
    let (event, data): (String, serde_json::Value) = serde_json::from_slice(push.arguments()).ok()?;
    let event = EXPECTED.into_iter().find(|expected| *expected == event)?;
    let id = if event == "notification" { &data["data"]["order_id"] } else { &data["id"] };
    Some((event, id.as_str()?.to_owned()))
}

/// One kind of push, over all orders.
#[derive(Clone, Debug, Serialize)]
pub struct Pushed {
    /// The event.
    pub event: &'static str,
    /// How many came.
    pub came: u64,
    /// Orders for which none came.
    pub missing: u64,
    /// From when the order was to be sent.
    pub latency: Percentiles,
}

impl std::fmt::Display for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { event, came, missing, latency } = self;
        write!(f, "{event:<15} {latency}  ({came} came, {missing} missing)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(text: &str, pushes: &Pushes) {
        pushes.came(Delivery::of(text.as_bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn pushes_are_matched_with_their_orders_whichever_is_heard_of_first() {
        let pushes = Pushes::default();
        let from = Instant::now();
        push(r#"42["order_created",{"cursor":1,"id":"a"}]"#, &pushes);
        pushes.answered("a", from);
        pushes.answered("b", from);
        push(r#"42["order_created",{"cursor":1,"id":"b"}]"#, &pushes);
        push(r#"42["order_updated",{"cursor":2,"id":"a"}]"#, &pushes);
        push(r#"42["notification",{"cursor":3,"id":"n","data":{"order_id":"a"}}]"#, &pushes);
        push(r#"42["notification:unread",{"cursor":4,"count":1}]"#, &pushes);
        push(r#"42["order_updated",{"cursor":2,"id":"somebody else's"}]"#, &pushes);
        let told: Vec<_> = pushes.all().await.into_iter().map(|one| (one.event, one.came, one.missing)).collect();
        assert_eq!(told, [("order_created", 2, 0), ("order_updated", 1, 1), ("notification", 1, 1)]);
    }
}
