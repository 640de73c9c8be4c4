//! Log lines, with the request that they belong to.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use observability::RequestContext;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of the slow-query log: request id, trace, span, fields.
#[derive(Clone, Default)]
pub(crate) struct SlowLines(Arc<Mutex<Vec<String>>>);

impl SlowLines {
    pub(crate) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for SlowLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "slow_query" {
            return;
        }
        let mut line = Line(format!("level={}", event.metadata().level()));
        RequestContext::with_current(|request| {
            let _ = write!(line.0, " request_id={} span_id={}", request.request_id(), request.span_id());
        });
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}
