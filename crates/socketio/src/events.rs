//! Calls the handlers.

use std::task::{Context as TaskContext, Waker};

use futures::{FutureExt as _, future::LocalBoxFuture};

use crate::{
    Payload,
    handler::{AckTo, Context},
    namespace::{BoxHandler, Runtime},
    reason::DisconnectReason,
    socket::Socket,
};

/// Runs a future up to its first await here and now, the rest as a task of this worker.
///
/// So handlers begin in the order of their events, as they would with the original, and one that needs not wait costs no
/// task.
pub(crate) fn run(mut future: LocalBoxFuture<'static, ()>) {
    // Whatever it waits for wakes nobody yet; the task polls it once more, with a waker of its own.
    let mut nobody = TaskContext::from_waker(Waker::noop());
    if future.poll_unpin(&mut nobody).is_pending() {
        actix_rt::spawn(future);
    }
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
    run(handler(&mut context));
}

/// A client is gone.
pub(crate) fn disconnected(socket: Socket, reason: DisconnectReason) {
    let namespace = socket.0.namespace.clone();
    if let Some(handler) = &namespace.spec.on_disconnect {
        let mut context = Context {
            hub: socket.0.conn.hub.clone(),
            socket: Some(socket),
            payload: None,
            ack: AckTo::Nobody,
            auth: None,
            reason: Some(reason),
        };
        spawn(handler, &mut context);
    }
}

/// Another node sent an event to this one.
pub(crate) fn from_node(
    hub: std::sync::Arc<crate::hub::Hub>,
    namespace: &Runtime,
    payload: Payload,
    reply: Option<tokio::sync::oneshot::Sender<Payload>>,
) {
    let Some(handler) = payload.name().and_then(|name| namespace.spec.server_events.get(&*name)) else { return };
    let ack = reply.map_or(AckTo::Nobody, AckTo::Node);
    let mut context = Context { hub, socket: None, payload: Some(payload), ack, auth: None, reason: None };
    spawn(handler, &mut context);
}

/// As a task from the start: the worker is in the midst of its operations.
fn spawn(handler: &BoxHandler<()>, context: &mut Context) {
    let handling = handler(context);
    actix_rt::spawn(handling);
}
