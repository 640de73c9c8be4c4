//! The catalogue.

use contracts::grpc::inventory;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{BadAnswer, Money, PageLimit, whole_number};

/// Something to buy.
#[derive(Debug, Serialize, ToSchema)]
pub struct Product {
    /// Names the product.
    #[schema(example = "TEA-001")]
    pub sku: String,
    /// For people.
    #[schema(example = "Green tea, 100 g")]
    pub name: String,
    /// More of it.
    pub description: String,
    /// Of one.
    pub price: Money,
    /// A picture; empty when there is none.
    pub image_url: String,
    /// What kind of thing it is.
    #[schema(example = json!(["tea", "organic"]))]
    pub tags: Vec<String>,
    /// Units that can be ordered now.
    #[schema(example = 42)]
    pub available: u64,
    /// Grows by one with every change of the product, its price or its counted stock.
    pub version: u64,
}

impl TryFrom<inventory::Product> for Product {
    type Error = BadAnswer;

    fn try_from(product: inventory::Product) -> Result<Self, BadAnswer> {
        Ok(Self {
            sku: product.sku,
            name: product.name,
            description: product.description,
            price: product.price.try_into()?,
            image_url: product.image_url,
            tags: product.tags,
            available: product.available,
            version: product.version,
        })
    }
}

/// Which products to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ProductQuery {
    /// Part of the name, the sku or the description, in any case.
    pub search: Option<String>,
    /// Comma-separated; products that carry all of them.
    #[param(explode = false, example = json!(["tea"]))]
    pub tags: Vec<String>,
    /// Products on a page, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: PageLimit,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A product that joins the catalogue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProduct {
    /// Names it; must be free.
    #[schema(example = "TEA-002")]
    pub sku: String,
    /// For people.
    #[schema(example = "Black tea, 100 g")]
    pub name: String,
    /// More of it.
    #[serde(default)]
    pub description: String,
    /// Of one.
    pub price: Money,
    /// A picture.
    #[serde(default)]
    pub image_url: String,
    /// What kind of thing it is.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Units on the shelf at the start.
    #[serde(default, deserialize_with = "whole_number::on_hand")]
    #[schema(maximum = 1_000_000_000)]
    pub on_hand: u64,
}

impl From<CreateProduct> for inventory::CreateProductRequest {
    fn from(product: CreateProduct) -> Self {
        Self {
            sku: product.sku,
            name: product.name,
            description: product.description,
            price: Some(product.price.into()),
            image_url: product.image_url,
            tags: product.tags,
            on_hand: product.on_hand,
        }
    }
}

/// What changes of a product; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateProduct {
    /// For people.
    #[schema(nullable = false, example = "Green tea, 120 g")]
    pub name: Option<String>,
    /// More of it.
    #[schema(nullable = false)]
    pub description: Option<String>,
    /// A picture.
    #[schema(nullable = false)]
    pub image_url: Option<String>,
    /// All of its tags.
    #[schema(nullable = false)]
    pub tags: Option<Vec<String>>,
}

/// A new price.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPrice {
    /// Of one.
    pub price: Money,
}

/// A new count of the stock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetStock {
    /// Units on the shelf, those reserved included.
    #[serde(deserialize_with = "whole_number::on_hand")]
    #[schema(maximum = 1_000_000_000, example = 100)]
    pub on_hand: u64,
    /// Why the count changed.
    #[schema(nullable = false, example = "delivery 4711")]
    pub reason: Option<String>,
}
