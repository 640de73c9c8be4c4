//! Orders, for those who place them.

use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use contracts::grpc::orders::{CancelOrderRequest, GetOrderRequest, GetTimelineRequest, OrderOutcome};

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, IdempotencyKey, JsonBody, OptionalJsonBody, OrderPath, QueryParams};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::order::{Order, OrderQuery, PlaceOrder, ReasonBody, TimelineEntry};
use crate::shapes::{BadAnswer, Page};

/// Place an order. It is decided before the answer comes, or the answer says where to look.
#[utoipa::path(post, path = "/api/orders", tag = "orders", operation_id = "place_order", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Visible ASCII. The same key with the same body is the same order, however often it is sent.")),
    request_body = PlaceOrder,
    responses(
        (status = 201, description = "The confirmed order", body = Order, headers(("Location" = String, description = "Its address"))),
        (status = 202, description = "The order, not yet decided", body = Order, headers(("Location" = String, description = "Where to look"))),
        (status = 402, description = "PAYMENT_DECLINED, with `order_id`", body = ProblemDocument),
        (status = 409, description = "OUT_OF_STOCK, with `order_id` and `missing`; ORDER_CANCELLED before it was confirmed, with `order_id`; ORDER_IN_PROGRESS, with `Retry-After`", body = ProblemDocument),
        (status = 422, description = "IDEMPOTENCY_KEY_REUSED", body = ProblemDocument),
    ))]
pub async fn place(
    clients: web::Data<Clients>,
    Authenticated(caller, (IdempotencyKey(key), JsonBody(body))): Authenticated<(IdempotencyKey, JsonBody<PlaceOrder>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(body.into_request(key))?;
    let outcome = call("orders.PlaceOrder", clients.orders().place_order(request)).await?;
    let decided = outcome.decided;
    let order = order_of(outcome)?;
    let mut response = if decided { HttpResponse::Created() } else { HttpResponse::Accepted() };
    Ok(with_location(&mut response, &order).json(order))
}

/// List orders, newest first: the caller's own; for staff, everyone's.
#[utoipa::path(get, path = "/api/orders", tag = "orders", operation_id = "list_orders", security(("bearer" = [])),
    params(OrderQuery),
    responses(
        (status = 200, description = "A page of orders", body = Page<Order>),
        (status = 403, description = "NOT_ALLOWED: `user_id` is for staff", body = ProblemDocument),
    ))]
pub async fn list(
    clients: web::Data<Clients>,
    Authenticated(caller, QueryParams(query)): Authenticated<QueryParams<OrderQuery>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(query.into_request())?;
    let page = call("orders.ListOrders", clients.orders().list_orders(request)).await?;
    Ok(HttpResponse::Ok().json(Page::of(page.items, page.next_cursor, Order::try_from)?))
}

/// One order.
#[utoipa::path(get, path = "/api/orders/{id}", tag = "orders", operation_id = "get_order", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "The order", body = Order),
        (status = 404, description = "ORDER_NOT_FOUND, also for other users' orders", body = ProblemDocument),
    ))]
pub async fn get(
    clients: web::Data<Clients>,
    Authenticated(caller, OrderPath(id)): Authenticated<OrderPath>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(GetOrderRequest { order_id: id.to_string() })?;
    let order = call("orders.GetOrder", clients.orders().get_order(request)).await?;
    Ok(HttpResponse::Ok().json(Order::try_from(order)?))
}

/// What happened to an order, oldest first.
#[utoipa::path(get, path = "/api/orders/{id}/timeline", tag = "orders", operation_id = "get_order_timeline",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "Its whole history", body = Page<TimelineEntry>),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn timeline(
    clients: web::Data<Clients>,
    Authenticated(caller, OrderPath(id)): Authenticated<OrderPath>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(GetTimelineRequest { order_id: id.to_string() })?;
    let timeline = call("orders.GetTimeline", clients.orders().get_timeline(request)).await?;
    Ok(HttpResponse::Ok().json(Page::of(timeline.items, String::new(), TimelineEntry::try_from)?))
}

/// Cancel an order that has not shipped. What was paid is given back.
#[utoipa::path(post, path = "/api/orders/{id}/cancel", tag = "orders", operation_id = "cancel_order",
    security(("bearer" = [])), params(("id" = uuid::Uuid, Path, description = "The order")),
    request_body = Option<ReasonBody>,
    responses(
        (status = 200, description = "The cancelled order", body = Order),
        (status = 202, description = "It will be cancelled as soon as its payment is settled", body = Order,
            headers(("Location" = String, description = "Where to look"))),
        (status = 404, description = "ORDER_NOT_FOUND", body = ProblemDocument),
        (status = 409, description = "ORDER_NOT_CANCELLABLE", body = ProblemDocument),
    ))]
pub async fn cancel(
    clients: web::Data<Clients>,
    Authenticated(caller, (OrderPath(id), OptionalJsonBody(body))): Authenticated<(
        OrderPath,
        OptionalJsonBody<ReasonBody>,
    )>,
) -> Result<HttpResponse, Problem> {
    let reason = body.reason.unwrap_or_default();
    let request = caller.request(CancelOrderRequest { order_id: id.to_string(), reason })?;
    settled(call("orders.CancelOrder", clients.orders().cancel_order(request)).await?)
}

/// 200 with the order, or 202 while what was asked is not settled.
pub(super) fn settled(outcome: OrderOutcome) -> Result<HttpResponse, Problem> {
    let decided = outcome.decided;
    let order = order_of(outcome)?;
    if decided {
        return Ok(HttpResponse::Ok().json(order));
    }
    Ok(with_location(&mut HttpResponse::Accepted(), &order).json(order))
}

fn order_of(outcome: OrderOutcome) -> Result<Order, BadAnswer> {
    outcome.order.ok_or(BadAnswer("an outcome without its order"))?.try_into()
}

fn with_location<'a>(response: &'a mut HttpResponseBuilder, order: &Order) -> &'a mut HttpResponseBuilder {
    response.insert_header((header::LOCATION, format!("/api/orders/{}", order.id)))
}
