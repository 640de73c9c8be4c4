//! Products and reservations as plain values, as every store keeps them, and back.

use contracts::event_data::LineData;
use contracts::ids::OrderId;
use contracts::money::Currency;
use contracts::{Money, Quantity, Sku, Timestamp};

use crate::application::audit::ReservationFacts;
use crate::domain::lines::Line;
use crate::domain::product::{Product, ProductDetails};
use crate::domain::reservation::{ReleaseCause, Reservation, Status};
use crate::domain::stock::Stock;
use crate::domain::values::{Description, ImageUrl, Price, ProductName, Tag, Tags};

/// Between the texts that are searched, so that no hit spans two of them: no text that was parsed has it.
const SEPARATOR: char = '\u{1f}';

/// What a store says of a product besides its stock.
pub(super) struct ProductRow {
    pub(super) sku: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) price_minor: i64,
    pub(super) currency: String,
    pub(super) image_url: String,
    /// A JSON array.
    pub(super) tags: String,
    pub(super) version: i64,
    /// Unix milliseconds.
    pub(super) updated_at: i64,
}

impl ProductRow {
    /// `None` when it makes no sense.
    pub(super) fn decode(self, stock: Stock) -> Option<Product> {
        let currency = Currency::parse(&self.currency).ok()?;
        let price = Price::new(Money::new(self.price_minor, currency).ok()?).ok()?;
        let tags: Vec<String> = serde_json::from_str(&self.tags).ok()?;
        let details = ProductDetails {
            name: ProductName::from_stored(self.name),
            description: Description::from_stored(self.description),
            image_url: ImageUrl::from_stored(self.image_url),
            tags: Tags::new(tags.into_iter().map(Tag::from_stored).collect()).ok()?,
        };
        let (sku, version) = (Sku::try_from(self.sku).ok()?, u64::try_from(self.version).ok()?);
        Some(Product::from_stored(sku, details, price, stock, version, Timestamp::from_unix_ms(self.updated_at)))
    }
}

/// Stock as stored; `None` when it makes no sense.
pub(super) fn stock_of(on_hand: i64, reserved: i64) -> Option<Stock> {
    Stock::from_stored(u64::try_from(on_hand).ok()?, u64::try_from(reserved).ok()?).ok()
}

/// The tags of a product, as a JSON array.
pub(super) fn tags_json(product: &Product) -> serde_json::Result<String> {
    let tags: Vec<&str> = product.details().tags.as_slice().iter().map(Tag::as_str).collect();
    serde_json::to_string(&tags)
}

/// What a search looks into: letter case does not count.
pub(super) fn search_text(product: &Product) -> String {
    let ProductDetails { name, description, .. } = product.details();
    let (name, sku, description) = (name.as_str(), product.sku().as_str(), description.as_str());
    format!("{name}{SEPARATOR}{sku}{SEPARATOR}{description}").to_lowercase()
}

/// What a store says of a reservation.
pub(super) struct ReservationRow {
    pub(super) status: String,
    pub(super) release_cause: Option<String>,
    /// Unix milliseconds.
    pub(super) expires_at: Option<i64>,
    /// A JSON array of [`LineData`].
    pub(super) lines: String,
    pub(super) version: i64,
}

impl ReservationRow {
    /// `None` when it makes no sense.
    pub(super) fn decode(self, order_id: OrderId) -> Option<Reservation> {
        let status = match (self.status.as_str(), self.release_cause.as_deref(), self.expires_at) {
            ("held", None, Some(at)) => Status::Held { expires_at: Timestamp::from_unix_ms(at) },
            ("pinned", None, None) => Status::Pinned,
            ("committed", None, None) => Status::Committed,
            ("released", Some("verdict"), None) => Status::Released(ReleaseCause::Verdict),
            ("released", Some("expired"), None) => Status::Released(ReleaseCause::Expired),
            ("returned", None, None) => Status::Returned,
            _ => return None,
        };
        let lines: Vec<LineData> = serde_json::from_str(&self.lines).ok()?;
        let lines = lines
            .into_iter()
            .map(|LineData { sku, quantity }| Some(Line { sku, quantity: Quantity::try_from(quantity).ok()? }))
            .collect::<Option<Vec<_>>>()?;
        Some(Reservation::from_stored(order_id, lines, status, u64::try_from(self.version).ok()?))
    }
}

/// Whose reservation is kept under this name; `None`, and a line in the log, when it is no order id as it is written.
pub(super) fn order_named(name: &str) -> Option<OrderId> {
    let order_id = name.parse().ok().filter(|order_id: &OrderId| order_id.to_string() == name);
    if order_id.is_none() {
        tracing::warn!(name, "a reservation is kept under what is no order id");
    }
    order_id
}

/// What an audit is told of a reservation, from its status, its lines (JSON), the end of its hold and its last change.
/// [`ReservationFacts::damaged`] when they make no sense, each by itself: whether they fit each other, others judge.
pub(super) fn reservation_facts(
    order_id: OrderId,
    status: &str,
    lines: &str,
    expires_at: Option<i64>,
    updated_at: i64,
) -> ReservationFacts {
    let known = matches!(status, "held" | "pinned" | "committed" | "released" | "returned");
    match serde_json::from_str::<Vec<LineData>>(lines) {
        Ok(lines) if known => ReservationFacts {
            order_id,
            status: status.to_owned(),
            lines: lines.into_iter().map(|line| (line.sku.to_string(), line.quantity)).collect(),
            expires_at: expires_at.map(Timestamp::from_unix_ms),
            updated_at: Timestamp::from_unix_ms(updated_at),
        },
        _ => ReservationFacts::damaged(order_id),
    }
}

/// The cause of a release and the end of a hold, as stored.
pub(super) const fn cause_and_expiry(status: Status) -> (Option<&'static str>, Option<i64>) {
    match status {
        Status::Held { expires_at } => (None, Some(expires_at.unix_ms())),
        Status::Released(ReleaseCause::Verdict) => (Some("verdict"), None),
        Status::Released(ReleaseCause::Expired) => (Some("expired"), None),
        Status::Pinned | Status::Committed | Status::Returned => (None, None),
    }
}

/// The lines of a reservation as stored and told.
pub(super) fn items(reservation: &Reservation) -> Vec<LineData> {
    let lines = reservation.lines().iter();
    lines.map(|line| LineData { sku: line.sku.clone(), quantity: line.quantity.get() }).collect()
}
