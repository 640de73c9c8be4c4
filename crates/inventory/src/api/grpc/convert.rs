//! Between protobuf and the domain.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::grpc::inventory as pb;
use contracts::grpc::types;
use contracts::ids::OrderId;
use contracts::values::parse_text;
use contracts::{Money, Quantity, Refusal, Sku};

use super::fields::Faults;
use crate::application::NewProduct;
use crate::application::ports::{ProductPage, ProductQuery};
use crate::domain::lines::{InvalidLines, Line, Lines, MAX_LINES};
use crate::domain::product::{Product, ProductChanges, ProductDetails};
use crate::domain::reservation::{Reservation, Status};
use crate::domain::values::{Count, Description, ImageUrl, MAX_TAGS, Price, ProductName, Tag, Tags};

/// Most skus in one read (inventory.proto, `BatchGetProductsRequest`).
const MAX_BATCH: usize = 200;
/// Products on a page when the caller does not say, and the most that one may have (inventory.proto, `ListProductsRequest`).
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 100;
/// Most characters that are searched for.
const MAX_SEARCH: usize = 200;
/// Most characters of the reason of a count.
const MAX_REASON: usize = 200;
/// The longest hold: a day. A checkout takes seconds; whoever needs longer pins.
const MAX_TTL_MS: u64 = 24 * 60 * 60 * 1000;
/// Most items in a request before those of one product are merged: bounds the work on what may be refused.
const MAX_ITEMS: usize = 5 * MAX_LINES;

pub(super) fn sku_parameter(text: &str) -> Result<Sku, Refusal> {
    text.parse().map_err(|error| Refusal::invalid("sku", error))
}

pub(super) fn order_id(text: &str) -> Result<OrderId, Refusal> {
    text.parse().map_err(|error| Refusal::invalid("/order_id", error))
}

pub(super) fn skus(texts: &[String]) -> Result<Vec<Sku>, Refusal> {
    if texts.len() > MAX_BATCH {
        return Err(Refusal::invalid("/skus", format!("must be at most {MAX_BATCH}")));
    }
    let mut faults = Faults::none();
    let skus =
        texts.iter().enumerate().map(|(n, text)| faults.take(format!("/skus/{n}"), text.parse())).collect::<Vec<_>>();
    faults.finish(skus.into_iter().collect())
}

pub(super) fn product_query(request: pb::ListProductsRequest) -> Result<ProductQuery, Refusal> {
    let mut faults = Faults::none();
    let search = faults.take("search", parse_text(&request.search, 0, MAX_SEARCH));
    let tags = tags(&mut faults, "tags", &request.tags);
    let limit = match request.limit {
        0 => Some(DEFAULT_LIMIT),
        limit if limit <= MAX_LIMIT => Some(limit),
        _ => {
            faults.add("limit", format!("must be 1 to {MAX_LIMIT}"));
            None
        }
    };
    let after = faults.take("cursor", decode_cursor(&request.cursor));
    let query = (|| {
        let (tags, limit) = (tags?.as_slice().to_vec(), limit? as usize);
        Some(ProductQuery { search: search?, tags, after: after?, limit })
    })();
    faults.finish(query)
}

fn decode_cursor(cursor: &str) -> Result<Option<Sku>, &'static str> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let malformed = "must be the next_cursor of the page before";
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| malformed)?;
    let text = String::from_utf8(bytes).map_err(|_| malformed)?;
    text.parse().map(Some).map_err(|_| malformed)
}

fn encode_cursor(after: &Sku) -> String {
    URL_SAFE_NO_PAD.encode(after.as_str())
}

pub(super) fn new_product(request: pb::CreateProductRequest) -> Result<NewProduct, Refusal> {
    let mut faults = Faults::none();
    let sku = faults.take("/sku", request.sku.parse());
    let name = faults.take("/name", ProductName::parse(&request.name));
    let description = faults.take("/description", Description::parse(&request.description));
    let price = price(&mut faults, request.price);
    let image_url = faults.take("/image_url", ImageUrl::parse(&request.image_url));
    let tags = tags(&mut faults, "/tags", &request.tags);
    let on_hand = faults.take("/on_hand", Count::new(request.on_hand));
    let product = (|| {
        let details = ProductDetails { name: name?, description: description?, image_url: image_url?, tags: tags? };
        Some(NewProduct { sku: sku?, details, price: price?, on_hand: on_hand? })
    })();
    faults.finish(product)
}

pub(super) fn product_changes(request: pb::UpdateProductRequest) -> Result<(Sku, ProductChanges), Refusal> {
    let mut faults = Faults::none();
    let sku = faults.take("sku", request.sku.parse());
    let name = request.name.and_then(|text| faults.take("/name", ProductName::parse(&text)));
    let description = request.description.and_then(|text| faults.take("/description", Description::parse(&text)));
    let image_url = request.image_url.and_then(|text| faults.take("/image_url", ImageUrl::parse(&text)));
    let tags = request.tags.and_then(|texts| tags(&mut faults, "/tags", &texts.values));
    faults.finish(sku.map(|sku| (sku, ProductChanges { name, description, image_url, tags })))
}

pub(super) fn new_price(request: pb::SetPriceRequest) -> Result<(Sku, Price), Refusal> {
    let mut faults = Faults::none();
    let sku = faults.take("sku", request.sku.parse());
    let price = price(&mut faults, request.price);
    faults.finish(sku.zip(price))
}

pub(super) fn new_count(request: pb::SetStockRequest) -> Result<(Sku, Count, String), Refusal> {
    let mut faults = Faults::none();
    let sku = faults.take("sku", request.sku.parse());
    let on_hand = faults.take("/on_hand", Count::new(request.on_hand));
    let reason = faults.take("/reason", parse_text(&request.reason, 0, MAX_REASON));
    faults.finish((|| Some((sku?, on_hand?, reason?)))())
}

fn price(faults: &mut Faults, money: Option<types::Money>) -> Option<Price> {
    let Some(money) = money else {
        faults.add("/price", "is required");
        return None;
    };
    let money = faults.take("/price", Money::try_from(money))?;
    faults.take("/price/amount_minor", Price::new(money))
}

fn tags(faults: &mut Faults, field: &str, texts: &[String]) -> Option<Tags> {
    if texts.len() > MAX_TAGS {
        faults.add(field, format!("must be at most {MAX_TAGS} tags"));
        return None;
    }
    let tags: Vec<Option<Tag>> =
        texts.iter().enumerate().map(|(n, text)| faults.take(format!("{field}/{n}"), Tag::parse(text))).collect();
    let tags = tags.into_iter().collect::<Option<Vec<_>>>()?;
    faults.take(field, Tags::new(tags))
}

pub(super) fn hold(request: pb::HoldRequest) -> Result<(OrderId, Lines, Duration), Refusal> {
    let mut faults = Faults::none();
    let order_id = faults.take("/order_id", request.order_id.parse());
    let ttl = if (1..=MAX_TTL_MS).contains(&request.ttl_ms) {
        Some(Duration::from_millis(request.ttl_ms))
    } else {
        faults.add("/ttl_ms", format!("must be 1 to {MAX_TTL_MS} milliseconds"));
        None
    };
    let lines = lines(&mut faults, request.items);
    faults.finish((|| Some((order_id?, lines?, ttl?)))())
}

/// What is to be committed; without items the caller does not say what was bought.
pub(super) fn commit(request: pb::CommitRequest) -> Result<(OrderId, Option<Lines>), Refusal> {
    let mut faults = Faults::none();
    let order_id = faults.take("/order_id", request.order_id.parse());
    let bought = if request.items.is_empty() { Some(None) } else { lines(&mut faults, request.items).map(Some) };
    faults.finish((|| Some((order_id?, bought?)))())
}

fn lines(faults: &mut Faults, items: Vec<pb::Line>) -> Option<Lines> {
    if items.len() > MAX_ITEMS {
        faults.add("/items", InvalidLines::TooMany);
        return None;
    }
    let mut lines = Some(Vec::with_capacity(items.len()));
    for (n, item) in items.into_iter().enumerate() {
        let sku = faults.take(format!("/items/{n}/sku"), Sku::try_from(item.sku));
        let quantity = faults.take(format!("/items/{n}/quantity"), Quantity::try_from(item.quantity));
        match (sku.zip(quantity), &mut lines) {
            (Some((sku, quantity)), Some(lines)) => lines.push(Line { sku, quantity }),
            _ => lines = None,
        }
    }
    match Lines::new(lines?) {
        Ok(lines) => Some(lines),
        Err(error @ (InvalidLines::Empty | InvalidLines::TooMany)) => {
            faults.add("/items", error);
            None
        }
        Err(error @ InvalidLines::TooManyUnits { index }) => {
            faults.add(format!("/items/{index}/quantity"), error);
            None
        }
    }
}

pub(super) fn product(product: &Product) -> pb::Product {
    let details = product.details();
    pb::Product {
        sku: product.sku().to_string(),
        name: details.name.as_str().to_owned(),
        description: details.description.as_str().to_owned(),
        price: Some(product.price().money().into()),
        image_url: details.image_url.as_str().to_owned(),
        tags: details.tags.as_slice().iter().map(|tag| tag.as_str().to_owned()).collect(),
        available: product.stock().available(),
        version: product.version(),
        updated_at_unix_ms: product.updated_at().unix_ms(),
    }
}

pub(super) fn product_page(page: &ProductPage) -> pb::ListProductsResponse {
    pb::ListProductsResponse {
        items: page.items.iter().map(product).collect(),
        next_cursor: page.next.as_ref().map(encode_cursor).unwrap_or_default(),
    }
}

pub(super) fn reservation(reservation: &Reservation) -> pb::Reservation {
    let (status, expires_at) = match reservation.status() {
        Status::Held { expires_at } => (pb::ReservationStatus::Held, Some(expires_at)),
        Status::Pinned => (pb::ReservationStatus::Pinned, None),
        Status::Committed => (pb::ReservationStatus::Committed, None),
        Status::Released(_) => (pb::ReservationStatus::Released, None),
        Status::Returned => (pb::ReservationStatus::Returned, None),
    };
    let lines = reservation.lines().iter();
    pb::Reservation {
        order_id: reservation.order_id().to_string(),
        status: status.into(),
        items: lines.map(|line| pb::Line { sku: line.sku.to_string(), quantity: line.quantity.get() }).collect(),
        expires_at_unix_ms: expires_at.map(contracts::Timestamp::unix_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_the_last_sku_and_nothing_else_is_one() {
        let sku: Sku = "TEA-1".parse().unwrap();
        assert_eq!(decode_cursor(&encode_cursor(&sku)), Ok(Some(sku)));
        assert_eq!(decode_cursor(""), Ok(None));
        for bad in ["TEA-1", "****", "AAAA", "VEVBLTE=", &URL_SAFE_NO_PAD.encode("a b"), &"A".repeat(10_000)] {
            assert!(decode_cursor(bad).is_err(), "{bad}");
        }
    }
}
