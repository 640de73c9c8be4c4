//! An actix-web server that can be watched: `cargo run -p observability --features actix --example with_actix`
//!
//! Then, in another terminal:
//!
//! ```text
//! curl -i http://127.0.0.1:8081/hello/you -H 'x-request-id: my-request'
//! curl http://127.0.0.1:8081/metrics
//! curl http://127.0.0.1:8081/health/ready
//! ```
//!
//! `OTLP_ENDPOINT=http://127.0.0.1:4317` sends its traces to a collector, `LOG=debug` shows more lines.

use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use observability::access_log::{Format, Skip};
use observability::actix::{AccessLog, HttpMetrics, request};
use observability::trace::{self, KeyValue, SpanKind};
use observability::{Health, HealthCheck, metrics};

#[path = "shared/settings.rs"]
mod settings;

async fn hello(name: web::Path<String>) -> HttpResponse {
    // A step worth seeing: a span of its own inside the request's, where the trace is recorded.
    let span = trace::child(SpanKind::Internal, "choose words", || vec![KeyValue::new("words", 2)]);
    let words = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        // Carries the ids of the request, without being told.
        tracing::info!("words were chosen");
        format!("hello {name}")
    };
    let words = match &span {
        Some(span) => span.scope(words).await,
        None => words.await,
    };
    HttpResponse::Ok().body(words)
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    let report = health.ready().await;
    if report.serving { HttpResponse::Ok().json(report) } else { HttpResponse::ServiceUnavailable().json(report) }
}

async fn render_metrics() -> HttpResponse {
    HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(metrics::render())
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Kept to the end of `main`: dropping it writes and sends what is left.
    let _telemetry = observability::init(&settings::from_environment("greeter")?)?;
    let health = Health::default();
    health.add(HealthCheck::critical("words", || async { Ok(()) }));
    let health = web::Data::new(health);
    let access_log: Format = "combined".parse()?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(health.clone())
            .route("/hello/{name}", web::get().to(hello))
            .route("/health/ready", web::get().to(ready))
            .route("/metrics", web::get().to(render_metrics))
            .wrap(HttpMetrics)
            .wrap(AccessLog::new(access_log.clone(), Skip::default()))
            // The last one wrapped runs first: everything else happens inside of the request's context.
            .wrap(from_fn(request::follow("greeter")))
    });
    let server = server.workers(1).bind("127.0.0.1:8081")?;
    tracing::info!("listening on http://127.0.0.1:8081");
    server.run().await?;
    Ok(())
}
