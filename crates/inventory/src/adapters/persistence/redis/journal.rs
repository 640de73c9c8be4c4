//! What both repositories share: the connection, the keys, the scripts, and where event ids come from.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use contracts::{IdGenerator, Sku, Timestamp};
use redis::{Pipeline, Script, Value, cmd, from_redis_value, pipe};
use tokio::sync::Notify;

use super::connection::Connection;
use super::failure::Failure;
use super::keys::Keys;
use crate::adapters::persistence::events::EventWriter;
use crate::adapters::persistence::rows::{ProductRow, stock_of};
use crate::domain::product::Product;

/// How often a change is decided anew when someone else was quicker, before the caller is told to repeat it.
pub(super) const ATTEMPTS: u32 = 32;

/// The scripts, by the digests that Redis knows them by.
pub(super) struct Scripts {
    pub(super) settle: Script,
    pub(super) product: Script,
    pub(super) pending: Script,
    pub(super) repair: Script,
    pub(super) reindex: Script,
    pub(super) mark: Script,
}

/// What is shared.
#[derive(Clone)]
pub(super) struct Journal {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    pub(super) scripts: Arc<Scripts>,
    pub(super) appended: Arc<Notify>,
    ids: Arc<dyn IdGenerator>,
}

/// A hash.
pub(super) type Fields = HashMap<String, String>;

/// A stored thing, and the revision that it is at: 0 when there is none.
pub(super) struct At<T> {
    pub(super) revision: u64,
    pub(super) found: Option<T>,
}

impl Journal {
    pub(super) fn new(connection: Connection, keys: Keys, ids: Arc<dyn IdGenerator>) -> Self {
        let scripts = Arc::new(Scripts {
            settle: Script::new(include_str!("lua/settle.lua")),
            product: Script::new(include_str!("lua/product.lua")),
            pending: Script::new(include_str!("lua/pending.lua")),
            repair: Script::new(include_str!("lua/repair.lua")),
            reindex: Script::new(include_str!("lua/reindex.lua")),
            mark: Script::new(include_str!("lua/mark.lua")),
        });
        Self { connection, keys, scripts, appended: Arc::default(), ids }
    }

    /// The same over another connection.
    pub(super) fn over(&self, connection: Connection) -> Self {
        Self { connection, ..self.clone() }
    }

    pub(super) fn event_writer(&self, at: Timestamp) -> EventWriter {
        EventWriter::new(&self.ids, at)
    }

    /// The hashes under these keys, all of one moment; damage is reported as that of the row beside the key.
    pub(super) async fn hashes(&self, table: &'static str, keys: &[(String, String)]) -> Result<Vec<Fields>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(keys.len());
        pipeline.atomic();
        for (_, key) in keys {
            pipeline.cmd("HGETALL").arg(key);
        }
        let first = &keys[0].0;
        let values: Vec<Value> = self
            .connection
            .pipeline("MULTI HGETALL", &pipeline)
            .await
            .map_err(|error| Failure::reading(error, table, first))?;
        values.into_iter().zip(keys).map(|(value, (row, _))| fields(value, table, row)).collect()
    }

    /// One product.
    pub(super) async fn product(&self, sku: &Sku) -> Result<At<Product>, Failure> {
        let key = self.keys.product(sku);
        let read = self.connection.command(cmd("HGETALL").arg(key)).await;
        let value = read.map_err(|error| Failure::reading(error, "products", sku))?;
        decode_product(sku.as_str(), fields(value, "products", sku)?)
    }

    /// Some members of a sorted set whose members all have score 0, in order of their bytes.
    pub(super) async fn members(&self, set: &str, after: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let from = if after.is_empty() { "-".to_owned() } else { format!("({after}") };
        let command = cmd("ZRANGEBYLEX").arg(set).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit).to_owned();
        self.connection.command(&command).await.map_err(|error| Failure::reading(error, "indexes", set))
    }

    /// Whether Redis answers, and is one that may be written to: neither a replica nor one that is still loading.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        let mut role = pipe();
        role.cmd("PING").ignore().cmd("ROLE");
        let (role,): (Vec<Value>,) = self.connection.pipeline("PING", &role).await?;
        let name: Option<String> = role.into_iter().next().and_then(|name| from_redis_value(name).ok());
        if name.as_deref() == Some("slave") {
            return Err(Failure::Redis(
                (redis::ErrorKind::Client, "this Redis is a replica: it can't be written to").into(),
            ));
        }
        Ok(())
    }
}

/// The fields of a hash as Redis sent them.
pub(super) fn fields(value: Value, table: &'static str, row: impl ToString) -> Result<Fields, Failure> {
    from_redis_value(value).map_err(|_| Failure::corrupt(table, row))
}

/// Waits a little longer with every attempt, not in step with others.
pub(super) async fn back_off(attempt: u32) {
    if attempt > 1 {
        tokio::time::sleep(Duration::from_micros(jitter(200 * u64::from(attempt)))).await;
    }
}

/// A number below `limit`, from the key of a fresh hasher: random enough to part two who collided.
fn jitter(limit: u64) -> u64 {
    RandomState::new().hash_one(limit) % limit
}

/// A product as its hash has it.
pub(super) fn decode_product(sku: &str, mut fields: Fields) -> Result<At<Product>, Failure> {
    if fields.is_empty() {
        return Ok(At { revision: 0, found: None });
    }
    let stock = number(&fields, "on_hand").zip(number(&fields, "reserved")).and_then(|(a, b)| stock_of(a, b));
    let stock = stock.ok_or_else(|| Failure::corrupt("stock", sku))?;
    let mut decode = || {
        let revision = number(&fields, "revision")?;
        let (price_minor, version) = (number(&fields, "price_minor")?, number(&fields, "version")?);
        let updated_at = number(&fields, "updated_at")?;
        let row = ProductRow {
            sku: sku.to_owned(),
            name: fields.remove("name")?,
            description: fields.remove("description")?,
            price_minor,
            currency: fields.remove("currency")?,
            image_url: fields.remove("image_url")?,
            tags: fields.remove("tags")?,
            version,
            updated_at,
        };
        Some(At { revision: u64::try_from(revision).ok()?, found: Some(row.decode(stock)?) })
    };
    decode().ok_or_else(|| Failure::corrupt("products", sku))
}

/// A whole number of a hash.
pub(super) fn number(fields: &Fields, name: &str) -> Option<i64> {
    fields.get(name)?.parse().ok()
}
