//! Set roles: what a user may do from now on.

use std::sync::Arc;

use contracts::event_data::event_type;
use contracts::ids::UserId;
use contracts::{Clock, Role};

use crate::application::UsersError;
use crate::application::effects::Effects;
use crate::application::end_session::revocation_of_all;
use crate::application::events::EventFactory;
use crate::application::ports::UserRepository;
use crate::domain::{Roles, User};

/// The use case.
pub struct SetRoles {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Events.
    pub events: EventFactory,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl SetRoles {
    /// Replaces the roles. Access tokens with the old ones are void; sessions go on and get the new ones when refreshed.
    ///
    /// # Errors
    /// [`UsersError::AgainstOneself`], [`UsersError::UserNotFound`].
    pub async fn execute(&self, acting: UserId, id: UserId, roles: Roles) -> Result<User, UsersError> {
        if acting == id && !roles.contains(Role::Admin) {
            return Err(UsersError::AgainstOneself);
        }
        let (events, clock) = (self.events.for_this_request(), Arc::clone(&self.clock));
        let change = move |user: &mut User| {
            let now = clock.now();
            if !user.set_roles(roles.clone(), now) {
                return Effects::none();
            }
            Effects::telling(events.voiding_all(user, event_type::USER_ROLES_CHANGED, now))
                .voiding(revocation_of_all(user))
        };
        let user = self.users.change(id, Box::new(change)).await?.ok_or(UsersError::UserNotFound)?;
        tracing::info!(user.id = %id, acting.user.id = %acting, "roles set");
        Ok(user)
    }
}
