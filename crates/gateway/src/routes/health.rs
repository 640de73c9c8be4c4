//! Health, as the internal port shows it.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use observability::Health;
use serde_json::json;

/// Whether the process lives.
#[utoipa::path(get, path = "/health/live", tag = "health", operation_id = "live",
    responses((status = 200, description = "It does", body = Object, example = json!({"status": "alive"}))))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({ "status": "alive" }))
}

/// Whether requests should be sent here.
#[utoipa::path(get, path = "/health/ready", tag = "health", operation_id = "ready",
    responses(
        (status = 200, description = "They should; `degraded` when an optional check is down", body = Object,
            example = json!({"status": "ready", "timestamp": "2026-11-22T10:09:08.007Z",
                "checks": {"revocations": {"status": "up", "latency": "0ms"}}})),
        (status = 503, description = "A critical check is down, or the process is stopping", body = Object),
    ))]
pub async fn ready(health: web::Data<Health>) -> HttpResponse {
    let report = health.ready().await;
    let mut response = if report.serving { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header((header::CACHE_CONTROL, "no-store")).json(report)
}
