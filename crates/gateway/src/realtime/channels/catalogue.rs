//! Products as channels show them, read from inventory.

use std::collections::{BTreeMap, HashMap};

use contracts::Refusal;
use contracts::grpc::inventory::{BatchGetProductsRequest, ListProductsRequest};
use contracts::values::Sku;
use observability::RequestContext;
use serde_json::{Value, json};

use crate::clients::{Clients, call};
use crate::shapes::product::Product;

/// Most products that one call may name.
const BATCH: usize = 200;
/// Products on a page of the catalogue.
const PAGE: u32 = 100;
/// Most products in a snapshot of the catalogue.
pub const MAX_PRODUCTS: usize = 1000;

/// Reads products.
#[derive(Clone)]
pub struct Products {
    clients: Clients,
}

/// The catalogue at one moment.
pub struct Catalogue {
    /// Its products by sku, as [`entry`] shows them.
    pub products: BTreeMap<String, Value>,
    /// Whether there are more than [`MAX_PRODUCTS`]: those that are missing come with the updates that change them.
    pub truncated: bool,
}

impl Products {
    /// Reads from inventory.
    pub fn new(clients: Clients) -> Self {
        Self { clients }
    }

    /// These products as they are now; unknown ones are left out.
    ///
    /// # Errors
    /// What inventory refuses.
    pub async fn find(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, Refusal> {
        let mut found = HashMap::with_capacity(skus.len());
        for batch in skus.chunks(BATCH) {
            let message = BatchGetProductsRequest { skus: batch.iter().map(ToString::to_string).collect() };
            let mut inventory = self.clients.inventory();
            let answer = call("inventory.BatchGetProducts", inventory.batch_get_products(message));
            for product in RequestContext::background().scope(answer).await?.items {
                let product = Product::try_from(product)?;
                if let Ok(sku) = product.sku.parse() {
                    found.insert(sku, product);
                }
            }
        }
        Ok(found)
    }

    /// The whole catalogue as it is now, up to [`MAX_PRODUCTS`].
    ///
    /// # Errors
    /// What inventory refuses.
    pub async fn catalogue(&self) -> Result<Catalogue, Refusal> {
        let (mut products, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let message = ListProductsRequest { limit: PAGE, cursor, ..ListProductsRequest::default() };
            let page = call("inventory.ListProducts", self.clients.inventory().list_products(message)).await?;
            for product in page.items {
                if products.len() == MAX_PRODUCTS {
                    return Ok(Catalogue { products, truncated: true });
                }
                let product = Product::try_from(product)?;
                let entry = entry(&product);
                products.insert(product.sku, entry);
            }
            if page.next_cursor.is_empty() {
                return Ok(Catalogue { products, truncated: false });
            }
            cursor = page.next_cursor;
        }
    }
}

/// What the catalogue shows of a product.
pub fn entry(product: &Product) -> Value {
    json!({
        "name": product.name,
        "price": product.price,
        "available": product.available,
        "version": product.version,
    })
}
