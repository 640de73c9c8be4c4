//! A node that writes down what its adapter asks of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, ready};
use socketio::adapter::{AckEvent, Broadcast, Node, SocketInfo, Target};
use socketio::{Offset, Payload, Room};
use tokio::sync::{Notify, mpsc, oneshot};

/// Longest wait for what must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What an adapter asked of the node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Deliver { namespace: String, broadcast: Broadcast, offset: Option<Offset> },
    DeliverWithAcks { namespace: String, broadcast: Broadcast, timeout: Duration },
    Join { namespace: String, target: Target, rooms: Vec<Room> },
    Leave { namespace: String, target: Target, rooms: Vec<Room> },
    Disconnect { namespace: String, target: Target, close: bool },
    Fetch { namespace: String, target: Target },
    ServerEvent { namespace: String, payload: Payload, with_reply: bool },
    Superseded { namespace: String, pid: String, epoch: u64 },
}

/// Records, and answers what it was told to.
#[derive(Default)]
pub(crate) struct RecordingNode {
    asked: Mutex<Vec<Asked>>,
    changed: Notify,
    /// Its clients' answers to a broadcast that wants some.
    pub(crate) acks: Mutex<Vec<Payload>>,
    /// Its sockets.
    pub(crate) sockets: Mutex<Vec<SocketInfo>>,
    /// Its handlers' answer to a server event; none is given where there is none.
    pub(crate) reply: Mutex<Option<Payload>>,
}

impl RecordingNode {
    fn note(&self, asked: Asked) {
        lock(&self.asked).push(asked);
        self.changed.notify_waiters();
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }

    /// Forgets what was asked so far.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "the tests on Redis use it"))]
    pub(crate) fn forget(&self) {
        lock(&self.asked).clear();
    }

    /// Waits until what was asked so far is as it should be, and gives it.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&[Asked]) -> bool) -> Vec<Asked> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(&lock(&self.asked)) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            let asked = self.asked();
            let last = &asked[asked.len().saturating_sub(5)..];
            panic!("{what}: not within {DEADLINE:?}; asked {} times, lastly {last:#?}", asked.len());
        }
        self.asked()
    }

    /// Waits until so many things were asked.
    pub(crate) async fn until_asked(&self, count: usize) -> Vec<Asked> {
        self.until(&format!("{count} things asked"), |asked| asked.len() >= count).await
    }

    /// The offsets and texts of the broadcasts delivered.
    pub(crate) fn delivered(&self) -> Vec<(Option<Offset>, String)> {
        let text = |asked| match asked {
            Asked::Deliver { broadcast, offset, .. } => Some((offset, broadcast.payload.json().to_string())),
            _ => None,
        };
        self.asked().into_iter().filter_map(text).collect()
    }

    /// Waits until so many broadcasts were delivered.
    pub(crate) async fn until_delivered(&self, count: usize) -> Vec<(Option<Offset>, String)> {
        let is_delivery = |asked: &&Asked| matches!(asked, Asked::Deliver { .. });
        let what = format!("{count} broadcasts delivered");
        self.until(&what, |asked| asked.iter().filter(is_delivery).count() >= count).await;
        self.delivered()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node for RecordingNode {
    fn deliver(&self, namespace: &str, broadcast: &Broadcast, offset: Option<Offset>) {
        self.note(Asked::Deliver { namespace: namespace.to_owned(), broadcast: broadcast.clone(), offset });
    }

    fn deliver_with_acks(
        &self,
        namespace: &str,
        broadcast: &Broadcast,
        timeout: Duration,
        acks: mpsc::UnboundedSender<AckEvent>,
    ) {
        self.note(Asked::DeliverWithAcks { namespace: namespace.to_owned(), broadcast: broadcast.clone(), timeout });
        let answers = lock(&self.acks).clone();
        let _ = acks.send(AckEvent::Clients(answers.len()));
        for answer in answers {
            let _ = acks.send(AckEvent::Ack(answer));
        }
    }

    fn join(&self, namespace: &str, target: &Target, rooms: &[Room]) {
        self.note(Asked::Join { namespace: namespace.to_owned(), target: target.clone(), rooms: rooms.to_vec() });
    }

    fn leave(&self, namespace: &str, target: &Target, rooms: &[Room]) {
        self.note(Asked::Leave { namespace: namespace.to_owned(), target: target.clone(), rooms: rooms.to_vec() });
    }

    fn disconnect(&self, namespace: &str, target: &Target, close: bool) {
        self.note(Asked::Disconnect { namespace: namespace.to_owned(), target: target.clone(), close });
    }

    fn fetch(&self, namespace: &str, target: &Target) -> BoxFuture<'static, Vec<SocketInfo>> {
        self.note(Asked::Fetch { namespace: namespace.to_owned(), target: target.clone() });
        ready(lock(&self.sockets).clone()).boxed()
    }

    fn server_event(&self, namespace: &str, payload: Payload, reply: Option<oneshot::Sender<Payload>>) {
        self.note(Asked::ServerEvent { namespace: namespace.to_owned(), payload, with_reply: reply.is_some() });
        if let (Some(reply), Some(answer)) = (reply, lock(&self.reply).clone()) {
            let _ = reply.send(answer);
        }
    }

    fn superseded(&self, namespace: &str, pid: &str, epoch: u64) {
        self.note(Asked::Superseded { namespace: namespace.to_owned(), pid: pid.to_owned(), epoch });
    }
}

pub(crate) fn rooms(names: &[&str]) -> Vec<Room> {
    names.iter().map(|&name| name.into()).collect()
}

pub(crate) fn to(names: &[&str]) -> Target {
    Target { rooms: rooms(names), except: Vec::new() }
}

pub(crate) fn json(text: &str) -> Payload {
    Payload::from_parts(text.to_owned().into(), Vec::new()).unwrap()
}

/// An event `n` with this number, to all.
pub(crate) fn numbered(number: usize) -> Broadcast {
    Broadcast { payload: json(&format!(r#"["n",{number}]"#)), target: Target::default(), volatile: false }
}

/// A recording node, as the adapter takes it.
pub(crate) fn recording() -> Arc<RecordingNode> {
    Arc::default()
}
