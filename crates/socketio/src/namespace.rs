//! Namespaces: what an application says about them, and what the server keeps of them.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::future::LocalBoxFuture;

use crate::{
    ConnectError, Offset, Payload,
    codec::{self, Body},
    engine::frame,
    handler::{Context, Handle, Outcome},
    sync::Mutex,
};

/// A handler whose arguments have been taken care of.
pub(crate) type BoxHandler<T> = Box<dyn Fn(&mut Context) -> LocalBoxFuture<'static, T> + Send + Sync>;

type Rule = Box<dyn Fn(&str) -> bool + Send + Sync>;

enum Name {
    Fixed(String),
    Rule(Rule),
}

/// A namespace and its handlers, given to [`crate::Builder::namespace`].
///
/// Handlers are functions whose arguments are extractors: see [`crate::handler`]. They belong to the namespace, not to
/// each socket, so that a socket costs nothing for them. A handler runs on the worker that received the event, up to its
/// first await before the next event of that connection is looked at.
pub struct Namespace {
    name: Name,
    pub(crate) middlewares: Vec<BoxHandler<Result<(), ConnectError>>>,
    pub(crate) on_recover: Vec<BoxHandler<Result<(), ConnectError>>>,
    pub(crate) on_connect: Option<BoxHandler<()>>,
    pub(crate) on_disconnect: Option<BoxHandler<()>>,
    pub(crate) events: HashMap<String, BoxHandler<()>>,
    pub(crate) on_any: Option<BoxHandler<()>>,
    pub(crate) server_events: HashMap<String, BoxHandler<()>>,
}

impl Namespace {
    /// The namespace of this name; a slash is put before it if it has none. The main one is `/`.
    pub fn new(name: impl Into<String>) -> Self {
        let mut name = name.into();
        if !name.starts_with('/') {
            name.insert(0, '/');
        }
        Self::named(Name::Fixed(name))
    }

    /// Every namespace whose name the rule allows, such as `/tenant-7`: it comes to be when a client asks for it.
    ///
    /// They count against [`crate::Limits::dynamic_namespaces`], and stay.
    pub fn dynamic(rule: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::named(Name::Rule(Box::new(rule)))
    }

    fn named(name: Name) -> Self {
        Self {
            name,
            middlewares: Vec::new(),
            on_recover: Vec::new(),
            on_connect: None,
            on_disconnect: None,
            events: HashMap::new(),
            on_any: None,
            server_events: HashMap::new(),
        }
    }

    /// Asked, in the order they were added, before a client is let in. The first that fails refuses it: its client gets
    /// `connect_error` with the message and data of the [`ConnectError`].
    ///
    /// Here [`crate::Socket::set_user`] says who the client is; recovery comes only after all middlewares agreed.
    #[must_use]
    pub fn middleware<H, Args>(mut self, handler: H) -> Self
    where
        H: Handle<Args>,
        H::Output: Into<Result<(), ConnectError>>,
        Args: 'static,
    {
        self.middlewares.push(checking(handler));
        self
    }

    /// Asked when a session is about to go on, after the middlewares, with the rooms and data of the session in the
    /// socket: the place to leave rooms that the client may no longer be in. An error refuses the recovery alone; the
    /// client connects anew.
    #[must_use]
    pub fn on_recover<H, Args>(mut self, handler: H) -> Self
    where
        H: Handle<Args>,
        H::Output: Into<Result<(), ConnectError>>,
        Args: 'static,
    {
        self.on_recover.push(checking(handler));
        self
    }

    /// Runs when a client has connected, recovered or not.
    #[must_use]
    pub fn on_connect<H, Args>(mut self, handler: H) -> Self
    where
        H: Handle<Args>,
        H::Output: Outcome,
        Args: 'static,
    {
        self.on_connect = Some(running("connect", handler));
        self
    }

    /// Runs when a client is gone; the extractor [`crate::DisconnectReason`] says why. Its rooms can still be read.
    #[must_use]
    pub fn on_disconnect<H, Args>(mut self, handler: H) -> Self
    where
        H: Handle<Args>,
        H::Output: Outcome,
        Args: 'static,
    {
        self.on_disconnect = Some(running("disconnect", handler));
        self
    }

    /// Runs when a client sends this event.
    #[must_use]
    pub fn on<H, Args>(mut self, event: impl Into<String>, handler: H) -> Self
    where
        H: Handle<Args>,
        H::Output: Outcome,
        Args: 'static,
    {
        let event = event.into();
        self.events.insert(event.clone(), running(&event, handler));
        self
    }

    /// Runs for events that have no handler of their own.
    #[must_use]
    pub fn on_any<H, Args>(mut self, handler: H) -> Self
    where
        H: Handle<Args>,
        H::Output: Outcome,
        Args: 'static,
    {
        self.on_any = Some(running("any", handler));
        self
    }

    /// Runs when another node sends this event by [`crate::Emitter::server_side_emit`].
    #[must_use]
    pub fn on_server_event<H, Args>(mut self, event: impl Into<String>, handler: H) -> Self
    where
        H: Handle<Args>,
        H::Output: Outcome,
        Args: 'static,
    {
        let event = event.into();
        self.server_events.insert(event.clone(), running(&event, handler));
        self
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match &self.name {
            Name::Fixed(name) => Some(name),
            Name::Rule(_) => None,
        }
    }

    pub(crate) fn allows(&self, name: &str) -> bool {
        match &self.name {
            Name::Fixed(own) => own == name,
            Name::Rule(rule) => rule(name),
        }
    }
}

fn running<H, Args>(name: &str, handler: H) -> BoxHandler<()>
where
    H: Handle<Args>,
    H::Output: Outcome,
    Args: 'static,
{
    let name = name.to_owned();
    Box::new(move |context| match handler.call(context) {
        Ok(running) => {
            let name = name.clone();
            Box::pin(async move { running.await.report(&name) })
        }
        Err(rejection) => {
            context.rejected(&name, &rejection);
            Box::pin(async {})
        }
    })
}

fn checking<H, Args>(handler: H) -> BoxHandler<Result<(), ConnectError>>
where
    H: Handle<Args>,
    H::Output: Into<Result<(), ConnectError>>,
    Args: 'static,
{
    Box::new(move |context| match handler.call(context) {
        Ok(checking) => Box::pin(async move { checking.await.into() }),
        Err(rejection) => Box::pin(async move { Err(ConnectError::new(rejection.to_string())) }),
    })
}

/// A namespace at work.
pub(crate) struct Runtime {
    index: OnceLock<usize>,
    pub(crate) name: Arc<str>,
    pub(crate) spec: Arc<Namespace>,
    pub(crate) disconnect_frame: Bytes,
    acks: AtomicU64,
    /// The workers were last given a stored event of this offset. The lock keeps the order between those and others that
    /// are stamped with it.
    pub(crate) served: Mutex<Option<Offset>>,
}

impl Runtime {
    /// One that is not open yet: a client asks for it, and middlewares have to agree first.
    pub(crate) fn planned(name: Arc<str>, spec: Arc<Namespace>) -> Self {
        let disconnect_frame = frame::text(b'4', &codec::encode(&name, &Body::Disconnect));
        Self { index: OnceLock::new(), name, spec, disconnect_frame, acks: AtomicU64::new(0), served: Mutex::new(None) }
    }

    /// Gives it its place in the workers' tables, once.
    pub(crate) fn open_at(&self, index: usize) {
        // It is opened under the lock of the list of namespaces, by whoever puts it there.
        let _ = self.index.set(index);
    }

    /// Its place in the workers' tables; none while it is not open.
    pub(crate) fn index(&self) -> Option<usize> {
        self.index.get().copied()
    }

    /// One counter for all sockets: a broadcast that asks for acknowledgements carries one id.
    pub(crate) fn next_ack(&self) -> u64 {
        self.acks.fetch_add(1, Ordering::Relaxed)
    }

    /// An event, ready to be sent.
    pub(crate) fn event_frames(&self, id: Option<u64>, payload: &Payload) -> Bytes {
        // Cloned cheaply: the codec wants to own it.
        let packet = codec::encode(&self.name, &Body::Event { id, payload: payload.clone() });
        frame::message(&packet, payload.attachments())
    }
}
