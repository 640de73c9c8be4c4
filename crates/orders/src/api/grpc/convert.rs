//! Wire messages to domain values and back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::event_data::{OrderData, OrderItemData, OrderStatus};
use contracts::grpc::orders as wire;
use contracts::ids::{OrderId, UserId};
use contracts::values::{PAYMENT_METHODS, parse_text};
use contracts::{Quantity, Reason, Refusal, Sku};

use crate::application::place_order::{Outcome, PlaceOrder};
use crate::application::queries::StockClaims;
use crate::domain::{MAX_LINES, StockClaim};

const DEFAULT_PAGE: usize = 20;
const MAX_PAGE: u32 = 100;
const DEFAULT_CLAIMS: usize = 200;
const MAX_CLAIMS: u32 = 500;
/// Most fields named in one refusal: it travels in a header, and nobody reads more.
pub(super) const MAX_VIOLATIONS: usize = 16;

/// A malformed id is the id of no order.
pub(super) fn order_id(text: &str) -> Result<OrderId, Refusal> {
    text.parse().map_err(|_| Refusal::new(Reason::OrderNotFound, Reason::OrderNotFound.title()))
}

pub(super) fn page_limit(limit: u32) -> Result<usize, Refusal> {
    match limit {
        0 => Ok(DEFAULT_PAGE),
        1..=MAX_PAGE => Ok(limit as usize),
        _ => Err(Refusal::invalid("limit", format!("must be 1 to {MAX_PAGE}"))),
    }
}

pub(super) fn to_cursor(id: OrderId) -> String {
    URL_SAFE_NO_PAD.encode(id.as_uuid().as_bytes())
}

pub(super) fn cursor_of(cursor: &str) -> Result<Option<OrderId>, Refusal> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| Refusal::invalid("cursor", "must be the next_cursor of the page before"))?;
    Ok(Some(OrderId::from_uuid(uuid::Uuid::from_bytes(bytes))))
}

pub(super) fn optional_text(text: Option<String>, field: &str, max: usize) -> Result<Option<String>, Refusal> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => parse_text(&text, 1, max).map(Some).map_err(|error| Refusal::invalid(field, error)),
        None => Ok(None),
    }
}

/// Parses a request, naming every field at fault at once.
pub(super) fn place_order(user_id: UserId, request: wire::PlaceOrderRequest) -> Result<PlaceOrder, Refusal> {
    let mut refusal = Refusal::new(Reason::InvalidRequest, Reason::InvalidRequest.title());
    let mut items = Vec::with_capacity(request.items.len().min(MAX_LINES));
    if !(1..=MAX_LINES).contains(&request.items.len()) {
        refusal = refusal.with_field("/items", format!("must be 1 to {MAX_LINES} lines"));
    }
    for (index, item) in request.items.iter().take(MAX_LINES).enumerate() {
        match (item.sku.parse::<Sku>(), Quantity::try_from(item.quantity)) {
            (Ok(sku), Ok(quantity)) => items.push((sku, quantity)),
            (sku, quantity) => {
                if let Err(error) = sku {
                    refusal = refusal.with_field(format!("/items/{index}/sku"), error);
                }
                if let Err(error) = quantity {
                    refusal = refusal.with_field(format!("/items/{index}/quantity"), error);
                }
            }
        }
    }
    if !PAYMENT_METHODS.contains(&request.payment_method.as_str()) {
        refusal = refusal.with_field("/payment_method", format!("must be one of {}", PAYMENT_METHODS.join(", ")));
    }
    let mut text = |value: Option<String>, field: &str, max: usize| match optional_text(value, field, max) {
        Ok(text) => text,
        Err(error) => {
            refusal.fields.extend(error.fields);
            None
        }
    };
    let shipping_address = text(request.shipping_address, "/shipping_address", 500);
    let note = text(request.note, "/note", 500);
    if let Some(key) = &request.idempotency_key
        && (key.is_empty() || key.len() > 255 || !key.bytes().all(|b| b.is_ascii_graphic()))
    {
        refusal = refusal.with_field("Idempotency-Key", "must be 1 to 255 visible ASCII characters");
    }
    if !refusal.fields.is_empty() {
        refusal.fields.truncate(MAX_VIOLATIONS);
        return Err(refusal);
    }
    Ok(PlaceOrder {
        user_id,
        items,
        payment_method: request.payment_method,
        shipping_address,
        note,
        idempotency_key: request.idempotency_key,
    })
}

pub(super) fn status_to_wire(status: OrderStatus) -> wire::OrderStatus {
    match status {
        OrderStatus::Draft => wire::OrderStatus::Draft,
        OrderStatus::Pending => wire::OrderStatus::Pending,
        OrderStatus::Confirmed => wire::OrderStatus::Confirmed,
        OrderStatus::Shipped => wire::OrderStatus::Shipped,
        OrderStatus::Delivered => wire::OrderStatus::Delivered,
        OrderStatus::Rejected => wire::OrderStatus::Rejected,
        OrderStatus::Cancelled => wire::OrderStatus::Cancelled,
        OrderStatus::Refunded => wire::OrderStatus::Refunded,
    }
}

pub(super) fn status_from_wire(status: i32) -> Result<OrderStatus, Refusal> {
    OrderStatus::ALL
        .into_iter()
        .find(|known| i32::from(status_to_wire(*known)) == status)
        .ok_or_else(|| Refusal::invalid("status", "is no status of an order"))
}

pub(super) fn to_wire(order: OrderData) -> wire::Order {
    wire::Order {
        id: order.id.to_string(),
        user_id: order.user_id.to_string(),
        status: status_to_wire(order.status).into(),
        items: order.items.into_iter().map(item_to_wire).collect(),
        total: Some(order.total.into()),
        version: order.version,
        created_at_unix_ms: order.created_at.unix_ms(),
        updated_at_unix_ms: order.updated_at.unix_ms(),
        reason: order.reason,
        shipping_address: order.shipping_address,
        note: order.note,
    }
}

fn item_to_wire(item: OrderItemData) -> wire::OrderItem {
    wire::OrderItem {
        sku: item.sku.to_string(),
        name: item.name,
        quantity: item.quantity,
        unit_price: Some(item.unit_price.into()),
        line_total: Some(item.line_total.into()),
    }
}

pub(super) fn outcome_to_wire(outcome: Outcome) -> wire::OrderOutcome {
    wire::OrderOutcome { order: Some(to_wire(outcome.order.to_data())), decided: outcome.decided }
}

pub(super) fn claims_limit(limit: u32) -> Result<usize, Refusal> {
    match limit {
        0 => Ok(DEFAULT_CLAIMS),
        1..=MAX_CLAIMS => Ok(limit as usize),
        _ => Err(Refusal::invalid("limit", format!("must be 1 to {MAX_CLAIMS}"))),
    }
}

pub(super) fn stock_claims_to_wire(claims: &StockClaims) -> wire::ListStockClaimsResponse {
    let items = claims.claims.iter().map(|(position, order, claim)| wire::OrderStockClaim {
        order_id: order.id().to_string(),
        position: *position,
        claim: match claim {
            StockClaim::Open => wire::StockClaim::Open,
            StockClaim::Promised => wire::StockClaim::Promised,
            StockClaim::Sold => wire::StockClaim::Sold,
            StockClaim::Free => wire::StockClaim::Free,
        }
        .into(),
        items: order
            .items()
            .iter()
            .map(|item| wire::RequestedItem { sku: item.sku.to_string(), quantity: item.quantity.get() })
            .collect(),
    });
    wire::ListStockClaimsResponse { items: items.collect(), settled_position: claims.settled }
}
