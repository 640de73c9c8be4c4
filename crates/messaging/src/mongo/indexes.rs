//! Indexes are made as planned, also where an earlier build made them otherwise.

use futures::TryStreamExt as _;
use mongodb::bson::Document;
use mongodb::{Collection, IndexModel};

use super::error::MongoError;

/// Makes what is lacking. An index that has the name or the keys of a planned one and other options is replaced, so that a
/// build that plans otherwise starts; only a unique one is not: what it keeps out could come in meanwhile.
pub(super) async fn make_indexes(collection: &Collection<Document>, planned: &[IndexModel]) -> Result<(), MongoError> {
    if planned.is_empty() {
        return Ok(());
    }
    match collection.create_indexes(planned.to_vec()).await {
        Ok(_) => Ok(()),
        Err(error) if MongoError::is_index_conflict(&error) => replace_others(collection, planned).await,
        Err(error) => Err(error.into()),
    }
}

async fn replace_others(collection: &Collection<Document>, planned: &[IndexModel]) -> Result<(), MongoError> {
    let existing: Vec<IndexModel> = collection.list_indexes().await?.try_collect().await?;
    for planned in planned {
        match collection.create_index(planned.clone()).await {
            Ok(_) => continue,
            Err(error) if MongoError::is_index_conflict(&error) => {}
            Err(error) => return Err(error.into()),
        }
        for other in in_the_way_of(planned, &existing) {
            let index = name(other).unwrap_or_default().to_owned();
            if other.options.as_ref().is_some_and(|options| options.unique == Some(true)) {
                return Err(MongoError::OtherUniqueIndex { collection: collection.name().to_owned(), index });
            }
            match collection.drop_index(&index).await {
                // Another replica was first.
                Err(error) if !MongoError::is_index_not_found(&error) => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
            tracing::info!(collection = collection.name(), index, "an index with other options is replaced");
        }
        collection.create_index(planned.clone()).await?;
    }
    Ok(())
}

/// The one with the same name; else those with the same keys.
fn in_the_way_of<'a>(planned: &IndexModel, existing: &'a [IndexModel]) -> Vec<&'a IndexModel> {
    let same_name: Vec<_> = existing.iter().filter(|other| name(other) == name(planned)).collect();
    if same_name.is_empty() { existing.iter().filter(|other| other.keys == planned.keys).collect() } else { same_name }
}

fn name(index: &IndexModel) -> Option<&str> {
    index.options.as_ref()?.name.as_deref()
}
