//! The spans of the business: one for a run of the checkout saga, one for each of its steps.

use observability::RequestContext;
use observability::logs::error_chain;
use observability::trace::{self, KeyValue, Span, SpanKind};

use crate::application::error::OrderError;
use crate::domain::{Order, Saga, SagaState};

/// A run of the saga: part of the request that began it, or a trace of its own when it was taken up later.
pub(crate) fn checkout(context: &RequestContext, order: &Order, saga: &Saga) -> Span {
    context.start(SpanKind::Internal, "checkout.process", || {
        vec![
            KeyValue::new("order.id", order.id().to_string()),
            KeyValue::new("user.id", order.user_id().to_string()),
            KeyValue::new("order.total_minor", order.total().amount_minor()),
            KeyValue::new("order.currency", order.total().currency().to_string()),
            KeyValue::new("order.lines", i64::try_from(order.items().len()).unwrap_or(i64::MAX)),
            KeyValue::new("saga.attempt", i64::from(saga.parts().attempts) + 1),
        ]
    })
}

/// How the run ended.
pub(crate) fn end_checkout(span: Span, order: &Order, saga: &Saga) {
    span.set(KeyValue::new("order.status", order.status().as_str()));
    span.set(KeyValue::new("saga.state", saga.state().as_str()));
    span.end();
}

/// One step of a run.
pub(crate) fn step(state: SagaState, order: &Order) -> Option<Span> {
    trace::child(SpanKind::Internal, "saga.step", || {
        vec![KeyValue::new("saga.step", state.step()), KeyValue::new("order.id", order.id().to_string())]
    })
}

/// The step failed and will be tried again; a refusal is no failure.
pub(crate) fn step_failed(span: &Span, error: &OrderError) {
    let kind = match error {
        OrderError::Neighbour(_) => "neighbour",
        OrderError::Store(_) => "store",
        _ => "refused",
    };
    span.fail(kind, &error_chain(error));
}
