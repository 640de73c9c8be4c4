//! Ended spans wait in a bounded queue for a thread that sends them in batches. A collector that is away, or slow, costs
//! spans, which are counted, and never a request.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use opentelemetry::trace::Span as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::context;

use super::SPANS;
use super::exporter::{Exporter, SERVICE_NAME};

/// The attribute that names the request a span belongs to.
const REQUEST_ID: &str = "request.id";
/// Most spans that wait. A span is about a kilobyte.
const QUEUE: usize = 8192;
/// Most spans sent at once.
const BATCH: usize = 512;
/// How long a span may wait for others to go with it.
const DELAY: Duration = Duration::from_millis(500);
/// How long a flush may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

enum Message {
    Ended(Box<SpanData>),
    /// Answered once all before it were sent, or given up.
    Flush(SyncSender<()>),
    /// The same, and nothing comes after it.
    Last(SyncSender<()>),
}

/// The queue's end on the side of the spans.
#[derive(Debug)]
pub(super) struct Batches {
    queue: mpsc::Sender<Message>,
}

impl Batches {
    /// Starts the thread.
    pub(super) fn start(exporter: Exporter) -> Self {
        let (queue, arrived) = mpsc::channel(QUEUE);
        // A runtime of its own: telemetry is neither slowed down by the services nor in their way, and outlives their runtimes.
        let thread = std::thread::Builder::new().name("telemetry".to_owned());
        let started = thread.spawn(move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(send(arrived, exporter)),
            Err(error) => tracing::error!(%error, "spans can't be exported"),
        });
        if let Err(error) = started {
            tracing::error!(%error, "spans can't be exported");
        }
        Self { queue }
    }

    /// Sends a message that is answered, and waits for the answer.
    fn ask(&self, message: impl FnOnce(SyncSender<()>) -> Message, timeout: Duration) -> OTelSdkResult {
        let (done, answered) = sync_channel(1);
        let deadline = Instant::now() + timeout;
        let mut message = message(done);
        // While the queue is full there is nothing better to do than to wait for room.
        while let Err(refused) = self.queue.try_send(message) {
            message = match refused {
                TrySendError::Closed(_) => return Err(OTelSdkError::AlreadyShutdown),
                TrySendError::Full(_) if Instant::now() >= deadline => return Err(OTelSdkError::Timeout(timeout)),
                TrySendError::Full(message) => message,
            };
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        answered.recv_timeout(left).map_err(|_| OTelSdkError::Timeout(timeout))
    }
}

impl SpanProcessor for Batches {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        if let Some(service) = context::service_of(parent) {
            span.set_attribute(KeyValue::new(SERVICE_NAME, service));
        }
        // Log lines name it, too: from either one finds the other.
        if let Some(id) = context::request_id_of(parent) {
            span.set_attribute(KeyValue::new(REQUEST_ID, Arc::clone(id)));
        }
    }

    fn on_end(&self, span: SpanData) {
        if self.queue.try_send(Message::Ended(Box::new(span))).is_err() {
            SPANS.with_label_values(&["dropped"]).inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.ask(Message::Flush, FLUSH_TIMEOUT)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.ask(Message::Last, timeout)
    }
}

async fn send(mut arrived: mpsc::Receiver<Message>, mut exporter: Exporter) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut due = tokio::time::Instant::now();
    loop {
        let message = if batch.is_empty() {
            Ok(arrived.recv().await)
        } else {
            tokio::time::timeout_at(due, arrived.recv()).await
        };
        match message {
            Ok(Some(Message::Ended(span))) => {
                if batch.is_empty() {
                    due = tokio::time::Instant::now() + DELAY;
                }
                batch.push(*span);
                if batch.len() >= BATCH {
                    exporter.export(std::mem::take(&mut batch)).await;
                }
            }
            Ok(Some(Message::Flush(done))) => {
                exporter.export(std::mem::take(&mut batch)).await;
                let _ = done.try_send(());
            }
            Ok(Some(Message::Last(done))) => {
                exporter.export(batch).await;
                let _ = done.try_send(());
                return;
            }
            Ok(None) => return exporter.export(batch).await,
            Err(_elapsed) => exporter.export(std::mem::take(&mut batch)).await,
        }
    }
}
