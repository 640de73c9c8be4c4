//! The table of routes. Every route there is stands in [`table`]; handlers are grouped by what they are about.

pub mod announcements;
pub mod auth;
pub mod catalogue;
pub mod catalogue_admin;
pub mod chat;
pub mod chat_messages;
pub mod docs;
pub mod endpoint;
pub mod events;
pub mod health;
pub mod notifications;
pub mod order_staff;
pub mod orders;
pub mod payments;
pub mod poll;
pub mod preferences;
pub mod problems;
pub mod user_admin;
pub mod users;

use actix_web::{HttpResponse, web};
use contracts::Reason;

use self::endpoint::Endpoint;
use crate::middleware::EVENTS_PATH;
use crate::problem::Problem;

/// Every route. Where two could match, the first does.
pub fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/").get(docs::index),
        Endpoint::at("/docs").get(docs::redirect),
        Endpoint::at("/docs/{file:.*}").get(docs::file),
        Endpoint::at("/openapi.json").get(docs::openapi),
        Endpoint::at("/problems/{slug}").get(problems::describe),
        Endpoint::at("/health/live").get(health::live),
        Endpoint::at("/health/ready").get(health::ready),
        Endpoint::at("/.well-known/jwks.json").get(auth::jwks),
        Endpoint::at("/api/auth/register").post(auth::register),
        Endpoint::at("/api/auth/login").post(auth::login),
        Endpoint::at("/api/auth/refresh").post(auth::refresh),
        Endpoint::at("/api/auth/logout").post(auth::logout),
        Endpoint::at("/api/users/me").get(users::me).patch(users::update_me),
        Endpoint::at("/api/users").get(user_admin::list),
        Endpoint::at("/api/users/{id}").get(user_admin::get),
        Endpoint::at("/api/users/{id}/ban").post(user_admin::ban),
        Endpoint::at("/api/users/{id}/unban").post(user_admin::unban),
        Endpoint::at("/api/users/{id}/roles").put(user_admin::set_roles),
        Endpoint::at("/api/products").get(catalogue::list).post(catalogue_admin::create),
        Endpoint::at("/api/products/{sku}").get(catalogue::get).patch(catalogue_admin::update),
        Endpoint::at("/api/products/{sku}/price").put(catalogue_admin::set_price),
        Endpoint::at("/api/products/{sku}/stock").put(catalogue_admin::set_stock),
        Endpoint::at("/api/orders").get(orders::list).post(orders::place),
        Endpoint::at("/api/orders/{id}").get(orders::get),
        Endpoint::at("/api/orders/{id}/timeline").get(orders::timeline),
        Endpoint::at("/api/orders/{id}/cancel").post(orders::cancel),
        Endpoint::at("/api/orders/{id}/ship").post(order_staff::ship),
        Endpoint::at("/api/orders/{id}/deliver").post(order_staff::deliver),
        Endpoint::at("/api/orders/{id}/refund").post(order_staff::refund),
        Endpoint::at("/api/payments/{order_id}").get(payments::get),
        Endpoint::at("/api/notifications").get(notifications::list),
        Endpoint::at("/api/notifications/read-all").post(notifications::read_all),
        Endpoint::at("/api/notifications/unread-count").get(notifications::unread_count),
        Endpoint::at("/api/notifications/preferences").get(preferences::get).put(preferences::update),
        Endpoint::at("/api/notifications/{id}/read").post(notifications::read),
        Endpoint::at("/api/chat/rooms").get(chat::list).post(chat::create),
        Endpoint::at("/api/chat/support-rooms").post(chat::open_support),
        Endpoint::at("/api/chat/unread-counts").get(chat_messages::unread_counts),
        Endpoint::at("/api/chat/rooms/{id}").get(chat::get),
        Endpoint::at("/api/chat/rooms/{id}/members").get(chat::members).post(chat::add_member),
        Endpoint::at("/api/chat/rooms/{id}/leave").post(chat::leave),
        Endpoint::at("/api/chat/rooms/{id}/messages").get(chat_messages::list).post(chat_messages::post),
        Endpoint::at("/api/chat/rooms/{id}/read").post(chat_messages::read),
        Endpoint::at("/api/admin/announcements").post(announcements::create),
        Endpoint::at(EVENTS_PATH).stream(events::stream),
        Endpoint::at("/poll/{user_id}").stream(poll::poll),
    ]
}

/// Registers the table; everything else is a 404 problem.
pub fn configure(config: &mut web::ServiceConfig) {
    for endpoint in table() {
        config.service(endpoint.into_resource());
    }
    config.default_service(web::to(not_found));
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::of(Reason::RouteNotFound))
}
