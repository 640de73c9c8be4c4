//! The port that only operators and their tools reach: health, metrics, log level.

use std::net::SocketAddr;

use actix_web::dev::Server;
use actix_web::error::{InternalError, JsonPayloadError};
use actix_web::http::{StatusCode, header};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Resource, web};
use contracts::{Reason, Refusal};
use observability::Health;
use observability::logs::{self, LogControl};
use observability::metrics;
use serde::{Deserialize, Serialize};

/// What the internal port serves.
#[derive(Clone)]
pub struct InternalHttp {
    /// Answers `/health/*`.
    pub health: Health,
    /// Answers `/admin/log-level`.
    pub log_control: LogControl,
}

#[derive(Serialize, Deserialize)]
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

async fn render_metrics(health: web::Data<Health>) -> HttpResponse {
    if !metrics::enabled() {
        return HttpResponse::NotFound()
            .content_type("text/plain; charset=utf-8")
            .body("metrics are off: SOUK_METRICS=off\n");
    }
    // The checks are among the metrics, also where nobody else asks for them.
    health.ready().await;
    HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(metrics::render())
}

async fn log_level(control: web::Data<LogControl>) -> HttpResponse {
    HttpResponse::Ok().json(LogLevel { level: control.get() })
}

async fn set_log_level(control: web::Data<LogControl>, wanted: web::Json<LogLevel>) -> HttpResponse {
    let (from, to) = (control.get(), wanted.into_inner().level);
    if let Err(error) = logs::check_filter(&to) {
        return problem(&Refusal::invalid("/level", error));
    }
    // By the filter before and by the one after: neither `off` nor its end goes unseen. A warning, as fewer filters hide it.
    tracing::warn!(from, to, "log level is about to change");
    match control.set(&to) {
        Ok(()) => {
            tracing::warn!(from, to, "log level changed");
            HttpResponse::Ok().json(LogLevel { level: control.get() })
        }
        Err(error) => problem(&Refusal::invalid("/level", error)),
    }
}

/// A refusal as an RFC 9457 problem, without what only requests of customers have (an instance, a trace).
pub fn problem(refusal: &Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let errors: Vec<_> = refusal
        .fields
        .iter()
        .map(|field| serde_json::json!({ "pointer": field.field, "detail": field.message }))
        .collect();
    HttpResponse::build(status).content_type("application/problem+json").json(serde_json::json!({
        "type": format!("/problems/{}", refusal.reason.slug()),
        "title": refusal.reason.title(),
        "status": status.as_u16(),
        "detail": refusal.detail,
        "errors": errors,
    }))
}

fn unreadable(error: JsonPayloadError, _: &HttpRequest) -> actix_web::Error {
    let refusal = match &error {
        JsonPayloadError::ContentType => {
            Refusal::new(Reason::UnsupportedMediaType, Reason::UnsupportedMediaType.title())
        }
        JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
            Refusal::new(Reason::BodyTooLarge, Reason::BodyTooLarge.title())
        }
        other => Refusal::new(Reason::MalformedBody, other.to_string()),
    };
    InternalError::from_response(error, problem(&refusal)).into()
}

async fn not_found() -> HttpResponse {
    problem(&Refusal::new(Reason::RouteNotFound, Reason::RouteNotFound.title()))
}

/// A resource that answers other methods with 405 and the ones there are.
pub fn only(resource: Resource, allowed: &'static str) -> Resource {
    resource.default_service(web::to(move || async move {
        let mut response = problem(&Refusal::new(Reason::MethodNotAllowed, Reason::MethodNotAllowed.title()));
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
        response
    }))
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
        metrics::runtime::watch(&tokio::runtime::Handle::current());
        let level =
            web::resource("/admin/log-level").route(web::get().to(log_level)).route(web::put().to(set_log_level));
        App::new()
            .app_data(web::Data::new(internal.log_control.clone()))
            .app_data(web::Data::new(internal.health.clone()))
            .app_data(web::JsonConfig::default().error_handler(unreadable))
            .service(only(web::resource("/health/live").route(web::get().to(live)), "GET"))
            .service(only(web::resource("/health/ready").route(web::get().to(ready)), "GET"))
            .service(only(web::resource("/metrics").route(web::get().to(render_metrics)), "GET"))
            .service(only(level, "GET, PUT"))
            .configure(more.clone())
            .default_service(web::to(not_found))
    })
    .workers(1)
    // What is asked here is answered at once: nobody's connection holds up the end of the process.
    .shutdown_timeout(1)
    .disable_signals()
    .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

#[cfg(test)]
mod tests {
    use observability::logs::{Console, FileSettings, LogSettings};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[actix_web::test]
    async fn a_change_of_the_log_level_is_told_by_the_filter_before_and_by_the_one_after() {
        let folder = tempfile::TempDir::new().unwrap();
        let files = Some(FileSettings::new(folder.path()));
        let settings = LogSettings { console: Console::Off, files, ..LogSettings::new("shop") };
        let (layer, control, log) = logs::build(&settings).unwrap();
        let before = control.get();
        let subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        for (level, status) in [("loud", 400), ("warn", 200), ("off", 200), ("debug", 200)] {
            let wanted = web::Json(LogLevel { level: level.to_owned() });
            let answer = set_log_level(web::Data::new(control.clone()), wanted).await;
            assert_eq!(answer.status().as_u16(), status, "{level}");
        }
        drop(subscriber);
        drop(log);
        let lines = std::fs::read_to_string(folder.path().join("combined.log")).unwrap();
        let changes: Vec<(String, String)> = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| (line["from"].as_str().unwrap().to_owned(), line["to"].as_str().unwrap().to_owned()))
            .collect();
        let change = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        // Both filters hear of the first; `off` hears nothing.
        let expected =
            [change(&before, "warn"), change(&before, "warn"), change("warn", "off"), change("off", "debug")];
        assert_eq!(changes, expected);
    }
}
