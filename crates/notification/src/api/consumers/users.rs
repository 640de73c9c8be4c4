//! `user.updated`.

use contracts::Event;
use contracts::event_data::UserEvent;
use messaging::ConsumeError;
use observability::logs::error_chain;

use super::consume_error;
use crate::application::forget_contact::ForgetContact;

pub(super) async fn handle(use_case: &ForgetContact, event: &Event) -> Result<(), ConsumeError> {
    // What the parser says may quote the data: it stays out of the log.
    let user: UserEvent = event.data().map_err(|_| ConsumeError::Poison("the data is no user".to_owned()))?;
    let forgotten = use_case.run(user.user_id, event.aggregateversion).await;
    forgotten.map_err(|error| consume_error(&error, error_chain(&error)))
}
