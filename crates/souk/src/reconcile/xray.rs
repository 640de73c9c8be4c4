//! What every store says of one order.

use contracts::audit::Span;
use contracts::ids::OrderId;

use super::case::{Case, Walk};
use super::stores::{AuditError, Stores, unreadable};

/// What one store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// Which store.
    pub store: &'static str,
    /// Its words, one line.
    pub what: String,
}

/// Asks all stores about an order; `None` when none of them knows it.
///
/// # Errors
/// [`AuditError`].
pub async fn xray(stores: &Stores, order_id: OrderId) -> Result<Option<Vec<Says>>, AuditError> {
    let span = Span::of(order_id.as_uuid());
    let cases = Walk::new(stores, span, 16).next().await?.unwrap_or_default();
    let Some(case) = cases.into_iter().find(|case| !case.is_unknown()) else { return Ok(None) };
    let keys = stores.orders.list_keys(span).await.map_err(|error| unreadable("orders")(&error))?;
    Ok(Some(say(&case, keys.first().map(|(_, key)| key.as_str()))))
}

/// All stores' words, in the order of a checkout.
pub fn say(case: &Case, key: Option<&str>) -> Vec<Says> {
    let nothing = || "nothing".to_owned();
    let order = case.order.as_ref();
    let mut says = vec![
        Says {
            store: "orders",
            what: order.map_or_else(nothing, |order| {
                let key = key.map_or_else(String::new, |key| format!(", idempotency key {key}"));
                let total = order.total;
                format!(
                    "{} (version {}), {} {} of {}, customer {}, changed {}{key}",
                    order.status,
                    order.version,
                    total.amount_minor(),
                    total.currency().as_str(),
                    lines(&order.lines),
                    order.user_id,
                    order.updated_at
                )
            }),
        },
        Says {
            store: "saga",
            what: order.and_then(|order| order.saga.as_ref()).map_or_else(nothing, |saga| {
                let due = saga
                    .due_at
                    .map_or_else(String::new, |due| format!(", due {due}, {} failed attempts", saga.attempts));
                format!("{}{due}", saga.state)
            }),
        },
        Says {
            store: "event log",
            what: order.filter(|order| !order.events.is_empty()).map_or_else(nothing, |order| {
                order
                    .events
                    .iter()
                    .map(|event| format!("{} {}", event.version, event.event_type))
                    .collect::<Vec<_>>()
                    .join(", ")
            }),
        },
    ];
    says.push(Says {
        store: "inventory",
        what: case.reservation.as_ref().map_or_else(nothing, |one| {
            if one.is_damaged() {
                return "damaged: what is stored makes no sense".to_owned();
            }
            let until = one.expires_at.map_or_else(String::new, |at| format!(" until {at}"));
            format!("{}{until}: {}, changed {}", one.status, lines(&one.lines), one.updated_at)
        }),
    });
    says.push(Says {
        store: "payment",
        what: case.payment.as_ref().map_or_else(nothing, |payment| {
            let next = payment.next_check_at.map_or_else(String::new, |at| format!(", looked at again {at}"));
            format!(
                "{}, {} {}, {} given back; ledger: captured {} in {}, given back {}, refunds due {}; changed {}{next}",
                payment.status,
                payment.amount.amount_minor(),
                payment.amount.currency().as_str(),
                payment.refunded_minor,
                payment.captured_minor,
                payment.captures,
                payment.ledger_refunded_minor,
                payment.refunds_due,
                payment.updated_at
            )
        }),
    });
    says.push(Says {
        store: "provider",
        what: match &case.charge {
            None => "its books can't be read".to_owned(),
            Some(None) => nothing(),
            Some(Some(charge)) => format!(
                "{} {} {}, {} given back, asked for {} times, told {}",
                if charge.is_captured { "captured" } else { "declined" },
                charge.amount.amount_minor(),
                charge.amount.currency().as_str(),
                charge.refunded_minor,
                charge.times_asked,
                charge.settle_at
            ),
        },
    });
    let notices: Vec<_> = case
        .notices
        .iter()
        .map(|notice| {
            let place = match (notice.is_in_inbox, notice.is_muted) {
                (true, _) => "in the inbox",
                (false, true) => "at their wish not in the inbox",
                (false, false) => "NOT in the inbox",
            };
            format!("{} {place} of {}", notice.kind, notice.user_id)
        })
        .collect();
    says.push(Says { store: "notification", what: if notices.is_empty() { nothing() } else { notices.join(", ") } });
    if order.is_some() {
        let known = if case.customer_known { "the customer has an account" } else { "the customer has NO account" };
        says.push(Says { store: "users", what: known.to_owned() });
    }
    says
}

fn lines(lines: &[(String, u32)]) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines.iter().map(|(sku, units)| format!("{units} × {sku}")).collect::<Vec<_>>().join(" + ")
}
