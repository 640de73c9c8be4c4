//! Lists.

use serde::Serialize;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// What is on this page.
    pub items: Vec<T>,
    /// The `cursor` of the next page; null on the last.
    #[schema(required = true, example = json!(null))]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page from a service's answer, whose cursor is empty on the last page.
    ///
    /// # Errors
    /// Those of the items.
    pub fn of<M, E>(items: Vec<M>, next_cursor: String, convert: impl FnMut(M) -> Result<T, E>) -> Result<Self, E> {
        let items = items.into_iter().map(convert).collect::<Result<_, _>>()?;
        Ok(Self { items, next_cursor: super::non_empty(next_cursor) })
    }
}
