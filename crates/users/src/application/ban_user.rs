//! Ban: ends everything a user has open, until unbanned.

use std::sync::Arc;

use contracts::Clock;
use contracts::event_data::event_type;
use contracts::ids::UserId;

use crate::application::UsersError;
use crate::application::effects::{Effects, EndedSessions};
use crate::application::end_session::revocation_of_all;
use crate::application::events::EventFactory;
use crate::application::ports::UserRepository;
use crate::domain::{BanReason, User};

/// The use case.
pub struct BanUser {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Events.
    pub events: EventFactory,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl BanUser {
    /// Bans the user and ends all their sessions; a banned user gets the new reason.
    ///
    /// # Errors
    /// [`UsersError::AgainstOneself`], [`UsersError::UserNotFound`].
    pub async fn execute(&self, acting: UserId, id: UserId, reason: BanReason) -> Result<User, UsersError> {
        if acting == id {
            return Err(UsersError::AgainstOneself);
        }
        let (events, clock) = (self.events.for_this_request(), Arc::clone(&self.clock));
        let change = move |user: &mut User| {
            let now = clock.now();
            if !user.ban(reason.clone(), now) {
                return Effects::none();
            }
            Effects::telling(events.voiding_all(user, event_type::USER_BANNED, now))
                .voiding(revocation_of_all(user))
                .ending(EndedSessions::All(now))
        };
        let user = self.users.change(id, Box::new(change)).await?.ok_or(UsersError::UserNotFound)?;
        tracing::info!(user.id = %id, acting.user.id = %acting, "user banned");
        Ok(user)
    }
}
