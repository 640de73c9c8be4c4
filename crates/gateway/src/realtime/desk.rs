//! What the handlers of all events share.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock;

use super::Sessions;
use super::absence::Absent;
use super::chat::Chat;
use super::presence::Presence;
use crate::clients::Clients;
use crate::extract::Access;
use crate::live::feed::Live;

/// See the module. Cheap to clone; all clones share the same.
#[derive(Clone)]
pub struct Desk {
    /// The services.
    pub clients: Clients,
    /// Says whether a token counts.
    pub access: Arc<Access>,
    /// Who is connected here.
    pub sessions: Arc<Sessions>,
    /// The inboxes, as they grow.
    pub live: Arc<Live>,
    /// What the chat knows here.
    pub chat: Arc<Chat>,
    /// Who is online.
    pub presence: Presence,
    /// Which clients were said to have left, although they may come back.
    pub absent: Arc<Absent>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The time that the answer to one event may take, with everything that is asked for it.
    pub answer_within: Duration,
}
