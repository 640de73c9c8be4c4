//! Handlers and their arguments.
//!
//! A handler is an async function of up to eight extractors, in any order:
//!
//! | extractor | what it gives |
//! | --- | --- |
//! | [`Socket`] | the socket |
//! | [`Data`]`<T>` | the event's arguments: a tuple for several, else the first; an event that does not fit is not handled |
//! | [`TryData`]`<T>` | the same, or why it does not fit |
//! | [`Ack`] | the way to acknowledge |
//! | [`Auth`]`<T>`, `Option<Auth<T>>` | the payload of the connect packet (middlewares, `on_recover` and `on_connect`) |
//! | [`State`]`<T>` | what [`crate::Builder::state`] was given |
//! | [`SocketIo`] | the server |
//! | [`EventName`] | the name of the event |
//! | [`Args`] | the event as it came |
//! | [`crate::DisconnectReason`] | why the client is gone (`on_disconnect`) |

use std::{fmt, future::Future, ops::Deref, sync::Arc};

use bytestring::ByteString;
use futures::future::LocalBoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use crate::{
    DecodeError, EncodeError, Payload, SocketIo,
    codec::{self, Body},
    engine::frame,
    hub::Hub,
    reason::DisconnectReason,
    socket::Socket,
    worker::Op,
};

/// What a handler is called for.
pub struct Context {
    pub(crate) hub: Arc<Hub>,
    pub(crate) socket: Option<Socket>,
    pub(crate) payload: Option<Payload>,
    pub(crate) ack: AckTo,
    pub(crate) auth: Option<ByteString>,
    pub(crate) reason: Option<DisconnectReason>,
}

/// Where an acknowledgement goes.
#[derive(Default)]
pub(crate) enum AckTo {
    #[default]
    Nobody,
    Client(u64),
    Node(oneshot::Sender<Payload>),
}

impl Context {
    pub(crate) fn rejected(&self, event: &str, rejection: &Rejection) {
        self.hub.stats.rejected_events.one();
        let socket = self.socket.as_ref().map(|socket| socket.id().to_string());
        tracing::debug!(event, socket, error = %rejection, "event left unhandled: its arguments do not fit");
    }
}

/// An extractor's refusal: the handler is not called.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(pub String);

/// An argument of a handler.
pub trait FromContext: Sized {
    /// Takes what it needs.
    ///
    /// # Errors
    /// It is not there, or is not what was expected.
    fn from_context(context: &mut Context) -> Result<Self, Rejection>;
}

/// A function that can be a handler; implemented for async functions of up to eight extractors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "not an async function of up to eight extractors",
    note = "every argument has to be one of `Socket`, `Data<T>`, `TryData<T>`, `Ack`, `Args`, `Auth<T>`, `State<T>`, `SocketIo`, `EventName`, `DisconnectReason`, or implement `FromContext`",
    note = "`Data<T>` and `Auth<T>` need `T: serde::de::DeserializeOwned`"
)]
pub trait Handle<Args>: Send + Sync + 'static {
    /// What it gives.
    type Output: 'static;

    /// Begins to run it.
    ///
    /// # Errors
    /// An extractor refused.
    fn call(&self, context: &mut Context) -> Result<LocalBoxFuture<'static, Self::Output>, Rejection>;
}

macro_rules! handlers {
    ($(($($argument:ident)*))*) => {
        $(
            impl<F, Fut, $($argument,)*> Handle<($($argument,)*)> for F
            where
                F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
                Fut: Future + 'static,
                Fut::Output: 'static,
                $($argument: FromContext,)*
            {
                type Output = Fut::Output;

                #[allow(clippy::allow_attributes, non_snake_case, unused_variables, reason = "made by a macro for every number of arguments")]
                fn call(&self, context: &mut Context) -> Result<LocalBoxFuture<'static, Fut::Output>, Rejection> {
                    $(let $argument = $argument::from_context(context)?;)*
                    Ok(Box::pin(self($($argument),*)))
                }
            }
        )*
    };
}

handlers! {
    ()
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E G)
    (A B C D E G H)
    (A B C D E G H I)
}

/// What a handler may give: nothing, or a result whose error is logged.
pub trait Outcome: 'static {
    /// Takes note of it.
    fn report(self, event: &str);
}

impl Outcome for () {
    fn report(self, _event: &str) {}
}

impl<E: fmt::Display + 'static> Outcome for Result<(), E> {
    fn report(self, event: &str) {
        if let Err(error) = self {
            tracing::warn!(event, %error, "handler failed");
        }
    }
}

impl FromContext for Socket {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        context.socket.clone().ok_or_else(|| Rejection("there is no socket here".to_owned()))
    }
}

impl FromContext for SocketIo {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(SocketIo(context.hub.clone()))
    }
}

impl FromContext for DisconnectReason {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        context.reason.ok_or_else(|| Rejection("nothing was disconnected".to_owned()))
    }
}

fn payload(context: &Context) -> Result<&Payload, Rejection> {
    context.payload.as_ref().ok_or_else(|| Rejection("there is no event here".to_owned()))
}

/// The event's arguments: a tuple takes all of them, any other type the first. Binary arguments are read by
/// [`bytes::Bytes`]; a [`serde_json::Value`] can't hold them.
///
/// An event that does not fit is not handled, and so not acknowledged either: it is counted
/// ([`crate::Snapshot::rejected_events`]) and told at debug level. [`TryData`] lets the handler answer.
#[derive(Clone, Debug)]
pub struct Data<T>(pub T);

impl<T: DeserializeOwned> FromContext for Data<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        payload(context)?.decode_event().map(Self).map_err(|error| Rejection(format!("{:#}", Chain(&error))))
    }
}

/// Like [`Data`], for handlers that want to know of events that do not fit.
#[derive(Debug)]
pub struct TryData<T>(pub Result<T, DecodeError>);

impl<T: DeserializeOwned> FromContext for TryData<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(Self(payload(context)?.decode_event()))
    }
}

/// The event as it came.
#[derive(Clone, Debug)]
pub struct Args(pub Payload);

impl FromContext for Args {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        payload(context).cloned().map(Self)
    }
}

/// Name of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(pub String);

impl FromContext for EventName {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(Self(payload(context)?.name().unwrap_or_default().into_owned()))
    }
}

/// The payload of the connect packet: `auth` of the client's options. `{}` if it has none.
#[derive(Clone, Debug)]
pub struct Auth<T>(pub T);

impl<T: DeserializeOwned> FromContext for Auth<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        let auth = context.auth.as_deref().unwrap_or("{}");
        serde_json::from_str(auth).map(Self).map_err(|error| Rejection(format!("auth: {error}")))
    }
}

impl<T: DeserializeOwned> FromContext for Option<Auth<T>> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(Auth::from_context(context).ok())
    }
}

/// What [`crate::Builder::state`] was given.
#[derive(Clone, Debug)]
pub struct State<T>(pub Arc<T>);

impl<T: Send + Sync + 'static> FromContext for State<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        let found = context.hub.config.state::<T>();
        found.map(Self).ok_or_else(|| Rejection(format!("no state of type {} was given", std::any::type_name::<T>())))
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The way to acknowledge an event. Does nothing if its sender asked for no acknowledgement.
pub struct Ack {
    socket: Option<Socket>,
    to: AckTo,
}

impl FromContext for Ack {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(Self { socket: context.socket.clone(), to: std::mem::take(&mut context.ack) })
    }
}

impl Ack {
    /// Whether the sender waits for an acknowledgement.
    pub fn is_wanted(&self) -> bool {
        !matches!(self.to, AckTo::Nobody)
    }

    /// Acknowledges. A tuple makes several arguments, `()` none.
    ///
    /// # Errors
    /// The data has no form in JSON.
    pub fn send<T: Serialize + ?Sized>(self, data: &T) -> Result<(), EncodeError> {
        if self.is_wanted() {
            self.send_payload(Payload::arguments(data)?);
        }
        Ok(())
    }

    /// Acknowledges with what came by [`Args`], its event's name left out; or with any other payload.
    pub fn send_payload(self, payload: Payload) {
        match (self.to, self.socket) {
            (AckTo::Client(id), Some(socket)) => {
                let attachments = payload.attachments().to_vec();
                let packet = codec::encode(socket.namespace(), &Body::Ack { id, payload });
                let frames = frame::message(&packet, &attachments);
                let conn = socket.0.conn.clone();
                conn.hub.dispatch(&conn, Op::Send { socket: socket.0, frames, volatile: false });
            }
            // The node that asked may have stopped waiting.
            (AckTo::Node(to), _) => drop(to.send(payload)),
            _ => {}
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").field("is_wanted", &self.is_wanted()).finish_non_exhaustive()
    }
}

/// An error with its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
