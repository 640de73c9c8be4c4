//! The catalogue in SQLite.

use std::collections::HashSet;

use async_trait::async_trait;
use contracts::{Sku, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

use super::failure::Failure;
use super::journal::{Journal, append, unwritable};
use super::save_stock;
use crate::adapters::persistence::events::EventWriter;
use crate::adapters::persistence::rows::{ProductRow, search_text, stock_of, tags_json};
use crate::application::ports::{CatalogueRepository, ChangeError, ProductPage, ProductQuery, RepositoryError};
use crate::domain::error::CatalogueError;
use crate::domain::product::{CountedMovement, Product, ProductChange, ProductCommand};
use crate::domain::stock::MovementKind;
use crate::domain::values::Tag;

macro_rules! select_products {
    ($rest:literal) => {
        concat!(
            "SELECT p.sku, name, description, price_minor, currency, image_url, tags, version, updated_at, on_hand, reserved
             FROM products AS p JOIN stock AS s ON s.sku = p.sku ",
            $rest
        )
    };
}

/// [`CatalogueRepository`] on SQLite.
pub struct SqliteCatalogue {
    journal: Journal,
}

impl SqliteCatalogue {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal }
    }
}

#[async_trait]
impl CatalogueRepository for SqliteCatalogue {
    async fn find(&self, sku: Sku) -> Result<Option<Product>, RepositoryError> {
        Ok(self.journal.read("find product", move |connection| load(connection, &sku)).await?)
    }

    async fn find_many(&self, skus: Vec<Sku>) -> Result<Vec<Product>, RepositoryError> {
        let work = move |connection: &Connection| {
            let mut seen = HashSet::with_capacity(skus.len());
            let mut products = Vec::with_capacity(skus.len());
            for sku in &skus {
                if seen.insert(sku) {
                    products.extend(load(connection, sku)?);
                }
            }
            Ok(products)
        };
        Ok(self.journal.read("find products", work).await?)
    }

    async fn list(&self, query: ProductQuery) -> Result<ProductPage, RepositoryError> {
        Ok(self.journal.read("list products", move |connection| page(connection, &query)).await?)
    }

    async fn add(&self, product: Product, change: ProductChange) -> Result<(), ChangeError<CatalogueError>> {
        let at = product.updated_at();
        let work = move |connection: &Connection, events: &EventWriter| {
            if !insert(connection, &product)? {
                return Err(Failure::Refused(CatalogueError::Exists(product.sku().clone())));
            }
            Ok(save_change(connection, events, &product, &change)?)
        };
        Ok(self.journal.write("add product", at, work).await?)
    }

    async fn change(
        &self,
        sku: Sku,
        command: ProductCommand,
        now: Timestamp,
    ) -> Result<Product, ChangeError<CatalogueError>> {
        let work = move |connection: &Connection, events: &EventWriter| {
            let found = load(connection, &sku).map_err(Failure::widen)?;
            let mut product = found.ok_or_else(|| Failure::Refused(CatalogueError::NotFound(sku)))?;
            if let Some(change) = product.apply(command, events.at()).map_err(Failure::Refused)? {
                update(connection, &product)?;
                save_change(connection, events, &product, &change)?;
            }
            Ok(product)
        };
        Ok(self.journal.write("change product", now, work).await?)
    }
}

fn load(connection: &Connection, sku: &Sku) -> Result<Option<Product>, Failure> {
    let row = connection
        .prepare_cached(select_products!("WHERE p.sku = ?1"))?
        .query_row([sku.as_str()], StoredProduct::read)
        .optional()?;
    row.map(StoredProduct::decode).transpose()
}

fn page(connection: &Connection, query: &ProductQuery) -> Result<ProductPage, Failure> {
    let mut sql = select_products!("WHERE p.sku > ?1").to_owned();
    // No sku is as small as the empty text.
    let after = query.after.as_ref().map_or("", Sku::as_str);
    // One more than wanted tells whether there is a next page.
    let limit = query.limit as i64 + 1;
    let search = query.search.to_lowercase();
    let mut values: Vec<&dyn ToSql> = vec![&after, &limit];
    if !search.is_empty() {
        values.push(&search);
        // A plain search: unlike LIKE it gives no character a meaning that would have to be escaped.
        sql.push_str(" AND instr(search_text, ?3) > 0");
    }
    let tags: Vec<&str> = query.tags.iter().map(Tag::as_str).collect();
    for tag in &tags {
        values.push(tag);
        sql.push_str(" AND EXISTS (SELECT 1 FROM product_tags AS t WHERE t.sku = p.sku AND t.tag = ?");
        sql.push_str(&values.len().to_string());
        sql.push(')');
    }
    sql.push_str(" ORDER BY p.sku LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values.as_slice())?;
    let mut page = ProductPage { items: Vec::new(), next: None };
    while let Some(row) = rows.next()? {
        if page.items.len() == query.limit {
            page.next = page.items.last().map(|product: &Product| product.sku().clone());
            break;
        }
        page.items.push(StoredProduct::read(row)?.decode()?);
    }
    Ok(page)
}

/// A row of [`select_products`].
struct StoredProduct {
    row: ProductRow,
    on_hand: i64,
    reserved: i64,
}

impl StoredProduct {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let product = ProductRow {
            sku: row.get(0)?,
            name: row.get(1)?,
            description: row.get(2)?,
            price_minor: row.get(3)?,
            currency: row.get(4)?,
            image_url: row.get(5)?,
            tags: row.get(6)?,
            version: row.get(7)?,
            updated_at: row.get(8)?,
        };
        Ok(Self { row: product, on_hand: row.get(9)?, reserved: row.get(10)? })
    }

    fn decode(self) -> Result<Product, Failure> {
        let key = self.row.sku.clone();
        let Some(stock) = stock_of(self.on_hand, self.reserved) else {
            return Err(Failure::corrupt("stock", key));
        };
        self.row.decode(stock).ok_or_else(|| Failure::corrupt("products", key))
    }
}

/// `false` when the sku is taken.
fn insert(connection: &Connection, product: &Product) -> rusqlite::Result<bool> {
    let (tags, search_text) = (tags_json(product).map_err(unwritable)?, search_text(product));
    let (details, price) = (product.details(), product.price().money());
    let inserted = connection
        .prepare_cached(
            "INSERT INTO products (sku, name, description, price_minor, currency, image_url, tags, search_text, version, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (sku) DO NOTHING",
        )?
        .execute((
            product.sku().as_str(),
            details.name.as_str(),
            details.description.as_str(),
            price.amount_minor(),
            price.currency().as_str(),
            details.image_url.as_str(),
            tags,
            search_text,
            product.version() as i64,
            product.updated_at().unix_ms(),
        ))?;
    if inserted == 0 {
        return Ok(false);
    }
    connection.prepare_cached("INSERT INTO stock (sku, on_hand, reserved) VALUES (?1, ?2, ?3)")?.execute((
        product.sku().as_str(),
        product.stock().on_hand() as i64,
        product.stock().reserved() as i64,
    ))?;
    insert_tags(connection, product)?;
    Ok(true)
}

fn update(connection: &Connection, product: &Product) -> rusqlite::Result<()> {
    let (tags, search_text) = (tags_json(product).map_err(unwritable)?, search_text(product));
    let (details, price) = (product.details(), product.price().money());
    connection
        .prepare_cached(
            "UPDATE products SET name = ?2, description = ?3, price_minor = ?4, currency = ?5, image_url = ?6, tags = ?7,
                 search_text = ?8, version = ?9, updated_at = ?10
             WHERE sku = ?1",
        )?
        .execute((
            product.sku().as_str(),
            details.name.as_str(),
            details.description.as_str(),
            price.amount_minor(),
            price.currency().as_str(),
            details.image_url.as_str(),
            tags,
            search_text,
            product.version() as i64,
            product.updated_at().unix_ms(),
        ))?;
    save_stock(connection, product.sku().as_str(), product.stock())?;
    connection.prepare_cached("DELETE FROM product_tags WHERE sku = ?1")?.execute([product.sku().as_str()])?;
    insert_tags(connection, product)
}

fn insert_tags(connection: &Connection, product: &Product) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO product_tags (tag, sku) VALUES (?1, ?2)")?;
    for tag in product.details().tags.as_slice() {
        insert.execute((tag.as_str(), product.sku().as_str()))?;
    }
    Ok(())
}

/// The ledger's entry and the event of a change.
fn save_change(
    connection: &Connection,
    events: &EventWriter,
    product: &Product,
    change: &ProductChange,
) -> rusqlite::Result<()> {
    let sku = product.sku();
    if let Some(CountedMovement { quantity, reason }) = &change.movement {
        connection
            .prepare_cached(
                "INSERT INTO stock_movements (sku, kind, quantity, order_id, reason, at) VALUES (?1, ?2, ?3, NULL, ?4, ?5)",
            )?
            .execute((sku.as_str(), MovementKind::Counted.as_str(), quantity, reason, events.at().unix_ms()))?;
    }
    append(connection, events.of_product(product, change.event))
}
