//! Update: what users change about themselves.

use std::sync::Arc;

use contracts::Clock;
use contracts::event_data::event_type;
use contracts::ids::UserId;

use crate::application::UsersError;
use crate::application::effects::Effects;
use crate::application::events::EventFactory;
use crate::application::ports::UserRepository;
use crate::domain::{PersonName, User};

/// The use case.
pub struct UpdateUser {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Events.
    pub events: EventFactory,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl UpdateUser {
    /// Gives the user another name.
    ///
    /// # Errors
    /// [`UsersError::UserNotFound`].
    pub async fn execute(&self, id: UserId, name: PersonName) -> Result<User, UsersError> {
        let (events, clock) = (self.events.for_this_request(), Arc::clone(&self.clock));
        let change = move |user: &mut User| {
            if user.rename(name.clone()) {
                Effects::telling(events.about(user, event_type::USER_UPDATED, clock.now()))
            } else {
                Effects::none()
            }
        };
        self.users.change(id, Box::new(change)).await?.ok_or(UsersError::UserNotFound)
    }
}
