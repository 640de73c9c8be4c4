//! What an audit across stores asks of each: pages of facts by order id, and what waits to be published.

use uuid::Uuid;

use crate::timestamp::Timestamp;

/// A range of ids: those after `after`, up to and including `until`. Ids are UUIDv7: their order is that of their birth, in
/// every store, as text as well as in binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The greatest id that is left out.
    pub after: Uuid,
    /// The greatest id that is in.
    pub until: Uuid,
}

impl Span {
    /// Every id.
    pub const ALL: Self = Self { after: Uuid::nil(), until: Uuid::max() };

    /// One id alone.
    pub const fn of(id: Uuid) -> Self {
        Self { after: Uuid::from_u128(id.as_u128().saturating_sub(1)), until: id }
    }

    /// Ids made at that moment (to the millisecond, RFC 9562 §5.7) or later.
    pub const fn since(moment: Timestamp) -> Self {
        let ms = moment.unix_ms();
        let ms = if ms < 0 { 0 } else { ms as u128 };
        Self { after: Uuid::from_u128((ms << 80).saturating_sub(1)), until: Uuid::max() }
    }
}

/// A part of what a span holds, in the order of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The facts.
    pub items: Vec<T>,
    /// Nothing of the span up to and including this id is missing.
    pub complete_to: Uuid,
}

impl<T> Page<T> {
    /// A page of facts that are one to an id, read with a limit: a full page ends at its last id, any other with the span.
    pub fn of(items: Vec<T>, span: Span, limit: usize, id: impl Fn(&T) -> Uuid) -> Self {
        let complete_to = items.last().filter(|_| items.len() >= limit).map_or(span.until, id);
        Self { items, complete_to }
    }

    /// The same of facts that may be several to an id: what a limit may have cut in two is left to the next page.
    ///
    /// An id that fills a whole page by itself stays.
    pub fn of_groups(mut items: Vec<T>, span: Span, limit: usize, id: impl Fn(&T) -> Uuid) -> Self {
        let Some(last) = items.last().filter(|_| items.len() >= limit).map(&id) else {
            return Self { items, complete_to: span.until };
        };
        let whole = items.partition_point(|item| id(item) < last);
        if whole == 0 {
            return Self { items, complete_to: last };
        }
        items.truncate(whole);
        let complete_to = items.last().map_or(last, id);
        Self { items, complete_to }
    }
}

/// Events that were written and are not yet published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub waiting: u64,
    /// When the oldest of them happened.
    pub oldest_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn a_span_of_one_id_and_one_of_a_moment_hold_just_that() {
        assert_eq!(Span::of(id(7)), Span { after: id(6), until: id(7) });
        let since = Span::since(Timestamp::from_unix_ms(0x0199_0000_0000));
        let earliest: Uuid = "01990000-0000-0000-0000-000000000000".parse().unwrap();
        assert!(since.after < earliest && since.after > id((0x0198_ffff_ffff << 80) | 0xffff));
        assert_eq!(Span::since(Timestamp::from_unix_ms(0)).after, Span::ALL.after);
    }

    #[test]
    fn a_full_page_ends_where_it_ends_and_any_other_with_the_span() {
        let span = Span { after: id(0), until: id(9) };
        assert_eq!(Page::of(vec![1, 2], span, 2, |n| id(*n)).complete_to, id(2));
        assert_eq!(Page::of(vec![1], span, 2, |n| id(*n)).complete_to, id(9));
    }

    #[test]
    fn what_belongs_together_is_never_cut_in_two() {
        let span = Span { after: id(0), until: id(9) };
        let page = Page::of_groups(vec![1, 1, 2, 3], span, 4, |n| id(*n));
        assert_eq!((page.items, page.complete_to), (vec![1, 1, 2], id(2)));
        let page = Page::of_groups(vec![4, 4], span, 2, |n| id(*n));
        assert_eq!((page.items, page.complete_to), (vec![4, 4], id(4)));
        let page = Page::of_groups(vec![4, 4], span, 3, |n| id(*n));
        assert_eq!(page.complete_to, id(9));
    }
}
