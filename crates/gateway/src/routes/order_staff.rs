//! Orders, for staff. Orders decides who may.

use actix_web::{HttpResponse, web};
use contracts::grpc::orders::{DeliverOrderRequest, RefundOrderRequest, ShipOrderRequest};

use super::orders::settled;
use crate::clients::{Clients, call};
use crate::extract::{Authenticated, OptionalJsonBody, OrderPath};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::order::{EmptyBody, Order, ReasonBody};

/// Ship a confirmed order.
#[utoipa::path(post, path = "/api/orders/{id}/ship", tag = "orders", operation_id = "ship_order",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "The shipped order", body = Order),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemDocument),
        (status = 409, description = "ORDER_NOT_SHIPPABLE", body = ProblemDocument),
    ))]
pub async fn ship(
    clients: web::Data<Clients>,
    Authenticated(caller, (OrderPath(id), _)): Authenticated<(OrderPath, OptionalJsonBody<EmptyBody>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(ShipOrderRequest { order_id: id.to_string() })?;
    let order = call("orders.ShipOrder", clients.orders().ship_order(request)).await?;
    Ok(HttpResponse::Ok().json(Order::try_from(order)?))
}

/// Note that a shipped order arrived.
#[utoipa::path(post, path = "/api/orders/{id}/deliver", tag = "orders", operation_id = "deliver_order",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "The delivered order", body = Order),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemDocument),
        (status = 409, description = "ORDER_NOT_DELIVERABLE", body = ProblemDocument),
    ))]
pub async fn deliver(
    clients: web::Data<Clients>,
    Authenticated(caller, (OrderPath(id), _)): Authenticated<(OrderPath, OptionalJsonBody<EmptyBody>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(DeliverOrderRequest { order_id: id.to_string() })?;
    let order = call("orders.DeliverOrder", clients.orders().deliver_order(request)).await?;
    Ok(HttpResponse::Ok().json(Order::try_from(order)?))
}

/// Give the money of an order back.
#[utoipa::path(post, path = "/api/orders/{id}/refund", tag = "orders", operation_id = "refund_order",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The order")),
    request_body = Option<ReasonBody>,
    responses(
        (status = 200, description = "The refunded order", body = Order),
        (status = 202, description = "The refund is under way", body = Order,
            headers(("Location" = String, description = "Where to look"))),
        (status = 403, description = "NOT_ALLOWED: for staff", body = ProblemDocument),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemDocument),
        (status = 409, description = "ORDER_NOT_REFUNDABLE", body = ProblemDocument),
    ))]
pub async fn refund(
    clients: web::Data<Clients>,
    Authenticated(caller, (OrderPath(id), OptionalJsonBody(body))): Authenticated<(
        OrderPath,
        OptionalJsonBody<ReasonBody>,
    )>,
) -> Result<HttpResponse, Problem> {
    let reason = body.reason.unwrap_or_default();
    let request = caller.request(RefundOrderRequest { order_id: id.to_string(), reason })?;
    settled(call("orders.RefundOrder", clients.orders().refund_order(request)).await?)
}
