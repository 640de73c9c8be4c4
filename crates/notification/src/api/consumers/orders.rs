//! `order.*`.

use contracts::Event;
use contracts::event_data::OrderData;
use messaging::ConsumeError;
use observability::logs::error_chain;

use super::consume_error;
use crate::application::record_order_event::{OrderEvent, RecordOrderEvent, RecordOrderEventError};

pub(super) async fn handle(use_case: &RecordOrderEvent, event: &Event) -> Result<(), ConsumeError> {
    use_case.run(decode(event)?).await.map_err(|error| match &error {
        RecordOrderEventError::OutOfOrder { .. } => ConsumeError::Early(error.to_string()),
        RecordOrderEventError::Store(cause) => consume_error(cause, error_chain(&error)),
    })
}

fn decode(event: &Event) -> Result<OrderEvent, ConsumeError> {
    let poison = |why: String| ConsumeError::Poison(why);
    // What the parser says may quote the data, and with it an address: only the place is told.
    let order: OrderData = event.data().map_err(|error| {
        poison(format!("the data is no order, see line {} column {}", error.line(), error.column()))
    })?;
    // Both decide about order and uniqueness: a mismatch would let one order speak for another.
    if event.subject != order.id.to_string() || event.aggregateversion != order.version {
        return Err(poison("subject and version are not those of the order in it".to_owned()));
    }
    if order.version == 0 || i64::try_from(order.version).is_err() {
        return Err(poison(format!("{} is no version of an order", order.version)));
    }
    Ok(OrderEvent {
        id: event.id,
        event_type: event.event_type.clone(),
        occurred_at: event.time,
        order,
        order_json: event.data.get().to_owned(),
    })
}
