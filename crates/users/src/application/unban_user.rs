//! Unban: the user may log in again.

use std::sync::Arc;

use contracts::Clock;
use contracts::event_data::event_type;
use contracts::ids::UserId;

use crate::application::UsersError;
use crate::application::effects::Effects;
use crate::application::events::EventFactory;
use crate::application::ports::UserRepository;
use crate::domain::User;

/// The use case.
pub struct UnbanUser {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Events.
    pub events: EventFactory,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl UnbanUser {
    /// Lifts the ban if there is one. Sessions that it ended stay ended.
    ///
    /// # Errors
    /// [`UsersError::UserNotFound`].
    pub async fn execute(&self, acting: UserId, id: UserId) -> Result<User, UsersError> {
        let (events, clock) = (self.events.for_this_request(), Arc::clone(&self.clock));
        let change = move |user: &mut User| {
            if user.unban() {
                Effects::telling(events.about(user, event_type::USER_UNBANNED, clock.now()))
            } else {
                Effects::none()
            }
        };
        let user = self.users.change(id, Box::new(change)).await?.ok_or(UsersError::UserNotFound)?;
        tracing::info!(user.id = %id, acting.user.id = %acting, "ban lifted");
        Ok(user)
    }
}
