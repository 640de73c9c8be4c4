//! Listens to what other nodes ask and answer.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use redis::{RedisResult, Value};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::{
    Shared, Space, calls,
    link::{Backoff, CONNECT_TIMEOUT, RESPONSE_TIMEOUT},
    names::private_channel,
    sessions::RedisSessions,
    wire::call::{Call, Message},
};
use crate::adapter::AckEvent;

/// A connection without traffic is asked this often whether it still lives.
const PING_INTERVAL: Duration = Duration::from_secs(5);

pub(super) async fn run(
    shared: Arc<Shared>,
    mut opened: mpsc::UnboundedReceiver<Arc<Space>>,
    sessions: Option<Arc<RedisSessions>>,
) {
    let (mut spaces, mut backoff) = (Vec::new(), Backoff::new());
    loop {
        let ended = listen(&shared, &mut opened, &mut spaces, sessions.as_deref(), &mut backoff).await;
        for space in &spaces {
            space.subscribed.send_replace(false);
        }
        let Err(error) = ended else { return };
        shared.counters.connection_failures.add(1);
        tracing::debug!(server = shared.target, error = %error, "requests of other nodes can't be heard; trying on");
        let wait = backoff.wait();
        tokio::time::sleep(wait).await;
    }
}

/// One connection, until it breaks or the adapter ends.
async fn listen(
    shared: &Arc<Shared>,
    opened: &mut mpsc::UnboundedReceiver<Arc<Space>>,
    spaces: &mut Vec<Arc<Space>>,
    sessions: Option<&RedisSessions>,
    backoff: &mut Backoff,
) -> RedisResult<()> {
    let connect = timeout(CONNECT_TIMEOUT, shared.client.get_async_pubsub());
    let (mut sink, mut messages) = connect.await.map_err(|_| timed_out())??.split();
    while let Ok(space) = opened.try_recv() {
        spaces.push(space);
    }
    for space in &*spaces {
        answered(sink.subscribe(&[&space.public_channel, &space.private_channel])).await?;
        space.subscribed.send_replace(true);
    }
    backoff.reset();
    let mut ping = tokio::time::interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => hear(shared, message.get_payload_bytes(), sessions),
                None => return Err(redis::RedisError::from((redis::ErrorKind::Io, "the connection ended"))),
            },
            space = opened.recv() => {
                let Some(space) = space else { return Ok(()) };
                spaces.push(Arc::clone(&space));
                answered(sink.subscribe(&[&space.public_channel, &space.private_channel])).await?;
                space.subscribed.send_replace(true);
            }
            _ = ping.tick() => drop(answered(sink.ping::<Value>()).await?),
        }
    }
}

async fn answered<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(RESPONSE_TIMEOUT, answer).await.map_err(|_| timed_out())?
}

fn timed_out() -> redis::RedisError {
    redis::RedisError::from((redis::ErrorKind::Io, "no answer in time"))
}

fn hear(shared: &Arc<Shared>, bytes: &[u8], sessions: Option<&RedisSessions>) {
    let call = match Call::decode(bytes) {
        Ok(Some(call)) => call,
        Ok(None) => return,
        Err(error) => {
            shared.counters.malformed.add(1);
            return tracing::debug!(error = %error, "a message can't be understood");
        }
    };
    let Some(space) = shared.space(&call.namespace).filter(|space| space.uid != call.uid) else { return };
    match call.message {
        Message::Broadcast { request, broadcast, timeout } => {
            let (acks, events) = mpsc::unbounded_channel();
            shared.node().deliver_with_acks(&space.name, &broadcast, timeout, acks);
            tokio::spawn(pass_on(Arc::clone(shared), space, call.uid, request, events));
        }
        Message::Fetch { request, target } => {
            let (found, shared) = (shared.node().fetch(&space.name, &target), Arc::clone(shared));
            tokio::spawn(async move {
                let sockets = found.await;
                respond(&shared, &space, &call.uid, Message::FetchResponse { request, sockets });
            });
        }
        Message::ServerEmit { request: None, payload } => shared.node().server_event(&space.name, payload, None),
        Message::ServerEmit { request: Some(request), payload } => {
            let (reply, answer) = oneshot::channel();
            shared.node().server_event(&space.name, payload, Some(reply));
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                // Unanswered, the other node sees that the time passes.
                if let Ok(answer) = answer.await {
                    respond(&shared, &space, &call.uid, Message::ServerEmitResponse { request, answer });
                }
            });
        }
        Message::Superseded { pid, epoch } => {
            if let Some(sessions) = sessions {
                sessions.taken_over(&space.name, &pid, epoch);
            }
        }
        message @ (Message::FetchResponse { .. }
        | Message::ServerEmitResponse { .. }
        | Message::BroadcastClients { .. }
        | Message::BroadcastAck { .. }) => {
            let request = match &message {
                Message::FetchResponse { request, .. }
                | Message::ServerEmitResponse { request, .. }
                | Message::BroadcastClients { request, .. }
                | Message::BroadcastAck { request, .. } => request.clone(),
                _ => return,
            };
            shared.calls.answered(&request, message);
        }
    }
}

/// Tells the asking node of the clients here.
async fn pass_on(
    shared: Arc<Shared>,
    space: Arc<Space>,
    uid: String,
    request: String,
    mut events: mpsc::UnboundedReceiver<AckEvent>,
) {
    while let Some(event) = events.recv().await {
        let request = request.clone();
        let message = match event {
            AckEvent::Servers(_) => continue,
            AckEvent::Clients(count) => Message::BroadcastClients { request, count },
            AckEvent::Ack(answer) => Message::BroadcastAck { request, answer },
        };
        respond(&shared, &space, &uid, message);
    }
}

fn respond(shared: &Shared, space: &Space, uid: &str, message: Message) {
    calls::send(shared, space, private_channel(&space.name, uid, &shared.options), message);
}
