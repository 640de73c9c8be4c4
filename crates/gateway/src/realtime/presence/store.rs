//! The port: who is here, on which devices, in which rooms; for all gateways together.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::ids::UserId;

/// What users may share: `chat:<id>` by membership, `room:<name>` by having joined.
pub type Room = Arc<str>;

/// One connection of a user: `<gateway>/<number>`. A session that goes on over another connection is another device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// The device of this number at a gateway.
    pub fn new(gateway: &str, number: u64) -> Self {
        Self(format!("{gateway}/{number}").into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a device does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is here, in these rooms and no others; said again, the rooms are replaced.
    Arrive(Vec<Room>),
    /// It is gone.
    Leave,
    /// It is gone unless its user comes back within the grace: [`PresenceStore::sweep`] ends it.
    Linger,
    /// It is in this room, too.
    Join(Room),
    /// It is in this room no more.
    LeaveRoom(Room),
}

/// A deed and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who.
    pub user: UserId,
    /// On which connection.
    pub device: DeviceId,
    /// What.
    pub deed: Deed,
}

/// A user came, with the first device, or went, with the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who.
    pub user: UserId,
    /// Whether they are here now.
    pub is_online: bool,
    /// The rooms of all their devices: those who are in one of them want to know.
    pub rooms: Vec<Room>,
}

/// What a heartbeat found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The store has all that this gateway told it.
    Kept,
    /// The store had given this gateway up, or never knew it: its devices have to be told anew.
    Lost,
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of a gateway.
    pub beat: Duration,
    /// A gateway that was silent for so long is gone, and its devices with it.
    pub expiry: Duration,
    /// How long a user whose connection was lost may take to come back unnoticed.
    pub grace: Duration,
    /// Between two looks for who is gone.
    pub sweep: Duration,
}

impl Timing {
    /// After a crash of a gateway its users are told to be offline within `expiry + sweep`: 26 seconds, where 30 are allowed.
    pub const DEFAULT: Self = Self {
        beat: Duration::from_secs(10),
        expiry: Duration::from_secs(25),
        grace: Duration::from_secs(5),
        sweep: Duration::from_secs(1),
    };

    /// Nobody looked for so long: not the gateways were silent, but the store was away.
    pub(super) fn gap(&self) -> Duration {
        self.expiry / 2
    }

    /// How long after a gap nobody is given up: all gateways that live have beaten by then.
    pub(super) fn hold(&self) -> Duration {
        self.expiry.saturating_sub(self.beat)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The store did not answer, or not in time.
#[derive(Debug, thiserror::Error)]
#[error("the presence store can't be reached")]
pub struct StoreAway(#[source] pub Box<dyn Error + Send + Sync>);

/// One gateway's way to the presence of all.
///
/// - A user is online from the first device's arrival to the last one's end; of each, exactly one call of one gateway
///   gives the [`Change`]. One that was given to a gateway which then died is told by nobody.
/// - Time is the store's: the clocks of gateways don't matter.
/// - A device ends by [`Deed::Leave`], by the grace after [`Deed::Linger`], or by its gateway's silence: by
///   [`PresenceStore::sweep`] of any gateway. Where nobody swept for half of the expiry, the store was away, and for
///   `expiry - beat` nobody is given up.
/// - Nothing waits long: where the store is away, calls fail within seconds.
#[async_trait]
pub trait PresenceStore: Send + Sync {
    /// Does the steps in their order, in one round trip, and says who came or went by them. Where it fails, any of
    /// them may have been done. A step of a device that is not there changes nothing, but for [`Deed::Arrive`].
    ///
    /// # Errors
    /// [`StoreAway`].
    async fn apply(&self, steps: &[Step]) -> Result<Vec<Change>, StoreAway>;

    /// This gateway lives.
    ///
    /// # Errors
    /// [`StoreAway`].
    async fn beat(&self) -> Result<Lease, StoreAway>;

    /// All devices of this gateway end after so long, but for those that arrive again.
    ///
    /// # Errors
    /// [`StoreAway`].
    async fn doubt(&self, within: Duration) -> Result<(), StoreAway>;

    /// Ends the devices whose time has run out, and says whose last one it was.
    ///
    /// # Errors
    /// [`StoreAway`].
    async fn sweep(&self) -> Result<Vec<Change>, StoreAway>;

    /// For each user, whether they are online and share a room with `asker`; with everybody, where that is `None`.
    ///
    /// # Errors
    /// [`StoreAway`].
    async fn online(&self, asker: Option<UserId>, users: &[UserId]) -> Result<Vec<bool>, StoreAway>;

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`StoreAway`].
    async fn ping(&self) -> Result<(), StoreAway>;
}
