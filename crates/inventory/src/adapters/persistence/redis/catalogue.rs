//! The catalogue in Redis.

use std::collections::HashSet;

use async_trait::async_trait;
use contracts::{Sku, Timestamp};
use redis::Value;

use super::failure::Failure;
use super::journal::{ATTEMPTS, At, Journal, back_off, decode_product, fields};
use crate::adapters::persistence::rows::{search_text, tags_json};
use crate::application::ports::{CatalogueRepository, ChangeError, ProductPage, ProductQuery, RepositoryError};
use crate::domain::error::CatalogueError;
use crate::domain::product::{CountedMovement, Product, ProductChange, ProductCommand};
use crate::domain::values::Tag;

/// Products looked at in one step of a search.
const SCAN: usize = 256;

/// [`CatalogueRepository`] on Redis.
pub struct RedisCatalogue {
    journal: Journal,
}

/// What the script said.
enum Saved {
    /// It is saved.
    Done,
    /// It is something else by now.
    Changed(Value),
}

impl RedisCatalogue {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal }
    }

    async fn load(&self, skus: &[String]) -> Result<Vec<Product>, Failure> {
        let named = |sku: &String| (sku.clone(), self.journal.keys.product_named(sku));
        let keys: Vec<_> = skus.iter().map(named).collect();
        let hashes = self.journal.hashes("products", &keys).await?;
        let mut products = Vec::with_capacity(hashes.len());
        for (sku, hash) in skus.iter().zip(hashes) {
            products.extend(decode_product(sku, hash)?.found);
        }
        Ok(products)
    }

    async fn page(&self, query: &ProductQuery) -> Result<ProductPage, Failure> {
        // The index of one tag has all that can be found, and mostly far less than the catalogue.
        let set =
            query.tags.first().map_or_else(|| self.journal.keys.skus(), |tag| self.journal.keys.tagged(tag.as_str()));
        let search = query.search.to_lowercase();
        let plain = search.is_empty() && query.tags.len() <= 1;
        // One more than wanted tells whether there is a next page.
        let step = if plain { query.limit + 1 } else { SCAN.max(query.limit + 1) };
        let wanted = |product: &Product| {
            let tags = product.details().tags.as_slice();
            query.tags.iter().all(|tag| tags.contains(tag))
                && (search.is_empty() || search_text(product).contains(&search))
        };
        let mut page = ProductPage { items: Vec::new(), next: None };
        let mut after = query.after.as_ref().map_or(String::new(), Sku::to_string);
        loop {
            let skus = self.journal.members(&set, &after, step).await?;
            for product in self.load(&skus).await?.into_iter().filter(wanted) {
                if page.items.len() == query.limit {
                    page.next = page.items.last().map(|last: &Product| last.sku().clone());
                    return Ok(page);
                }
                page.items.push(product);
            }
            match skus.into_iter().nth(step - 1) {
                Some(last) => after = last,
                None => return Ok(page),
            }
        }
    }

    /// Saves a product that was decided on at `revision`, with everything that its change brings about.
    async fn save(
        &self,
        revision: u64,
        before: &[Tag],
        product: &Product,
        change: &ProductChange,
        created: bool,
        now: Timestamp,
    ) -> Result<(Saved, String), Failure> {
        let event = self.journal.event_writer(now).of_product(product, change.event)?;
        let (id, sku) = (event.id.to_string(), product.sku().as_str());
        let (keys, details, price) = (&self.journal.keys, product.details(), product.price().money());
        let lost: Vec<&Tag> = before.iter().filter(|tag| !details.tags.as_slice().contains(tag)).collect();
        let mut script = self.journal.scripts.product.prepare_invoke();
        script.key(keys.product(product.sku())).key(keys.skus()).key(keys.movements()).key(keys.events());
        script.key(keys.outbox()).key(keys.position());
        for tag in lost.iter().copied().chain(details.tags.as_slice()) {
            script.key(keys.tagged(tag.as_str()));
        }
        script.arg(revision).arg(sku).arg(now.unix_ms()).arg(&id).arg(&event.event_type).arg(product.version());
        script.arg(serde_json::to_string(&event)?).arg(keys.channel());
        match &change.movement {
            Some(CountedMovement { quantity, reason }) => script.arg(*quantity).arg(reason),
            None => script.arg("").arg(""),
        };
        script.arg(lost.len());
        script.arg("name").arg(details.name.as_str()).arg("description").arg(details.description.as_str());
        script.arg("price_minor").arg(price.amount_minor()).arg("currency").arg(price.currency().as_str());
        script.arg("image_url").arg(details.image_url.as_str()).arg("tags").arg(tags_json(product)?);
        script.arg("version").arg(product.version()).arg("updated_at").arg(product.updated_at().unix_ms());
        script.arg("on_hand").arg(product.stock().on_hand()).arg("reserved").arg(product.stock().reserved());
        if created {
            script.arg("created_by").arg(&id);
        }
        let answer = self.journal.connection.script("EVALSHA product", &script).await;
        let (said, current): (String, Option<Value>) =
            match answer.map_err(|error| Failure::reading(error, "products", sku))? {
                Value::Array(mut values) => {
                    let current = if values.len() > 1 { values.pop() } else { None };
                    let said = values.pop().and_then(|said| redis::from_redis_value(said).ok());
                    (said.unwrap_or_default(), current)
                }
                _ => return Err(Failure::corrupt("products", sku)),
            };
        match (said.as_str(), current) {
            ("saved", _) => {
                self.journal.appended.notify_one();
                Ok((Saved::Done, id))
            }
            (_, Some(current)) => Ok((Saved::Changed(current), id)),
            _ => Err(Failure::corrupt("products", sku)),
        }
    }
}

#[async_trait]
impl CatalogueRepository for RedisCatalogue {
    async fn find(&self, sku: Sku) -> Result<Option<Product>, RepositoryError> {
        Ok(self.journal.product(&sku).await?.found)
    }

    async fn find_many(&self, skus: Vec<Sku>) -> Result<Vec<Product>, RepositoryError> {
        let mut seen = HashSet::with_capacity(skus.len());
        let skus: Vec<String> = skus.iter().filter(|sku| seen.insert(*sku)).map(Sku::to_string).collect();
        Ok(self.load(&skus).await?)
    }

    async fn list(&self, query: ProductQuery) -> Result<ProductPage, RepositoryError> {
        Ok(self.page(&query).await?)
    }

    async fn add(&self, product: Product, change: ProductChange) -> Result<(), ChangeError<CatalogueError>> {
        let (saved, id) = self.save(0, &[], &product, &change, true, product.updated_at()).await?;
        match saved {
            Saved::Done => Ok(()),
            Saved::Changed(current) => {
                let fields = fields(current, "products", product.sku())?;
                // The answer to the first attempt was lost.
                if fields.get("created_by") == Some(&id) {
                    return Ok(());
                }
                Err(ChangeError::Refused(CatalogueError::Exists(product.sku().clone())))
            }
        }
    }

    async fn change(
        &self,
        sku: Sku,
        command: ProductCommand,
        now: Timestamp,
    ) -> Result<Product, ChangeError<CatalogueError>> {
        let mut current = self.journal.product(&sku).await?;
        for attempt in 1..=ATTEMPTS {
            let At { revision, found } = current;
            let Some(mut product) = found else { return Err(ChangeError::Refused(CatalogueError::NotFound(sku))) };
            let before = product.details().tags.clone();
            let Some(change) = product.apply(command.clone(), now).map_err(ChangeError::Refused)? else {
                return Ok(product);
            };
            match self.save(revision, before.as_slice(), &product, &change, false, now).await?.0 {
                Saved::Done => return Ok(product),
                // What it is by now came with the answer: at once again.
                Saved::Changed(value) => current = decode_product(sku.as_str(), fields(value, "products", &sku)?)?,
            }
            if attempt > ATTEMPTS / 2 {
                back_off(attempt).await;
                current = self.journal.product(&sku).await?;
            }
        }
        Err(Failure::Contended.into())
    }
}
