//! The port that only operators and their tools reach: health, metrics, log level.

use std::net::SocketAddr;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use observability::Health;
use observability::logs::LogControl;
use observability::metrics;
use serde::Deserialize;

/// What the internal port serves.
#[derive(Clone)]
pub struct InternalHttp {
    /// Answers `/health/*`.
    pub health: Health,
    /// Answers `PUT /admin/log-level`.
    pub log_control: LogControl,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogLevel {
    level: String,
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    let report = health.ready().await;
    if report.serving { HttpResponse::Ok().json(report) } else { HttpResponse::ServiceUnavailable().json(report) }
}

async fn render_metrics() -> HttpResponse {
    HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(metrics::render())
}

async fn set_log_level(control: web::Data<LogControl>, wanted: web::Json<LogLevel>) -> HttpResponse {
    match control.set(&wanted.level) {
        Ok(()) => {
            tracing::info!(level = wanted.level, "log level changed");
            HttpResponse::NoContent().finish()
        }
        Err(error) => HttpResponse::BadRequest().json(serde_json::json!({ "detail": error.to_string() })),
    }
}

/// `/health/live` and `/health/ready`, for any port.
pub fn health_routes(health: Health) -> impl FnOnce(&mut web::ServiceConfig) + Clone + Send + 'static {
    move |config| {
        config
            .app_data(web::Data::new(health))
            .route("/health/live", web::get().to(live))
            .route("/health/ready", web::get().to(ready));
    }
}

/// Binds the internal port; await the server to serve. `more` adds routes of the process's own.
///
/// # Errors
/// When the address can't be bound.
pub fn bind(
    address: SocketAddr,
    internal: InternalHttp,
    more: impl FnOnce(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<(Server, SocketAddr)> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(internal.log_control.clone()))
            .configure(health_routes(internal.health.clone()))
            .route("/metrics", web::get().to(render_metrics))
            .route("/admin/log-level", web::put().to(set_log_level))
            .configure(more.clone())
    })
    .workers(1)
    .disable_signals()
    .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}
