//! What a problem's `type` means.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use contracts::Reason;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Problem, TYPE_PREFIX};

/// One kind of problem.
#[derive(Serialize, ToSchema)]
pub struct ProblemKind {
    /// Its address.
    #[serde(rename = "type")]
    #[schema(example = "/problems/out-of-stock")]
    pub kind: String,
    /// Its name in gRPC errors.
    #[schema(example = "OUT_OF_STOCK")]
    pub reason: &'static str,
    /// The HTTP status that it comes with.
    #[schema(example = 409)]
    pub status: u16,
    /// What it means.
    pub title: &'static str,
    /// What the caller should do.
    pub advice: &'static str,
}

/// What a problem type means and what to do about it.
#[utoipa::path(get, path = "/problems/{slug}", tag = "meta", operation_id = "describe_problem",
    params(("slug" = String, Path, description = "The last part of a problem's `type`", example = "out-of-stock")),
    responses(
        (status = 200, description = "What it means", body = ProblemKind),
        (status = 404, description = "There is no such problem type", body = crate::problem::ProblemDocument),
    ))]
pub async fn describe(slug: web::Path<String>) -> Result<HttpResponse, Problem> {
    let reason = Reason::ALL.iter().find(|reason| reason.slug() == *slug);
    let reason = reason.ok_or_else(|| Problem::of(Reason::RouteNotFound))?;
    let kind = ProblemKind {
        kind: format!("{TYPE_PREFIX}{slug}"),
        reason: reason.as_str(),
        status: reason.http_status(),
        title: reason.title(),
        advice: reason.advice(),
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=3600")).json(kind))
}
