//! Requests to the other nodes and what comes back.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ahash::AHashMap;
use redis::{Pipeline, Value, cmd};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, timeout_at},
};

use super::{
    Shared, Space,
    link::{Backoff, Failed},
    names::random_id,
    wire::call::{Call, Message},
};
use crate::{
    Payload,
    adapter::{AckEvent, AdapterError, Broadcast, SocketInfo, Target},
};

/// Most messages without answer sent at once.
const MAX_BATCH: usize = 256;

/// Requests that wait for answers, and messages that wait to be sent.
#[derive(Default)]
pub(super) struct Calls {
    waiting: Mutex<AHashMap<String, mpsc::UnboundedSender<Message>>>,
    outbox: Mutex<Outbox>,
    filled: Notify,
    drained: Notify,
}

#[derive(Default)]
struct Outbox {
    queue: VecDeque<(String, Vec<u8>)>,
    /// Of those in flight too.
    size_bytes: usize,
    /// Messages that were taken and are being sent.
    in_flight: usize,
}

/// A request; its answers are dropped when it is.
struct Request {
    shared: Arc<Shared>,
    id: String,
    answers: mpsc::UnboundedReceiver<Message>,
    deadline: Instant,
}

impl Calls {
    fn waiting(&self) -> MutexGuard<'_, AHashMap<String, mpsc::UnboundedSender<Message>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer came; it may be too late.
    pub(super) fn answered(&self, request: &str, message: Message) {
        if let Some(answers) = self.waiting().get(request) {
            let _ = answers.send(message);
        }
    }

    /// The messages were not sent: again, before what came meanwhile.
    fn put_back(&self, batch: Vec<(String, Vec<u8>)>) {
        let mut outbox = self.outbox();
        outbox.in_flight = 0;
        for message in batch.into_iter().rev() {
            outbox.queue.push_front(message);
        }
    }

    /// The messages were sent, or are given up.
    fn let_go(&self, batch: &[(String, Vec<u8>)]) {
        let mut outbox = self.outbox();
        outbox.in_flight = 0;
        outbox.size_bytes -= batch.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }

    /// Waits until no message waits to be sent.
    pub(super) async fn announced(&self) {
        loop {
            let drained = self.drained.notified();
            {
                let outbox = self.outbox();
                if outbox.queue.is_empty() && outbox.in_flight == 0 {
                    return;
                }
            }
            drained.await;
        }
    }
}

impl Request {
    fn new(shared: &Arc<Shared>, timeout: Duration) -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        let id = random_id();
        shared.calls.waiting().insert(id.clone(), sender);
        Self { shared: Arc::clone(shared), id, answers, deadline: Instant::now() + timeout }
    }

    /// Sends it to all nodes; gives how many others got it.
    async fn publish(&self, space: &Space, message: Message) -> Result<usize, AdapterError> {
        // Before this node listens, no answer would be heard.
        let mut subscribed = space.subscribed.subscribe();
        if timeout_at(self.deadline, subscribed.wait_for(|subscribed| *subscribed)).await.is_err() {
            return Err(AdapterError::Unavailable("not subscribed yet".to_owned()));
        }
        let call = call(space, message).map_err(AdapterError::Unavailable)?;
        let mut publish = cmd("PUBLISH");
        publish.arg(&space.public_channel).arg(call);
        let ask = self.shared.link.command::<usize>(&publish, &self.shared.counters);
        let receivers =
            timeout_at(self.deadline, ask).await.map_err(|_| AdapterError::Unavailable("no answer".to_owned()))??;
        // This node is one of them.
        Ok(receivers.saturating_sub(1))
    }

    /// The next answer, until the time is over.
    async fn answer(&mut self) -> Option<Message> {
        timeout_at(self.deadline, self.answers.recv()).await.ok().flatten()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.shared.calls.waiting().remove(&self.id);
    }
}

fn call(space: &Space, message: Message) -> Result<Vec<u8>, String> {
    let call = Call { uid: space.uid.clone(), namespace: space.name.to_string(), message };
    call.encode().map_err(|error| error.to_string())
}

/// Queues a message that has no answer.
pub(super) fn send(shared: &Shared, space: &Space, channel: String, message: Message) {
    let bytes = match call(space, message) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(namespace = &*space.name, error, "a message can't be encoded and is dropped");
            return shared.counters.dropped.add(1);
        }
    };
    let mut outbox = shared.calls.outbox();
    let fits = outbox.queue.len() + outbox.in_flight < shared.options.max_queued
        && outbox.size_bytes.saturating_add(bytes.len()) <= shared.options.max_queued_bytes;
    if !fits {
        drop(outbox);
        return shared.drop_one("too many messages wait to be published");
    }
    outbox.size_bytes += bytes.len();
    outbox.queue.push_back((channel, bytes));
    drop(outbox);
    shared.calls.filled.notify_one();
}

/// Publishes what is queued, in order. What could not be sent is kept; what was sent without an answer is not sent again:
/// handlers of server events must not run twice for one event.
pub(super) async fn announce(shared: Arc<Shared>) {
    let mut backoff = Backoff::new();
    loop {
        let batch: Vec<_> = {
            let mut outbox = shared.calls.outbox();
            let count = outbox.queue.len().min(MAX_BATCH);
            let batch: Vec<_> = outbox.queue.drain(..count).collect();
            outbox.in_flight = batch.len();
            batch
        };
        if batch.is_empty() {
            shared.calls.drained.notify_waiters();
            shared.calls.filled.notified().await;
            continue;
        }
        let mut pipeline = Pipeline::with_capacity(batch.len());
        pipeline.ignore_errors();
        for (channel, bytes) in &batch {
            pipeline.cmd("PUBLISH").arg(channel).arg(bytes);
        }
        let failed = shared.link.pipeline::<Vec<Value>>(&pipeline, &shared.counters).await.err();
        if let Some(Failed::NotSent(_)) = failed {
            shared.calls.put_back(batch);
            let wait = backoff.wait();
            tokio::time::sleep(wait).await;
            continue;
        }
        shared.calls.let_go(&batch);
        match failed {
            None | Some(Failed::NotSent(_)) => backoff.reset(),
            Some(Failed::InDoubt(error)) => {
                tracing::debug!(error, messages = batch.len(), "messages may not have been published");
            }
            Some(Failed::Refused(error)) => {
                shared.counters.dropped.add(batch.len());
                tracing::error!(error = %error, messages = batch.len(), "messages were refused");
            }
        }
    }
}

/// Asks the sockets of the other nodes for acknowledgements.
pub(super) async fn broadcast(
    shared: Arc<Shared>,
    space: Arc<Space>,
    broadcast: Broadcast,
    timeout: Duration,
    acks: mpsc::UnboundedSender<AckEvent>,
) {
    let mut request = Request::new(&shared, timeout);
    let message = Message::Broadcast { request: request.id.clone(), broadcast, timeout };
    match request.publish(&space, message).await {
        // The receiver may be gone, here and below: then nobody wants to know.
        Ok(others) => drop(acks.send(AckEvent::Servers(others + 1))),
        // How many should have answered is not known: the sender sees that the time passes.
        Err(error) => {
            return tracing::warn!(error = %error, "a broadcast with acknowledgements reached this node alone");
        }
    }
    loop {
        let event = tokio::select! {
            message = request.answer() => match message {
                Some(Message::BroadcastClients { count, .. }) => AckEvent::Clients(count),
                Some(Message::BroadcastAck { answer, .. }) => AckEvent::Ack(answer),
                Some(_) => continue,
                None => return,
            },
            () = acks.closed() => return,
        };
        if acks.send(event).is_err() {
            return;
        }
    }
}

/// The sockets of all nodes.
pub(super) async fn fetch(
    shared: Arc<Shared>,
    space: Arc<Space>,
    target: Target,
    timeout: Duration,
) -> Result<Vec<SocketInfo>, AdapterError> {
    let mut request = Request::new(&shared, timeout);
    let own = shared.node().fetch(&space.name, &target);
    let asked = request.publish(&space, Message::Fetch { request: request.id.clone(), target }).await?;
    let expected = asked + 1;
    let mut found =
        timeout_at(request.deadline, own).await.map_err(|_| AdapterError::Timeout { received: 0, expected })?;
    for received in 1..expected {
        match request.answer().await {
            Some(Message::FetchResponse { sockets, .. }) => found.extend(sockets),
            Some(_) => {}
            None => return Err(AdapterError::Timeout { received, expected }),
        }
    }
    Ok(found)
}

/// Runs the handlers of the other nodes.
pub(super) fn server_emit(shared: &Shared, space: &Space, payload: Payload) {
    send(shared, space, space.public_channel.clone(), Message::ServerEmit { request: None, payload });
}

/// Runs the handlers of the other nodes and gives their answers.
pub(super) async fn server_emit_with_acks(
    shared: Arc<Shared>,
    space: Arc<Space>,
    payload: Payload,
    timeout: Duration,
) -> Result<Vec<Payload>, AdapterError> {
    let mut request = Request::new(&shared, timeout);
    let message = Message::ServerEmit { request: Some(request.id.clone()), payload };
    let expected = request.publish(&space, message).await?;
    let mut answers = Vec::with_capacity(expected);
    while answers.len() < expected {
        match request.answer().await {
            Some(Message::ServerEmitResponse { answer, .. }) => answers.push(answer),
            Some(_) => {}
            None => return Err(AdapterError::Timeout { received: answers.len(), expected }),
        }
    }
    Ok(answers)
}

/// How many nodes listen in this namespace.
pub(super) async fn server_count(shared: &Shared, space: &Space) -> Result<usize, AdapterError> {
    let mut count = cmd("PUBSUB");
    count.arg("NUMSUB").arg(&space.public_channel);
    let (_, listening): (String, usize) = shared.link.command(&count, &shared.counters).await?;
    // This node is one, also in the moment in which it does not listen.
    Ok(listening + usize::from(!*space.subscribed.borrow()))
}
