//! What an email says: a text, and the same as HTML.

use contracts::event_data::{OrderData, OrderItemData};

use crate::domain::kind::NotificationKind;
use crate::domain::message::{html_words_for, message_for, name_of};
use crate::domain::money_text::format_money;
use crate::domain::template::{Escape, fill, one_line};

/// Most lines of an order that an email lists.
const MAX_LINES: usize = 50;
/// Longest name in a greeting, in characters.
const MAX_NAME_CHARS: usize = 80;

/// The two forms of an email; a reader's program shows the one it likes best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailContent {
    /// For every reader.
    pub text: String,
    /// The same with markup; `None` in emails that earlier builds queued.
    pub html: Option<String>,
}

/// The templates of one form.
struct Form {
    escape: Escape,
    order: &'static str,
    line: &'static str,
    more: &'static str,
    email: &'static str,
}

const TEXT: Form = Form {
    escape: Escape::Text,
    order: include_str!("../../templates/order.txt"),
    line: include_str!("../../templates/line.txt"),
    more: include_str!("../../templates/more.txt"),
    email: include_str!("../../templates/email.txt"),
};

const HTML: Form = Form {
    escape: Escape::Html,
    order: include_str!("../../templates/order.html"),
    line: include_str!("../../templates/line.html"),
    more: include_str!("../../templates/more.html"),
    email: include_str!("../../templates/email.html"),
};

impl EmailContent {
    /// What brings a notification, without greeting: the notification's own words, then the order.
    pub fn of_order(kind: NotificationKind, order: &OrderData) -> Self {
        Self {
            text: TEXT.of_order(&message_for(kind, order).body, order),
            html: Some(HTML.of_order(&html_words_for(kind, order), order)),
        }
    }

    /// The whole email, greeting included.
    #[must_use]
    pub fn greeting(&self, name: &str, subject: &str) -> Self {
        let name = one_line(name, MAX_NAME_CHARS);
        let greeting = if name.is_empty() { "Hello".to_owned() } else { format!("Hello {name}") };
        let whole = |form: &Form, content: &str| {
            fill(form.email, form.escape, &[("greeting", &greeting), ("subject", subject), ("content", content)])
        };
        Self { text: whole(&TEXT, &self.text), html: self.html.as_deref().map(|html| whole(&HTML, html)) }
    }
}

impl Form {
    fn of_order(&self, words: &str, order: &OrderData) -> String {
        let mut lines: String = order.items.iter().take(MAX_LINES).map(|item| self.line(item)).collect();
        if let Some(more) = order.items.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
            lines.push_str(&fill(self.more, self.escape, &[("count", &more.to_string())]));
        }
        let (id, total) = (order.id.to_string(), format_money(order.total));
        let values = [("words", words), ("order", &id), ("lines", &lines), ("total", &total)];
        fill(self.order, self.escape, &values).trim_end().to_owned()
    }

    fn line(&self, item: &OrderItemData) -> String {
        let (quantity, name) = (item.quantity.to_string(), name_of(item));
        let (unit, together) = (format_money(item.unit_price), format_money(item.line_total));
        let values = [("quantity", &*quantity), ("name", &name), ("unit", &unit), ("together", &together)];
        fill(self.line, self.escape, &values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::message::tests::order;

    const EVIL: &str = "<script>alert('x')</script>\r\nBcc: all@souk.test\r\n{{total}}\"><img src=x onerror=y>";

    fn html(content: &EmailContent) -> &str {
        content.html.as_deref().unwrap()
    }

    #[test]
    fn the_email_lists_the_order_and_counts_what_it_leaves_out() {
        let order = order(&["Tea"; MAX_LINES + 3], None);
        let content = EmailContent::of_order(NotificationKind::OrderConfirmed, &order);
        let text = &content.text;
        assert!(text.contains(&format!("Order {}\n", order.id)), "{text}");
        assert_eq!(text.matches("  2 x Tea, $19.99 each: $39.98\n").count(), MAX_LINES);
        assert!(text.contains("  and 3 more\nTotal: $2,118.94\n"), "{text}");
        let row = "<tr><td>2 x Tea</td><td>$19.99</td><td>$39.98</td></tr>\n";
        assert_eq!(html(&content).matches(row).count(), MAX_LINES);
        assert!(html(&content).contains("<td colspan=\"3\">and 3 more</td>"), "{}", html(&content));
    }

    #[test]
    fn every_kind_says_the_same_in_both_forms_and_leaves_no_place_open() {
        let order = order(&["Mint Tea", "Mug"], Some("the card was declined"));
        for kind in NotificationKind::ALL {
            let email = EmailContent::of_order(kind, &order).greeting("Ada", "Subject");
            for form in [email.text.as_str(), html(&email)] {
                for part in ["Hello Ada,", "2 x Mint Tea and 1 other product", "$79.96", &order.id.to_string(), "Mug"] {
                    assert!(form.contains(part), "{kind:?}: {part} in {form}");
                }
                assert!(!form.contains("{{") && !form.contains("}}"), "{kind:?}: {form}");
            }
            assert_eq!(email.text.contains("the card was declined"), html(&email).contains("the card was declined"));
        }
    }

    #[test]
    fn a_greeting_without_a_name_and_an_email_of_an_earlier_build() {
        let old = EmailContent { text: "Text.\n".to_owned(), html: None };
        let email = old.greeting(" \n", "Subject");
        assert_eq!(email, EmailContent { text: "Hello,\n\nText.\n\n".to_owned(), html: None });
        assert!(old.greeting("Ada\r\nBcc: x", "Subject").text.starts_with("Hello Ada  Bcc: x,\n\nText."));
    }

    #[test]
    fn what_others_wrote_adds_neither_markup_nor_lines_nor_values() {
        let plain = order(&["Tea"], Some("Reason"));
        let evil = order(&[EVIL], Some(EVIL));
        for kind in NotificationKind::ALL {
            let [plain, evil] = [("Ada", &plain), (EVIL, &evil)]
                .map(|(name, order)| EmailContent::of_order(kind, order).greeting(name, "Subject"));
            assert_eq!(plain.text.lines().count(), evil.text.lines().count(), "{}", evil.text);
            assert!(!evil.text.lines().any(|line| line.starts_with("Bcc")), "{}", evil.text);
            for markup in ["<script", "<img", "\"><"] {
                assert!(!html(&evil).contains(markup), "{kind:?}: {}", html(&evil));
            }
            assert!(evil.text.contains("{{total}}") && html(&evil).contains("{{total}}"), "filled once");
            let tags = |content: &EmailContent| html(content).matches('<').count();
            assert_eq!(tags(&plain), tags(&evil));
        }
    }

    proptest! {
        #[test]
        fn the_markup_is_that_of_the_templates_whatever_is_quoted(name in any::<String>(), reason in any::<String>()) {
            let tags = |name: &str, reason| {
                let order = order(&[name], Some(reason));
                let email = EmailContent::of_order(NotificationKind::OrderCancelled, &order).greeting(name, "Subject");
                html(&email).matches('<').count()
            };
            prop_assert_eq!(tags("Tea", "Reason"), tags(&name, &reason));
        }
    }
}
