//! A receiver of OTLP, over gRPC or HTTP, that keeps what it gets.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::process::PATIENCE;

use super::spans::{Span, Spans};

/// Everything received, and a bell that rings when there is more.
#[derive(Clone)]
struct Kept(watch::Sender<Spans>);

impl Kept {
    fn take(&self, export: &ExportTraceServiceRequest) {
        self.0.send_modify(|spans| spans.0.extend(Span::all(export)));
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request.get_ref());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn over_http(kept: web::Data<Kept>, body: web::Bytes) -> HttpResponse {
    match ExportTraceServiceRequest::decode(body) {
        Ok(export) => kept.take(&export),
        Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
    }
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    HttpResponse::Ok().content_type("application/x-protobuf").body(answer)
}

enum Server {
    Grpc(JoinHandle<()>),
    Http(ServerHandle),
}

/// Receives until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    kept: Kept,
    server: Server,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        match &self.server {
            Server::Grpc(task) => task.abort(),
            // The message alone stops it; nobody waits for the answer.
            Server::Http(handle) => drop(handle.stop(false)),
        }
    }
}

impl Receiver {
    /// Over gRPC, on a free port.
    pub(crate) fn grpc() -> Self {
        Self::grpc_at("127.0.0.1:0".parse().unwrap())
    }

    /// Over gRPC, on this port.
    pub(crate) fn grpc_at(address: SocketAddr) -> Self {
        let incoming = TcpIncoming::bind(address).unwrap();
        let address = incoming.local_addr().unwrap();
        let kept = Kept(watch::Sender::default());
        let service = TraceServiceServer::new(kept.clone());
        let server = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        let server = Server::Grpc(tokio::spawn(async move { server.await.unwrap() }));
        Self { address, kept, server }
    }

    /// Over HTTP, protobuf in the bodies, on a free port and the path of the specification.
    pub(crate) fn http() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Kept(watch::Sender::default());
        let data = web::Data::new(kept.clone());
        let app = move || App::new().app_data(data.clone()).route("/v1/traces", web::post().to(over_http));
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { address, kept, server: Server::Http(handle) }
    }

    /// Where Souk is to send to.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    pub(crate) fn spans(&self) -> Spans {
        self.kept.0.borrow().clone()
    }

    /// Waits until what came makes `holds` say nothing more is wanted; what it wanted last otherwise. What came then.
    pub(crate) async fn until(&self, holds: impl Fn(&Spans) -> Result<(), String>) -> Spans {
        self.until_within(PATIENCE, holds).await
    }

    async fn until_within(&self, patience: Duration, holds: impl Fn(&Spans) -> Result<(), String>) -> Spans {
        let mut changes = self.kept.0.subscribe();
        let held = tokio::time::timeout(patience, changes.wait_for(|spans| holds(spans).is_ok())).await;
        if let Ok(spans) = held {
            return spans.unwrap().clone();
        }
        let spans = self.spans();
        panic!("not within {patience:?}: {}\n{spans}", holds(&spans).err().unwrap_or_default());
    }
}
