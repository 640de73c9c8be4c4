//! Calls the handlers.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    task::{Context as TaskContext, Waker},
};

use bytestring::ByteString;
use futures::{FutureExt as _, future::LocalBoxFuture};

use crate::{
    Payload,
    handler::{AckTo, Context},
    hub::Hub,
    namespace::Runtime,
    reason::DisconnectReason,
    socket::{Inner, Socket},
};

/// Runs a handler up to its first await here and now, the rest as a task of this worker.
///
/// So handlers begin in the order of their events, as they would with the original, and one that needs not wait costs no
/// task. One that panics loses its event, and nothing else: neither its connection nor its worker.
pub(crate) fn run(hub: &Arc<Hub>, begin: impl FnOnce() -> LocalBoxFuture<'static, ()>) {
    let first = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut future = begin();
        // Whatever it waits for wakes nobody yet; the task polls it once more, with a waker of its own.
        let mut nobody = TaskContext::from_waker(Waker::noop());
        future.poll_unpin(&mut nobody).is_pending().then_some(future)
    }));
    match first {
        Ok(None) => {}
        Ok(Some(rest)) => drop(actix_rt::spawn(guarded(hub.clone(), rest))),
        Err(cause) => panicked(hub, &*cause),
    }
}

async fn guarded(hub: Arc<Hub>, handling: LocalBoxFuture<'static, ()>) {
    if let Err(cause) = AssertUnwindSafe(handling).catch_unwind().await {
        panicked(&hub, &*cause);
    }
}

/// Takes note of a panic in the application's code.
pub(crate) fn panicked(hub: &Hub, cause: &(dyn Any + Send)) {
    hub.stats.panics.one();
    let message = cause.downcast_ref::<&str>().copied().or(cause.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message, "handler panicked");
}

/// A client has connected: on the worker that holds it, once it is in the tables, and before it is told. So the handler finds it
/// connected, begins before the client's first event comes, whichever worker that comes to, and what it sends comes
/// after the connect packet: the worker is in the midst of its operations, so that it is posted.
pub(crate) fn connected(socket: &Arc<Inner>, auth: Option<ByteString>) {
    let Some(handler) = &socket.namespace.spec.on_connect else { return };
    let hub = socket.conn.hub.clone();
    let mut context = Context {
        hub: hub.clone(),
        socket: Some(Socket(socket.clone())),
        payload: None,
        ack: AckTo::Nobody,
        auth,
        reason: None,
    };
    run(&hub, || handler(&mut context));
}

/// A client sent an event.
pub(crate) fn received(socket: Socket, payload: Payload, ack: Option<u64>) {
    let namespace = socket.0.namespace.clone();
    let handler = payload.name().and_then(|name| namespace.spec.events.get(&*name)).or(namespace.spec.on_any.as_ref());
    let Some(handler) = handler else {
        socket.0.conn.hub.stats.unhandled_events.one();
        tracing::debug!(event = payload.name().as_deref(), namespace = &*namespace.name, "event without a handler");
        return;
    };
    let mut context = Context {
        hub: socket.0.conn.hub.clone(),
        socket: Some(socket),
        payload: Some(payload),
        ack: ack.map_or(AckTo::Nobody, AckTo::Client),
        auth: None,
        reason: None,
    };
    let hub = context.hub.clone();
    run(&hub, || handler(&mut context));
}

/// A client is gone.
pub(crate) fn disconnected(socket: Socket, reason: DisconnectReason) {
    let spec = socket.0.namespace.spec.clone();
    let hub = socket.0.conn.hub.clone();
    if spec.on_disconnect.is_none() {
        return;
    }
    let mut context =
        Context { hub, socket: Some(socket), payload: None, ack: AckTo::Nobody, auth: None, reason: Some(reason) };
    let hub = context.hub.clone();
    spawn(hub, move || Some(spec.on_disconnect.as_ref()?(&mut context)));
}

/// Another node sent an event to this one.
pub(crate) fn from_node(
    hub: Arc<Hub>,
    namespace: &Runtime,
    payload: Payload,
    reply: Option<tokio::sync::oneshot::Sender<Payload>>,
) {
    let spec = namespace.spec.clone();
    let ack = reply.map_or(AckTo::Nobody, AckTo::Node);
    let mut context = Context { hub, socket: None, payload: Some(payload.clone()), ack, auth: None, reason: None };
    let hub = context.hub.clone();
    spawn(hub, move || Some(spec.server_events.get(&*payload.name()?)?(&mut context)));
}

/// As a task from the start: the worker is in the midst of its operations, and must not see a panic.
fn spawn(hub: Arc<Hub>, begin: impl FnOnce() -> Option<LocalBoxFuture<'static, ()>> + 'static) {
    let handling = async move {
        if let Some(handling) = begin() {
            handling.await;
        }
    };
    actix_rt::spawn(guarded(hub, Box::pin(handling)));
}
