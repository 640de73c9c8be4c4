//! One event of a client: who sent it, with what, and where its answer goes.

use std::future::Future;
use std::sync::Arc;

use contracts::{Reason, Refusal};
use observability::RequestContext;
use observability::trace::{KeyValue, SpanKind};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;
use service_kit::grpc::deadline;
use socketio::handler::{Ack, Context, EventName, FromContext, Rejection, State, TryData};
use socketio::{DecodeError, Socket};

use super::reply::{self, Refused};
use super::{Desk, Session, guard, metrics};
use crate::extract::Caller;

/// Who sent an event, and what its handler needs to answer.
#[derive(Clone)]
pub struct Asker {
    /// What all handlers share.
    pub desk: Arc<Desk>,
    /// The client.
    pub socket: Socket,
    /// What is known of it.
    pub session: Arc<Session>,
    /// Who it is.
    pub caller: Caller,
}

/// An event with its arguments: a tuple takes all of them, any other type the first.
pub struct Call<T> {
    asker: Asker,
    event: String,
    arguments: Result<T, DecodeError>,
    ack: Ack,
}

impl<T: DeserializeOwned> FromContext for Call<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        let State(desk) = State::<Desk>::from_context(context)?;
        let socket = Socket::from_context(context)?;
        let session = Session::of(&socket).ok_or_else(|| Rejection("the client was never let in".to_owned()))?;
        let asker = Asker { desk, socket, caller: session.caller(), session };
        let EventName(event) = EventName::from_context(context)?;
        let TryData(arguments) = TryData::from_context(context)?;
        Ok(Self { asker, event, arguments, ack: Ack::from_context(context)? })
    }
}

impl<T> Call<T> {
    /// Has the event answered, within its time, as a request of its own in logs and traces.
    ///
    /// The answer goes into the acknowledgement. A refusal goes there too, as `{error}`; a client that asked for no
    /// acknowledgement gets an event `error`.
    pub async fn answer<R, F>(self, work: impl FnOnce(Asker, T) -> F)
    where
        R: Serialize,
        F: Future<Output = Result<R, Refusal>>,
    {
        self.answer_then(work, |_, _| ()).await;
    }

    /// As [`Self::answer`]; `then` sends what is to come after the answer.
    pub async fn answer_then<R, F>(self, work: impl FnOnce(Asker, T) -> F, then: impl FnOnce(&Socket, R))
    where
        R: Serialize,
        F: Future<Output = Result<R, Refusal>>,
    {
        let label = self.event.clone();
        self.answer_as(&label, work, then).await;
    }

    /// `label`: the event as metrics and traces name it, one of few.
    async fn answer_as<R, F>(self, label: &str, work: impl FnOnce(Asker, T) -> F, then: impl FnOnce(&Socket, R))
    where
        R: Serialize,
        F: Future<Output = Result<R, Refusal>>,
    {
        let Self { asker, event, arguments, ack } = self;
        let socket = asker.socket.clone();
        let context = RequestContext::background().in_service("gateway");
        let span = context.start(SpanKind::Server, format!("socket.io {label}"), || {
            vec![
                KeyValue::new("messaging.system", "socket.io"),
                KeyValue::new("socket.event", label.to_owned()),
                KeyValue::new("enduser.id", asker.caller.id().to_string()),
            ]
        });
        let answered = match (arguments, asker.desk.access.is_revoked(asker.caller.user())) {
            (_, true) => {
                guard::end(&socket);
                Err(Refusal::new(Reason::InvalidToken, "the access token was revoked"))
            }
            (Err(error), _) => Err(Refusal::invalid("", error)),
            (Ok(arguments), _) => {
                let within = asker.desk.answer_within;
                span.scope(deadline::within(within, work(asker, arguments))).await
            }
        };
        let outcome = answered.as_ref().map_or_else(|refusal| refusal.reason.as_str(), |_| "ok");
        metrics::count_event(label, outcome);
        if let Err(refusal) = &answered {
            span.fail(refusal.reason.as_str(), &refusal.detail);
        }
        span.end_request();
        let sent = match answered {
            Ok(answer) => {
                let sent = ack.send(&answer);
                then(&socket, answer);
                sent
            }
            Err(refusal) if ack.is_wanted() => ack.send(&Refused::from(&refusal)),
            Err(refusal) => {
                let error = json!({ "event": event, "error": reply::describe(&refusal) });
                socket.emit_local("error", &error)
            }
        };
        if let Err(error) = sent {
            tracing::error!(event, %error, "an answer could not be encoded");
        }
    }
}

/// Answers an event that nobody has a handler for: whoever waits for an answer learns that there is none.
pub async fn unknown(call: Call<IgnoredAny>) {
    let (event, namespace) = (call.event.clone(), call.asker.socket.namespace().to_owned());
    let refuse = |_, _| async move {
        let shown: String = event.chars().take(64).collect();
        Err::<(), _>(Refusal::new(Reason::RouteNotFound, format!("there is no event '{shown}' in {namespace}")))
    };
    call.answer_as("unknown", refuse, |_, ()| ()).await;
}
