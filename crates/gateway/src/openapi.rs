//! The OpenAPI 3.1 document, generated from the handlers and shapes.
//!
//! What holds for every operation is added here in one place: the problems that any of them may answer, and the headers.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::problem::{self, FieldProblem, ProblemDocument};
use crate::routes::{
    announcements, auth, catalogue, catalogue_admin, chat, chat_messages, docs, events, health, notifications,
    order_staff, orders, payments, poll, preferences, problems, user_admin, users,
};

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Souk::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Souk",
        description = "A real-time order platform. Errors are problem documents (RFC 9457); `type` leads to what they mean. \
            Every answer carries `x-request-id`. The access token goes into `Authorization: Bearer …`; pages of the origins that \
            are listed may have it in the cookie `souk_access` instead.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/")),
    paths(
        docs::index, docs::redirect, docs::file, docs::openapi, problems::describe, health::live, health::ready,
        auth::jwks, auth::register, auth::login, auth::refresh, auth::logout,
        users::me, users::update_me,
        user_admin::list, user_admin::get, user_admin::ban, user_admin::unban, user_admin::set_roles,
        catalogue::list, catalogue::get,
        catalogue_admin::create, catalogue_admin::update, catalogue_admin::set_price, catalogue_admin::set_stock,
        orders::place, orders::list, orders::get, orders::timeline, orders::cancel,
        order_staff::ship, order_staff::deliver, order_staff::refund,
        payments::get,
        notifications::list, notifications::read, notifications::read_all, notifications::unread_count,
        preferences::get, preferences::update,
        chat::list, chat::create, chat::open_support, chat::get, chat::members, chat::add_member, chat::leave,
        chat_messages::list, chat_messages::post, chat_messages::read, chat_messages::unread_counts,
        announcements::create, events::stream, poll::poll,
    ),
    components(schemas(ProblemDocument, FieldProblem)),
    tags(
        (name = "auth", description = "Signing up, in and out"),
        (name = "users", description = "Accounts"),
        (name = "catalogue", description = "Products, prices, stock"),
        (name = "orders", description = "Orders from placing to delivery"),
        (name = "payments", description = "What was paid"),
        (name = "notifications", description = "What users are told"),
        (name = "chat", description = "Rooms and what is said there"),
        (name = "realtime", description = "Live events"),
        (name = "health", description = "Whether it works"),
        (name = "meta", description = "About this API"),
    ),
    modifiers(&BearerSecurity, &CommonProblems),
)]
struct Souk;

struct BearerSecurity;

impl Modify for BearerSecurity {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Adds to each operation the problems that it shares with its like, and gives every problem its media type.
struct CommonProblems;

impl Modify for CommonProblems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch];
            for operation in operations.into_iter().flatten() {
                add_problems(operation);
            }
        }
    }
}

fn add_problems(operation: &mut Operation) {
    let guarded = operation.security.is_some();
    let serves_itself =
        operation.tags.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag == "meta" || tag == "health"));
    let mut common: Vec<(&str, &str)> = Vec::new();
    if operation.request_body.is_some() {
        common.extend([
            ("400", "INVALID_REQUEST with the fields at fault, or MALFORMED_BODY"),
            ("408", "REQUEST_TIMEOUT: the body did not arrive in time"),
            ("413", "BODY_TOO_LARGE"),
            ("415", "UNSUPPORTED_MEDIA_TYPE"),
        ]);
    } else if operation.parameters.is_some() {
        common.push(("400", "INVALID_REQUEST with the parameters at fault"));
    }
    if guarded {
        common.push(("401", "AUTHENTICATION_REQUIRED or INVALID_TOKEN"));
    }
    if !serves_itself {
        common.extend([
            ("503", "UNAVAILABLE: repeat after `Retry-After`; with an idempotency key nothing happens twice"),
            ("504", "DEADLINE_EXCEEDED: repeat; with an idempotency key nothing happens twice"),
        ]);
    }
    common.push(("500", "INTERNAL"));
    for (status, description) in common {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem_response(description)));
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && is_problem(response)
        {
            *response = problem_response(&response.description);
        }
    }
}

/// Whether a handler names a problem as the body: the macro takes every body for `application/json`.
fn is_problem(response: &Response) -> bool {
    let json = response.content.get("application/json").and_then(|content| match content {
        RefOr::T(content) => content.schema.as_ref(),
        RefOr::Ref(_) => None,
    });
    matches!(json, Some(RefOr::Ref(reference)) if reference.ref_location.ends_with("/Problem"))
}

fn problem_response(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content(problem::CONTENT_TYPE, ContentBuilder::new().schema(Some(schema)).build())
        .build()
}
