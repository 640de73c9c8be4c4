//! The API's own description, for programs and for people.

use std::sync::{Arc, LazyLock};

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use contracts::{Reason, Refusal};
use serde_json::json;
use utoipa_swagger_ui::Config;

use crate::openapi;
use crate::problem::Problem;

static DOCUMENT: LazyLock<Result<Bytes, serde_json::Error>> =
    LazyLock::new(|| serde_json::to_vec(&openapi::document()).map(Bytes::from));
static SWAGGER: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from("/openapi.json")));

/// Where to find what.
#[utoipa::path(get, path = "/", tag = "meta", operation_id = "index",
    responses((status = 200, description = "Where to find what", body = Object)))]
pub async fn index() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "name": "souk",
        "version": env!("CARGO_PKG_VERSION"),
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health/ready",
    }))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "meta", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub async fn openapi() -> Result<HttpResponse, Problem> {
    let document = DOCUMENT.as_ref().map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-cache"));
    Ok(response.content_type("application/json").body(document.clone()))
}

/// Swagger UI refers to its files by relative addresses, so it needs the slash at the end.
#[utoipa::path(get, path = "/docs", tag = "meta", operation_id = "docs",
    responses((status = 308, description = "To Swagger UI at `/docs/`")))]
pub async fn redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

/// Swagger UI.
#[utoipa::path(get, path = "/docs/{file}", tag = "meta", operation_id = "docs_file",
    params(("file" = String, Path, description = "A file of Swagger UI; empty for its page")),
    responses(
        (status = 200, description = "The file"),
        (status = 404, description = "There is no such file", body = crate::problem::ProblemDocument),
    ))]
pub async fn file(file: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = utoipa_swagger_ui::serve(&file, Arc::clone(&SWAGGER))
        .map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?
        .ok_or_else(|| Problem::of(Reason::RouteNotFound))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-cache"));
    Ok(response.content_type(found.content_type).body(found.bytes.into_owned()))
}
