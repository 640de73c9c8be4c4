//! What a user is told about an order, in words.

use contracts::event_data::{OrderData, OrderItemData};

use crate::domain::kind::NotificationKind;
use crate::domain::money_text::format_money;
use crate::domain::template::{Escape, fill, one_line};

/// Longest product name that is quoted, in characters.
const MAX_NAME_CHARS: usize = 80;
/// Longest reason that is quoted, in characters.
const MAX_REASON_CHARS: usize = 300;

/// A notification in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A few words.
    pub title: String,
    /// A few sentences, on one line.
    pub body: String,
}

/// The words for an outcome of this order.
pub fn message_for(kind: NotificationKind, order: &OrderData) -> Message {
    Message { title: title(kind).to_owned(), body: words(texts(kind).0, Escape::Text, order) }
}

/// The same words as HTML.
pub(crate) fn html_words_for(kind: NotificationKind, order: &OrderData) -> String {
    words(texts(kind).1, Escape::Html, order)
}

const fn title(kind: NotificationKind) -> &'static str {
    match kind {
        NotificationKind::OrderConfirmed => "Your order is confirmed",
        NotificationKind::OrderRejected => "Your order could not be filled",
        NotificationKind::OrderCancelled => "Your order was cancelled",
        NotificationKind::OrderShipped => "Your order is on its way",
        NotificationKind::OrderDelivered => "Your order was delivered",
        NotificationKind::OrderRefunded => "Your order was refunded",
    }
}

/// The templates of a kind, as text and as HTML. Places: `total`, `goods`, `because`.
const fn texts(kind: NotificationKind) -> (&'static str, &'static str) {
    macro_rules! template {
        ($name:literal) => {
            (
                include_str!(concat!("../../templates/", $name, ".txt")),
                include_str!(concat!("../../templates/", $name, ".html")),
            )
        };
    }
    match kind {
        NotificationKind::OrderConfirmed => template!("order_confirmed"),
        NotificationKind::OrderRejected => template!("order_rejected"),
        NotificationKind::OrderCancelled => template!("order_cancelled"),
        NotificationKind::OrderShipped => template!("order_shipped"),
        NotificationKind::OrderDelivered => template!("order_delivered"),
        NotificationKind::OrderRefunded => template!("order_refunded"),
    }
}

fn words(template: &str, escape: Escape, order: &OrderData) -> String {
    let (goods, total, because) = (summary(&order.items), format_money(order.total), reason_sentence(order));
    fill(template.trim_end(), escape, &[("goods", &goods), ("total", &total), ("because", &because)])
}

/// `2 x Mint Tea`, `2 x Mint Tea and 1 other product`, `2 x Mint Tea and 3 other products`.
fn summary(items: &[OrderItemData]) -> String {
    match items {
        [] => "nothing".to_owned(),
        [only] => counted(only),
        [first, _] => format!("{} and 1 other product", counted(first)),
        [first, rest @ ..] => format!("{} and {} other products", counted(first), rest.len()),
    }
}

fn counted(item: &OrderItemData) -> String {
    format!("{} x {}", item.quantity, name_of(item))
}

/// The product's name, fit to be quoted.
pub(crate) fn name_of(item: &OrderItemData) -> String {
    one_line(&item.name, MAX_NAME_CHARS)
}

/// ` Reason: …`, or nothing where no reason was given.
fn reason_sentence(order: &OrderData) -> String {
    let reason = order.reason.as_deref().map(|reason| one_line(reason, MAX_REASON_CHARS)).unwrap_or_default();
    match reason.as_str() {
        "" => String::new(),
        reason if reason.ends_with(['.', '!', '?', '…']) => format!(" Reason: {reason}"),
        reason => format!(" Reason: {reason}."),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use contracts::event_data::OrderStatus;
    use contracts::ids::{OrderId, UserId};
    use contracts::money::Currency;
    use contracts::{Money, Timestamp};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    /// An order of two of each product.
    pub(crate) fn order(names: &[&str], reason: Option<&str>) -> OrderData {
        let price = Money::new(1999, Currency::USD).unwrap();
        let item = |name: &&str| OrderItemData {
            sku: "TEA-1".parse().unwrap(),
            name: (*name).to_owned(),
            quantity: 2,
            unit_price: price,
            line_total: price.checked_mul(2).unwrap(),
        };
        OrderData {
            id: OrderId::from_uuid(Uuid::from_u128(7)),
            user_id: UserId::from_uuid(Uuid::from_u128(8)),
            status: OrderStatus::Confirmed,
            items: names.iter().map(item).collect(),
            total: price.checked_mul(2 * names.len() as u32).unwrap(),
            version: 2,
            created_at: Timestamp::from_unix_ms(0),
            updated_at: Timestamp::from_unix_ms(0),
            reason: reason.map(str::to_owned),
            shipping_address: None,
            note: None,
        }
    }

    #[test]
    fn a_confirmation_names_the_goods_and_the_total() {
        let message = message_for(NotificationKind::OrderConfirmed, &order(&["Mint Tea"], None));
        assert_eq!(message.title, "Your order is confirmed");
        assert_eq!(
            message.body,
            "Thank you! We received your payment of $39.98 for 2 x Mint Tea. We will tell you when it ships."
        );
    }

    #[test]
    fn other_products_are_counted() {
        let body = |names: &[&str]| message_for(NotificationKind::OrderShipped, &order(names, None)).body;
        assert!(body(&["Tea", "Mug"]).contains("2 x Tea and 1 other product, $79.96 in total"));
        assert!(body(&["Tea", "Mug", "Pot"]).contains("2 x Tea and 2 other products, $119.94 in total"));
    }

    #[test]
    fn the_reason_is_given_where_there_is_one() {
        let body = |kind, reason| message_for(kind, &order(&["Tea"], reason)).body;
        for kind in [NotificationKind::OrderRejected, NotificationKind::OrderCancelled, NotificationKind::OrderRefunded]
        {
            assert!(body(kind, Some("the card was declined")).contains(" Reason: the card was declined. "), "{kind:?}");
            assert!(body(kind, Some("Broken on arrival!")).contains(" Reason: Broken on arrival! "), "{kind:?}");
            assert!(!body(kind, None).contains("Reason"), "{kind:?}");
            assert!(!body(kind, Some(" \n ")).contains("Reason"), "{kind:?}");
        }
    }

    #[test]
    fn every_kind_has_a_title_of_its_own() {
        let order = order(&["Tea"], None);
        let titles: std::collections::HashSet<_> =
            NotificationKind::ALL.into_iter().map(|kind| message_for(kind, &order).title).collect();
        assert_eq!(titles.len(), NotificationKind::ALL.len());
    }

    proptest! {
        #[test]
        fn no_text_of_others_breaks_the_line_or_the_bounds(name in "\\PC{0,200}|[\\x00-\\x1f\\x7f]{1,9}", reason in any::<String>()) {
            for kind in NotificationKind::ALL {
                let message = message_for(kind, &order(&[&name], Some(&reason)));
                prop_assert!(!message.body.chars().any(char::is_control));
                prop_assert!(message.body.chars().count() < 700);
            }
        }
    }
}
