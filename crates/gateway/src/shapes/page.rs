//! Lists.

use serde::{Deserialize, Serialize};
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

/// The most that a page holds.
const MAX_LIMIT: u32 = 100;

/// How many items a page may have; the service's default unless the caller says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PageLimit(u32);

impl PageLimit {
    /// For a message, in which 0 asks for the default.
    pub const fn to_wire(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for PageLimit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.map(Self).ok_or_else(|| format!("must be a whole number from 1 to {MAX_LIMIT}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_at_least_one_and_at_most_a_hundred() {
        for (text, limit) in [("1", Some(1)), ("100", Some(100)), ("0", None), ("101", None), ("-1", None), ("", None)]
        {
            assert_eq!(PageLimit::try_from(text.to_owned()).ok().map(PageLimit::to_wire), limit, "{text:?}");
        }
    }
}
