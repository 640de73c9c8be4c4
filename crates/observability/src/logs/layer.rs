//! Makes lines of events and hands them to the transports.

use std::cell::Cell;
use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::console;
use super::fields::{Fields, Scratch};
use super::json::{self, Head, Ids, Members};
use super::level::{self, LineLevel};
use super::pretty::{self, Pairs};
use super::queue::{Kind, Pushed, Queue};
use super::service::{Services, is_access};
use super::settings::{Clock, Console, LogFormat};
use super::stamp::stamp;
use crate::context::RequestContext;

/// Turns every event that the filter lets through into a line.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) services: Services,
    pub(super) clock: Clock,
    pub(super) console: Option<ConsoleLines>,
    pub(super) files: Option<Arc<Queue>>,
}

/// The console, and how lines look there.
#[derive(Debug)]
pub(super) struct ConsoleLines {
    pub(super) queue: Arc<Queue>,
    pub(super) console: Console,
    pub(super) format: LogFormat,
    pub(super) ansi: bool,
}

thread_local! {
    /// Taken while a line is made: a value that logs while it is being formatted gets buffers of its own.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let access = is_access(metadata.target());
        let level = LineLevel::of(*metadata.level(), access);
        level.count();
        let kind = match level {
            LineLevel::Error => Kind::Error,
            LineLevel::Warn => Kind::Warning,
            _ if access => Kind::Access,
            _ => Kind::Other,
        };
        let at = stamp(self.clock.now());
        let service = self.services.of(metadata.target());

        let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_default();
        // Copied: values of the event may do with the context what they like.
        let mut request = std::mem::take(&mut scratch.request);
        request.clear();
        let ids = RequestContext::with_current(|context| {
            request.push_str(context.request_id());
            (context.trace_id(), context.span_id())
        });
        let ids = ids.map(|(trace, span)| Ids { request: &request, trace, span });
        let head = Head { at: &at, level, service, message: "", ids };

        let pretty = self.console.as_ref().filter(|console| console.format == LogFormat::Pretty);
        if let Some(console) = pretty {
            scratch.clear();
            event.record(&mut Fields { scratch: &mut scratch, names: metadata.fields(), style: Pairs });
            let Scratch { message, fields, line, .. } = &mut *scratch;
            line.clear();
            pretty::line(&Head { message, ..head }, fields, console.ansi, line);
            console.push(line, kind);
        }
        if pretty.is_none() || self.files.is_some() {
            scratch.clear();
            let style = Members { in_request: ids.is_some() };
            event.record(&mut Fields { scratch: &mut scratch, names: metadata.fields(), style });
            let Scratch { message, fields, line, .. } = &mut *scratch;
            line.clear();
            json::line(&Head { message, ..head }, fields, line);
            if let Some(console) = self.console.as_ref().filter(|_| pretty.is_none()) {
                console.push(line, kind);
            }
            if let Some(files) = &self.files
                && files.push(line, kind) != Pushed::Queued
            {
                level::DROPPED.inc();
            }
        }
        scratch.request = request;
        let _ = SCRATCH.try_with(|place| place.set(Some(scratch)));
    }
}

impl ConsoleLines {
    fn push(&self, line: &[u8], kind: Kind) {
        match self.queue.push(line, kind) {
            Pushed::Queued => {}
            Pushed::Full => level::DROPPED.inc(),
            // Nobody else writes any more, and what is said now is said by a process that ends.
            Pushed::Closed => {
                let _ = console::write(self.console, line);
            }
        }
    }
}
