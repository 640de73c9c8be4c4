//! What happened to a payment, as the ledger records it and as the other services hear it.

use contracts::event::EventHead;
use contracts::event_data::{PaymentEvent, event_type};
use contracts::{Event, IdGenerator, Timestamp};
use observability::RequestContext;

use super::ports::{Change, LedgerEntry, LedgerKind};
use crate::domain::{Payment, PaymentHappened};

/// The change that leads from `expected_version` to this payment, in which `happened` came about.
pub(super) fn change(
    payment: Payment,
    expected_version: u64,
    happened: PaymentHappened,
    now: Timestamp,
    ids: &dyn IdGenerator,
) -> Change {
    let entry = ledger_kind(happened, &payment).map(|(kind, amount)| LedgerEntry {
        id: ids.new_uuid(),
        order_id: payment.order_id(),
        kind,
        amount,
        at: now,
    });
    let event = Some(event(&payment, happened, now, ids));
    Change { payment, expected_version, entry, event }
}

fn ledger_kind(happened: PaymentHappened, payment: &Payment) -> Option<(LedgerKind, contracts::Money)> {
    match happened {
        PaymentHappened::Captured => Some((LedgerKind::Capture, payment.amount())),
        PaymentHappened::Declined => None,
        PaymentHappened::Refunded { refund_id, amount } => Some((LedgerKind::Refund(refund_id), amount)),
    }
}

fn event(payment: &Payment, happened: PaymentHappened, now: Timestamp, ids: &dyn IdGenerator) -> Event {
    let context = RequestContext::current();
    let head = EventHead {
        id: ids.new_uuid(),
        service: "payment",
        event_type: match happened {
            PaymentHappened::Captured => event_type::PAYMENT_CAPTURED,
            PaymentHappened::Declined => event_type::PAYMENT_DECLINED,
            PaymentHappened::Refunded { .. } => event_type::PAYMENT_REFUNDED,
        },
        subject: payment.order_id().to_string(),
        time: now,
        aggregate_version: payment.version(),
        traceparent: context.as_ref().map(RequestContext::traceparent),
        request_id: context.map(|context| context.request_id().to_owned()),
    };
    let data = PaymentEvent {
        order_id: payment.order_id(),
        user_id: payment.user_id(),
        status: payment.status().as_str().to_owned(),
        amount: payment.amount(),
        refunded: payment.refunded(),
        decline_reason: payment.decline_reason().map(str::to_owned),
    };
    Event::new(head, &data).expect("ids, texts and numbers can always be written as JSON")
}
