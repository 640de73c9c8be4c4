//! An OTLP receiver over gRPC that keeps what it gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::Notify;

/// How long anything may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// A span with the service that sent it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) service: String,
    pub(crate) resource: Vec<KeyValue>,
    /// The version of what made it.
    pub(crate) version: String,
    pub(crate) span: Span,
}

impl Received {
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }
}

pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    Some(match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::DoubleValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// What was sent as a number, and not as digits.
pub(crate) fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    if let any_value::Value::IntValue(number) = value { Some(*number) } else { None }
}

#[derive(Clone, Default)]
pub(crate) struct Receiver {
    spans: Arc<Mutex<Vec<Received>>>,
    arrived: Arc<Notify>,
}

impl Receiver {
    /// Begins to listen, on a thread of its own: it outlives the runtimes of single tests.
    pub(crate) fn start() -> (Self, SocketAddr) {
        let receiver = Self::default();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let service = TraceServiceServer::new(receiver.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let socket = tokio::net::TcpListener::from_std(socket).unwrap();
                let incoming = tonic::transport::server::TcpIncoming::from(socket);
                tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
            });
        });
        (receiver, address)
    }

    /// The spans of a trace, once there are so many.
    pub(crate) async fn trace(&self, trace_id: [u8; 16], count: usize) -> Vec<Received> {
        let waiting = async {
            loop {
                let arrived = self.arrived.notified();
                let found = self.of(trace_id);
                if found.len() >= count {
                    return found;
                }
                arrived.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("{count} spans wanted, there are {:#?}", self.of(trace_id)))
    }

    pub(crate) fn of(&self, trace_id: [u8; 16]) -> Vec<Received> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|received| received.span.trace_id == trace_id).cloned().collect()
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            let service = text(&attributes, "service.name").unwrap_or_default();
            for scope in resource.scope_spans {
                let version = scope.scope.map(|scope| scope.version).unwrap_or_default();
                self.spans.lock().unwrap().extend(scope.spans.into_iter().map(|span| Received {
                    service: service.clone(),
                    resource: attributes.clone(),
                    version: version.clone(),
                    span,
                }));
            }
        }
        self.arrived.notify_waiters();
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}
