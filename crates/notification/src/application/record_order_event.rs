//! An order changed: its owner's inbox shows it, and an outcome becomes a notification and an email.

use std::sync::Arc;

use contracts::event_data::{OrderData, event_type};
use contracts::ids::NotificationId;
use contracts::{Clock, IdGenerator, Timestamp};
use uuid::Uuid;

use crate::application::metrics::ORDER_EVENTS;
use crate::application::ports::{InboxRepository, NotificationDraft, OrderChange, Recorded, RepositoryError};
use crate::application::{Cause, MailSignal};
use crate::domain::email_content::EmailContent;
use crate::domain::inbox::InboxEvent;
use crate::domain::kind::NotificationKind;
use crate::domain::message::message_for;
use crate::domain::ordering::Arrival;

/// An event of an order, decoded.
#[derive(Clone, Debug)]
pub struct OrderEvent {
    /// Unique.
    pub id: Uuid,
    /// `order.confirmed` and the like.
    pub event_type: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The order after the event.
    pub order: OrderData,
    /// The same, exactly as it came.
    pub order_json: String,
}

/// Why an event of an order was not used.
#[derive(Debug, thiserror::Error)]
pub enum RecordOrderEventError {
    /// The version before it is missing; it has to come again.
    #[error("version {missing} of the order has to come first")]
    OutOfOrder {
        /// The version that has to come first.
        missing: u64,
    },
    /// The store failed; nothing was kept.
    #[error("the event could not be recorded")]
    Store(#[source] RepositoryError),
}

/// The use case.
pub struct RecordOrderEvent {
    inbox: Arc<dyn InboxRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    signal: Arc<MailSignal>,
}

impl RecordOrderEvent {
    /// The use case with its ports.
    pub fn new(
        inbox: Arc<dyn InboxRepository>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
        signal: Arc<MailSignal>,
    ) -> Self {
        Self { inbox, clock, ids, signal }
    }

    /// Uses the event; idempotent by its id.
    ///
    /// # Errors
    /// [`RecordOrderEventError`].
    pub async fn run(&self, event: OrderEvent) -> Result<(), RecordOrderEventError> {
        let (order_id, version) = (event.order.id, event.order.version);
        let change = self.change_of(event);
        let recorded = self.inbox.record_order_change(change).await.map_err(RecordOrderEventError::Store)?;
        let (outcome, email_queued) = match recorded {
            Recorded::Used { email_queued } => ("used", email_queued),
            Recorded::Late { email_queued } => ("late", email_queued),
            Recorded::Duplicate => ("duplicate", false),
            Recorded::Waits { .. } => ("waits", false),
        };
        ORDER_EVENTS.with_label_values(&[outcome]).inc();
        match recorded {
            Recorded::Used { .. } | Recorded::Late { .. } => {
                tracing::info!(order.id = %order_id, version, outcome, email_queued, "order event recorded");
            }
            Recorded::Duplicate | Recorded::Waits { .. } => {
                tracing::debug!(order.id = %order_id, version, outcome, "order event not recorded");
            }
        }
        if email_queued {
            self.signal.ring();
        }
        match recorded {
            Recorded::Waits { missing } => Err(RecordOrderEventError::OutOfOrder { missing }),
            Recorded::Used { .. } | Recorded::Late { .. } | Recorded::Duplicate => Ok(()),
        }
    }

    fn change_of(&self, event: OrderEvent) -> OrderChange {
        let now = self.clock.now();
        let opens = event.event_type == event_type::ORDER_CREATED;
        let notification = NotificationKind::of_event(&event.event_type).map(|kind| {
            let (message, email) = (message_for(kind, &event.order), EmailContent::of_order(kind, &event.order));
            NotificationDraft { id: NotificationId::from_uuid(self.ids.new_uuid()), kind, message, email }
        });
        OrderChange {
            event_id: event.id,
            user_id: event.order.user_id,
            order_id: event.order.id,
            arrival: Arrival { version: event.order.version, opens, age: now.since(event.occurred_at) },
            entry: if opens { InboxEvent::OrderCreated } else { InboxEvent::OrderUpdated },
            order_json: event.order_json,
            notification,
            now,
            cause: Cause::current(),
        }
    }
}
