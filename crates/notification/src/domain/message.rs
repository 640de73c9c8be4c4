//! What a user is told about an order, in words.

use std::fmt::Write as _;

use contracts::event_data::{OrderData, OrderItemData};

use crate::domain::kind::NotificationKind;
use crate::domain::money_text::format_money;

/// Longest product name that is quoted, in characters.
const MAX_NAME_CHARS: usize = 80;
/// Longest reason that is quoted, in characters.
const MAX_REASON_CHARS: usize = 300;
/// Most lines of an order that an email lists.
const MAX_LINES: usize = 50;

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
    let goods = summary(&order.items);
    let total = format_money(order.total);
    let because = reason_sentence(order);
    let (title, body) = match kind {
        NotificationKind::OrderConfirmed => (
            "Your order is confirmed",
            format!("Thank you! We received your payment of {total} for {goods}. We will tell you when it ships."),
        ),
        NotificationKind::OrderRejected => (
            "Your order could not be filled",
            format!("We are sorry: your order of {goods} for {total} was not accepted.{because} You were not charged."),
        ),
        NotificationKind::OrderCancelled => (
            "Your order was cancelled",
            format!(
                "Your order of {goods} for {total} was cancelled.{because} If you were charged, you get all of it back."
            ),
        ),
        NotificationKind::OrderShipped => {
            ("Your order is on its way", format!("We shipped {goods}, {total} in total. It is on its way to you."))
        }
        NotificationKind::OrderDelivered => {
            ("Your order was delivered", format!("Your order of {goods} for {total} has arrived. Enjoy it!"))
        }
        NotificationKind::OrderRefunded => (
            "Your order was refunded",
            format!("We refunded {total} for your order of {goods}.{because} It goes back to the way you paid."),
        ),
    };
    Message { title: title.to_owned(), body }
}

/// The text of the email that brings a notification, without greeting: the notification's own words, then the order.
pub fn email_body(message: &Message, order: &OrderData) -> String {
    let mut text = format!("{}\n\nOrder {}\n", message.body, order.id);
    for item in order.items.iter().take(MAX_LINES) {
        let (name, unit, line) = (name_of(item), format_money(item.unit_price), format_money(item.line_total));
        writeln!(text, "  {} x {name}, {unit} each: {line}", item.quantity).expect("writing to a String can't fail");
    }
    if let Some(more) = order.items.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        writeln!(text, "  and {more} more").expect("writing to a String can't fail");
    }
    write!(
        text,
        "Total: {}\n\nYou choose which of these messages also come by email in the preferences of your notifications.\n",
        format_money(order.total)
    )
    .expect("writing to a String can't fail");
    text
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

fn name_of(item: &OrderItemData) -> String {
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

/// The text on one line, cut to a number of characters.
fn one_line(text: &str, max_chars: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max_chars + 1).collect();
    if line.chars().count() > max_chars {
        line.pop();
        line.push('…');
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use contracts::event_data::OrderStatus;
    use contracts::ids::{OrderId, UserId};
    use contracts::money::Currency;
    use contracts::{Money, Timestamp};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn order(names: &[&str], reason: Option<&str>) -> OrderData {
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

    #[test]
    fn the_email_lists_the_order_and_counts_what_it_leaves_out() {
        let order = order(&["Tea"; MAX_LINES + 3], None);
        let text = email_body(&message_for(NotificationKind::OrderConfirmed, &order), &order);
        assert!(text.contains(&format!("Order {}\n", order.id)), "{text}");
        assert_eq!(text.matches("2 x Tea, $19.99 each: $39.98\n").count(), MAX_LINES);
        assert!(text.contains("  and 3 more\n") && text.contains("Total: $2,118.94\n"), "{text}");
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
