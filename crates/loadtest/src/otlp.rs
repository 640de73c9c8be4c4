//! A receiver of traces that counts them: OTLP over gRPC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::error::Error;

/// The longest batch: exporters send 512 spans at a time, seldom more than a few hundred KiB.
const MOST_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// What came so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Batches.
    pub batches: u64,
    /// Spans of all kinds.
    pub spans: u64,
    /// Spans that begin a trace and serve a request: one for each sampled request of a client.
    pub requests: u64,
}

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    spans: AtomicU64,
    requests: AtomicU64,
}

impl Counters {
    fn count(&self, batch: &ExportTraceServiceRequest) {
        let scopes = batch.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let (mut spans, mut requests) = (0, 0);
        for span in scopes.flat_map(|scope| &scope.spans) {
            spans += 1;
            requests += u64::from(begins_request(span));
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.spans.fetch_add(spans, Ordering::Relaxed);
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }
}

fn begins_request(span: &Span) -> bool {
    // Some exporters write a missing parent as zeros.
    span.parent_span_id.iter().all(|byte| *byte == 0) && span.kind == i32::from(SpanKind::Server)
}

struct Service(Arc<Counters>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.count(request.get_ref());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Serves on a thread of its own, so that taking spans in does not hold up the load; ends when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Receiver {
    /// Starts on a free port of the loopback interface.
    ///
    /// # Errors
    /// When there is no free port or no thread.
    pub fn start() -> Result<Self, Error> {
        let what = "the receiver of traces can't be started";
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io(what))?;
        listener.set_nonblocking(true).map_err(Error::io(what))?;
        let address = listener.local_addr().map_err(Error::io(what))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io(what))?;
        let counters = Arc::<Counters>::default();
        let stop = CancellationToken::new();
        let (counts, stopped) = (Arc::clone(&counters), stop.clone());
        let serve = move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let service = TraceServiceServer::new(Service(counts)).max_decoding_message_size(MOST_BATCH_BYTES);
                let serving = tonic::transport::Server::builder()
                    .add_service(service)
                    .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
                // Nobody waits for open connections: what they sent and was not counted is not waited for either.
                tokio::select! {
                    () = stopped.cancelled() => {}
                    result = serving => {
                        if let Err(error) = result {
                            crate::progress::say(&format!("the receiver of traces failed: {error}"));
                        }
                    }
                }
            });
        };
        let thread = thread::Builder::new().name("otlp".to_owned()).spawn(serve).map_err(Error::io(what))?;
        Ok(Self { address, counters, stop, thread: Some(thread) })
    }

    /// Where exporters find it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    pub fn received(&self) -> Received {
        Received {
            batches: self.counters.batches.load(Ordering::Relaxed),
            spans: self.counters.spans.load(Ordering::Relaxed),
            requests: self.counters.requests.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    use super::*;

    fn span(kind: SpanKind, parent: &[u8]) -> Span {
        Span { kind: kind.into(), parent_span_id: parent.to_vec(), ..Span::default() }
    }

    #[tokio::test]
    async fn counts_spans_and_those_that_begin_a_request() {
        let receiver = Receiver::start().unwrap();
        let mut client = TraceServiceClient::connect(receiver.endpoint()).await.unwrap();
        let spans = vec![
            span(SpanKind::Server, &[]),
            span(SpanKind::Server, &[0; 8]),
            span(SpanKind::Server, &[1; 8]),
            span(SpanKind::Internal, &[]),
            span(SpanKind::Client, &[2; 8]),
        ];
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        client.export(ExportTraceServiceRequest { resource_spans }).await.unwrap();
        assert_eq!(receiver.received(), Received { batches: 1, spans: 5, requests: 2 });
    }
}
