//! What the process has one of: a tracer, and a receiver that it sends to. All tests share them and tell their traces apart.

use std::sync::LazyLock;

use observability::logs::LogSettings;
use observability::trace::TraceSettings;
use observability::{Guard, RequestContext, Settings};

use crate::receiver::{Received, Receiver};

pub(crate) struct Process {
    pub(crate) receiver: Receiver,
    _telemetry: Guard,
}

pub(crate) static PROCESS: LazyLock<Process> = LazyLock::new(|| {
    let (receiver, address) = Receiver::start();
    let endpoint = Some(format!("http://{address}").parse().unwrap());
    let settings = Settings {
        logs: LogSettings { filter: "error".to_owned(), ..LogSettings::new("test") },
        traces: TraceSettings { service: "process", endpoint, ..TraceSettings::default() },
    };
    Process { receiver, _telemetry: observability::init(&settings).unwrap() }
});

/// A request from a caller who records, in a trace of its own.
pub(crate) fn request() -> RequestContext {
    let _ = &*PROCESS;
    let trace_id = uuid::Uuid::new_v4().simple().to_string();
    RequestContext::accept(Some("r-1"), Some(&format!("00-{trace_id}-00f067aa0ba902b7-01")))
}

pub(crate) async fn received(context: &RequestContext, count: usize) -> Vec<Received> {
    PROCESS.receiver.trace(context.trace_id().to_bytes(), count).await
}

pub(crate) fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    spans.iter().find(|received| received.span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}
