//! A tonic server and its client, one trace over both: `cargo run -p observability --features tonic --example with_tonic`
//!
//! It calls itself three times, prints its log lines and what was measured, and ends.
//! `OTLP_ENDPOINT=http://127.0.0.1:4317` sends its traces to a collector, `LOG=debug` shows more lines.
//!
//! The service is written by hand where tonic-build would generate it: the layers are the same.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use observability::tonic::{client, server};
use observability::trace::SpanKind;
use observability::{RequestContext, metrics};
use tonic::body::Body;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

#[path = "shared/settings.rs"]
mod settings;

const HELLO: &str = "/example.v1.Greeter/Hello";

#[derive(Clone, PartialEq, prost::Message)]
struct Hello {
    #[prost(string, tag = "1")]
    name: String,
}

/// What the service does.
#[derive(Clone)]
struct Greet;

impl tonic::server::UnaryService<Hello> for Greet {
    type Response = Hello;
    type Future = BoxFuture<'static, Result<Response<Hello>, Status>>;

    fn call(&mut self, request: Request<Hello>) -> Self::Future {
        Box::pin(async move {
            let name = request.into_inner().name;
            if name.is_empty() {
                return Err(Status::invalid_argument("who?"));
            }
            // Carries the ids of the caller's request, without being told.
            tracing::info!(letters = name.len(), "greeting");
            Ok(Response::new(Hello { name: format!("hello {name}") }))
        })
    }
}

/// The routes, as tonic-build would generate them.
#[derive(Clone)]
struct GreeterServer;

impl tonic::server::NamedService for GreeterServer {
    const NAME: &'static str = "example.v1.Greeter";
}

impl tower_service::Service<http::Request<Body>> for GreeterServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Hello, Hello>::default());
            Ok(grpc.unary(Greet, request).await)
        })
    }
}

async fn greet(
    greeter: &mut tonic::client::Grpc<client::Followed<tonic::transport::Channel>>,
    name: &str,
) -> Result<String, Status> {
    greeter.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Hello, Hello>::default();
    let request = Request::new(Hello { name: name.to_owned() });
    let answer = greeter.unary(request, http::uri::PathAndQuery::from_static(HELLO), codec).await?;
    Ok(answer.into_inner().name)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Kept to the end of `main`: dropping it writes and sends what is left.
    let _telemetry = observability::init(&settings::from_environment("example")?)?;

    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    let serving = Server::builder()
        // The outermost layer of the server.
        .layer(server::Calls::of("greeter").named_by(|path| (path == HELLO).then_some(HELLO)))
        .add_service(GreeterServer)
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(socket));
    let serving = tokio::spawn(serving);

    // Around the channel of the client.
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
    let mut greeter = tonic::client::Grpc::new(client::Followed(channel));

    // A piece of work that nobody asked for: it begins a trace.
    let job = RequestContext::background().in_service("caller").start(SpanKind::Internal, "greet everybody", Vec::new);
    job.scope(async {
        for name in ["Ada", "Linus", ""] {
            match greet(&mut greeter, name).await {
                Ok(words) => tracing::info!(words, "answered"),
                Err(status) => tracing::warn!(code = %status.code(), "refused"),
            }
        }
    })
    .await;
    job.end();
    serving.abort();
    println!(
        "\n{}",
        String::from_utf8(metrics::render())?
            .lines()
            .filter(|line| line.contains("_count"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    Ok(())
}
