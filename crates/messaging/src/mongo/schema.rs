//! Collections and indexes as a service plans them.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::{Collation, CollationStrength, IndexOptions};

/// A collection with its indexes; `_id` has one of its own.
#[derive(Clone, Debug)]
pub struct CollectionPlan {
    /// Its name.
    pub name: &'static str,
    /// Its indexes.
    pub indexes: Vec<IndexModel>,
}

impl CollectionPlan {
    /// A collection with these indexes.
    pub fn new(name: &'static str, indexes: impl IntoIterator<Item = IndexModel>) -> Self {
        Self { name, indexes: indexes.into_iter().collect() }
    }
}

/// Compares letters whatever their case, for indexes of addresses and the queries that use them.
pub fn caseless() -> Collation {
    Collation::builder().locale("en").strength(CollationStrength::Secondary).build()
}

/// An index that orders.
pub fn index(name: &str, keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).options(IndexOptions::builder().name(name.to_owned()).build()).build()
}

/// An index that refuses a second document with the same keys.
pub fn unique_index(name: &str, keys: Document, collation: Option<Collation>) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).unique(true).collation(collation).build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// An index by which the server itself deletes documents, `after` the moment in `field`; of those alone that the filter fits,
/// if there is one.
///
/// It deletes by its own clock, within about a minute, and nothing may depend on it: rules compare moments of the `Clock`
/// port. `after` must leave room for clocks that differ, where a document that is gone too early would be missed.
/// Source: <https://www.mongodb.com/docs/manual/core/index-ttl/>.
pub fn expiring_index(name: &str, field: &str, after: Duration, only: Option<Document>) -> IndexModel {
    let options =
        IndexOptions::builder().name(name.to_owned()).expire_after(after).partial_filter_expression(only).build();
    IndexModel::builder().keys(doc! { field: 1 }).options(options).build()
}

/// An index of those documents alone that the filter fits.
pub fn partial_index(name: &str, keys: Document, only: Document) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).partial_filter_expression(only).build();
    IndexModel::builder().keys(keys).options(options).build()
}
