//! `user.registered`, `user.updated`.

use contracts::Event;
use contracts::event_data::UserEvent;
use messaging::ConsumeError;
use observability::logs::error_chain;

use super::consume_error;
use crate::application::record_user::RecordUser;
use crate::domain::contact::Contact;

pub(super) async fn handle(use_case: &RecordUser, event: &Event) -> Result<(), ConsumeError> {
    // What the parser says may quote the data, and with it an address: it stays out of the log.
    let user: UserEvent = event.data().map_err(|_| ConsumeError::Poison("the data is no user".to_owned()))?;
    let email = user.email.ok_or_else(|| ConsumeError::Poison("the user has no address".to_owned()))?;
    let contact = Contact { user_id: user.user_id, email, name: user.name, version: event.aggregateversion };
    use_case.run(contact).await.map_err(|error| consume_error(&error, error_chain(&error)))
}
