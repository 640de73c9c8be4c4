//! What every presence store must do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::Timestamp;
use contracts::ids::UserId;
use contracts::timestamp::ManualClock;
use futures::future::join_all;
use gateway::realtime::presence::memory::MemoryPresence;
use gateway::realtime::presence::store::{Change, Deed, DeviceId, Lease, PresenceStore, Room, Step, Timing};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(20);
/// Times of the tests: as between each other in earnest, and short.
const TIMING: Timing = Timing {
    beat: Duration::from_millis(400),
    expiry: Duration::from_secs(1),
    grace: Duration::from_millis(200),
    sweep: Duration::from_millis(40),
};

/// Makes gateways of one store, and lets its time pass.
pub(crate) trait Stores {
    fn gateway(&self, name: &str) -> Arc<dyn PresenceStore>;
    async fn pass(&self, time: Duration);
}

struct Memory(MemoryPresence, ManualClock);

impl Memory {
    fn new() -> Self {
        let clock = ManualClock::starting_at(Timestamp::from_unix_ms(1_795_342_148_007));
        Self(MemoryPresence::new("first", TIMING, Arc::new(clock.clone())), clock)
    }
}

impl Stores for Memory {
    fn gateway(&self, name: &str) -> Arc<dyn PresenceStore> {
        Arc::new(self.0.seen_by(name))
    }

    async fn pass(&self, time: Duration) {
        self.1.advance(time);
    }
}

#[cfg(feature = "redis")]
struct Redis(crate::redis::Prefix);

#[cfg(feature = "redis")]
impl Stores for Redis {
    fn gateway(&self, name: &str) -> Arc<dyn PresenceStore> {
        let url = self.0.url().parse().unwrap();
        Arc::new(gateway::realtime::presence::redis::RedisPresence::new(&url, name, TIMING).unwrap())
    }

    /// The time is that of Redis, which nobody can set.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(n))
}

fn rooms(names: &[&str]) -> Vec<Room> {
    names.iter().map(|name| Room::from(*name)).collect()
}

/// A step of the user's device at a gateway.
fn step(gateway: &str, who: u128, device: u64, deed: Deed) -> Step {
    Step { user: user(who), device: DeviceId::new(gateway, device), deed }
}

fn arrive(gateway: &str, who: u128, device: u64, names: &[&str]) -> Step {
    step(gateway, who, device, Deed::Arrive(rooms(names)))
}

/// Who came (+) and went (-), with their rooms in order.
fn told(changes: Vec<Change>) -> Vec<String> {
    let mut all: Vec<_> = changes
        .into_iter()
        .map(|change| {
            let mut rooms: Vec<_> = change.rooms.iter().map(ToString::to_string).collect();
            rooms.sort();
            let sign = if change.is_online { '+' } else { '-' };
            format!("{sign}{} {}", change.user.as_uuid().as_u128(), rooms.join(","))
        })
        .collect();
    all.sort();
    all
}

async fn does(store: &Arc<dyn PresenceStore>, steps: &[Step]) -> Vec<String> {
    told(store.apply(steps).await.unwrap())
}

/// Looks for who is gone until somebody is.
async fn swept(
    stores: &impl Stores,
    store: &Arc<dyn PresenceStore>,
    living: &[&Arc<dyn PresenceStore>],
) -> Vec<String> {
    let begun = Instant::now();
    loop {
        for gateway in living {
            gateway.beat().await.unwrap();
        }
        let gone = told(store.sweep().await.unwrap());
        if !gone.is_empty() {
            return gone;
        }
        assert!(begun.elapsed() < DEADLINE, "nobody is gone");
        stores.pass(TIMING.sweep).await;
    }
}

/// Sweeps for so long, and finds that nobody is gone.
async fn nobody_goes_for(
    time: Duration,
    stores: &impl Stores,
    store: &Arc<dyn PresenceStore>,
    living: &[&Arc<dyn PresenceStore>],
) {
    let mut passed = Duration::ZERO;
    while passed < time {
        for gateway in living {
            gateway.beat().await.unwrap();
        }
        assert_eq!(told(store.sweep().await.unwrap()), [""; 0]);
        stores.pass(TIMING.sweep).await;
        passed += TIMING.sweep;
    }
}

async fn a_user_comes_with_the_first_device_and_goes_with_the_last(stores: impl Stores) {
    let (one, two) = (stores.gateway("one"), stores.gateway("two"));
    assert_eq!(does(&one, &[arrive("one", 1, 1, &["chat:a", "room:b"])]).await, ["+1 chat:a,room:b"]);
    assert_eq!(does(&two, &[arrive("two", 1, 1, &["chat:a", "room:c"])]).await, [""; 0]);
    assert_eq!(does(&one, &[step("one", 1, 1, Deed::Leave)]).await, [""; 0]);
    assert_eq!(does(&two, &[step("two", 1, 1, Deed::Leave)]).await, ["-1 chat:a,room:c"]);
    assert_eq!(does(&two, &[step("two", 1, 1, Deed::Leave)]).await, [""; 0], "who is gone can't go");
}

async fn those_who_go_take_the_rooms_of_all_their_devices(stores: impl Stores) {
    let one = stores.gateway("one");
    let steps = [
        arrive("one", 1, 1, &["room:a", "room:b"]),
        arrive("one", 1, 2, &["room:b"]),
        step("one", 1, 2, Deed::Join("room:c".into())),
        step("one", 1, 1, Deed::LeaveRoom("room:b".into())),
        step("one", 1, 1, Deed::LeaveRoom("room:never".into())),
        step("one", 1, 9, Deed::Join("room:d".into())),
        step("one", 1, 1, Deed::Leave),
        step("one", 1, 2, Deed::Leave),
    ];
    assert_eq!(does(&one, &steps).await, ["+1 room:a,room:b", "-1 room:b,room:c"]);
}

async fn a_device_that_arrives_again_is_in_the_rooms_it_says_now(stores: impl Stores) {
    let one = stores.gateway("one");
    does(&one, &[arrive("one", 1, 1, &["room:a", "room:b"]), arrive("one", 2, 2, &["room:a"])]).await;
    assert_eq!(does(&one, &[arrive("one", 1, 1, &["room:b", "room:c"])]).await, [""; 0]);
    assert_eq!(one.online(Some(user(2)), &[user(1)]).await.unwrap(), [false]);
    assert_eq!(does(&one, &[step("one", 1, 1, Deed::Leave)]).await, ["-1 room:b,room:c"]);
}

async fn only_those_who_share_a_room_are_shown_to_each_other(stores: impl Stores) {
    let (one, two) = (stores.gateway("one"), stores.gateway("two"));
    does(&one, &[arrive("one", 1, 1, &["room:a"]), arrive("one", 1, 2, &["chat:b"])]).await;
    does(&two, &[arrive("two", 2, 1, &["room:a"]), arrive("two", 3, 2, &["chat:b"]), arrive("two", 4, 3, &["room:z"])])
        .await;
    does(&two, &[arrive("two", 5, 4, &[])]).await;
    let all: Vec<_> = (2..=6).map(user).collect();
    for gateway in [&one, &two] {
        assert_eq!(gateway.online(Some(user(1)), &all).await.unwrap(), [true, true, false, false, false]);
        assert_eq!(gateway.online(Some(user(9)), &all).await.unwrap(), [false; 5], "who is not here shares nothing");
        assert_eq!(gateway.online(None, &all).await.unwrap(), [true, true, true, true, false]);
    }
    does(&two, &[step("two", 2, 1, Deed::LeaveRoom("room:a".into()))]).await;
    assert_eq!(one.online(Some(user(1)), &all).await.unwrap(), [false, true, false, false, false]);
}

async fn a_lost_device_may_come_back_within_the_grace(stores: impl Stores) {
    let (one, two) = (stores.gateway("one"), stores.gateway("two"));
    one.beat().await.unwrap();
    nobody_goes_for(TIMING.expiry, &stores, &two, &[&one, &two]).await;
    does(&one, &[arrive("one", 1, 1, &["room:a"]), step("one", 1, 1, Deed::Linger)]).await;
    assert_eq!(one.online(None, &[user(1)]).await.unwrap(), [true]);
    assert_eq!(does(&two, &[arrive("two", 1, 1, &["room:a"])]).await, [""; 0]);
    nobody_goes_for(TIMING.grace * 2, &stores, &two, &[&one, &two]).await;
    does(&two, &[step("two", 1, 1, Deed::Linger)]).await;
    assert_eq!(swept(&stores, &two, &[&one, &two]).await, ["-1 room:a"]);
    assert_eq!(one.online(None, &[user(1)]).await.unwrap(), [false]);
}

async fn the_devices_of_a_silent_gateway_end_and_one_gateway_says_so(stores: impl Stores) {
    let (dead, one, two) = (stores.gateway("dead"), stores.gateway("one"), stores.gateway("two"));
    assert_eq!(dead.beat().await.unwrap(), Lease::Lost, "it was not known");
    assert_eq!(dead.beat().await.unwrap(), Lease::Kept);
    let many: Vec<_> = (1..=500).map(|n| arrive("dead", n, n as u64, &["room:a"])).collect();
    does(&dead, &many).await;
    does(&one, &[arrive("one", 1, 1, &["room:b"])]).await;
    let begun = Instant::now();
    let mut gone = Vec::new();
    while gone.len() < 499 {
        assert!(begun.elapsed() < DEADLINE, "{} are gone", gone.len());
        join_all([one.beat(), two.beat()]).await;
        for found in join_all([one.sweep(), two.sweep()]).await {
            gone.extend(told(found.unwrap()));
        }
        stores.pass(TIMING.sweep).await;
    }
    gone.sort();
    let mut expected: Vec<_> = (2..=500).map(|n| format!("-{n} room:a")).collect();
    expected.sort();
    assert_eq!(gone, expected, "each once, and not the one who is elsewhere, too");
    assert_eq!(does(&one, &[step("one", 1, 1, Deed::Leave)]).await, ["-1 room:b"], "the dead one's rooms are gone");
}

async fn a_gateway_that_was_given_up_is_told_so(stores: impl Stores) {
    let (frozen, one) = (stores.gateway("frozen"), stores.gateway("one"));
    frozen.beat().await.unwrap();
    does(&frozen, &[arrive("frozen", 1, 1, &["room:a"])]).await;
    assert_eq!(swept(&stores, &one, &[&one]).await, ["-1 room:a"]);
    // What it had noted before it knows.
    does(&frozen, &[arrive("frozen", 2, 2, &["room:a"])]).await;
    assert_eq!(frozen.beat().await.unwrap(), Lease::Lost);
    assert_eq!(does(&frozen, &[arrive("frozen", 1, 1, &["room:a"])]).await, ["+1 room:a"]);
    assert_eq!(frozen.beat().await.unwrap(), Lease::Kept);
}

async fn nobody_is_given_up_when_the_store_was_away(stores: impl Stores) {
    let (one, two) = (stores.gateway("one"), stores.gateway("two"));
    one.beat().await.unwrap();
    two.beat().await.unwrap();
    does(&one, &[arrive("one", 1, 1, &["room:a"]), arrive("one", 2, 2, &["room:a"])]).await;
    nobody_goes_for(TIMING.expiry, &stores, &two, &[&one, &two]).await;
    // Nobody reached the store for longer than a gateway may be silent; then one does, before the other has beaten.
    stores.pass(TIMING.expiry * 2).await;
    assert_eq!(told(two.sweep().await.unwrap()), [""; 0]);
    assert_eq!(one.beat().await.unwrap(), Lease::Lost, "it may have told something that was lost");
    nobody_goes_for(TIMING.expiry, &stores, &two, &[&one, &two]).await;
}

async fn what_is_doubted_ends_unless_it_arrives_again(stores: impl Stores) {
    let (one, two) = (stores.gateway("one"), stores.gateway("two"));
    nobody_goes_for(TIMING.expiry, &stores, &two, &[&one, &two]).await;
    does(&one, &[arrive("one", 1, 1, &["room:a"]), arrive("one", 2, 2, &["room:b"])]).await;
    does(&two, &[arrive("two", 3, 1, &["room:c"])]).await;
    one.doubt(TIMING.grace).await.unwrap();
    does(&one, &[arrive("one", 2, 2, &["room:b"])]).await;
    assert_eq!(swept(&stores, &two, &[&one, &two]).await, ["-1 room:a"]);
    nobody_goes_for(TIMING.grace * 2, &stores, &two, &[&one, &two]).await;
    assert_eq!(one.online(None, &[user(1), user(2), user(3)]).await.unwrap(), [false, true, true]);
}

/// A named test of each case for each adapter; between the brackets go attributes, such as `#[ignore = "needs a server"]`.
macro_rules! contract {
    ($($adapter:ident $attributes:tt: $stores:expr => $cases:tt;)*) => {
        $(mod $adapter { contract!(@cases $attributes $stores => $cases); })*
    };
    (@cases $attributes:tt $stores:expr => [$($case:ident),* $(,)?]) => {
        $(contract!(@case $attributes $stores => $case);)*
    };
    (@case [$($attribute:tt)*] $stores:expr => $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($attribute)*
        async fn $case() {
            super::$case($stores).await;
        }
    };
}

/// Every case, for each adapter that is named.
macro_rules! every_case {
    ($($adapter:ident $attributes:tt: $stores:expr;)*) => {
        contract! {
            $($adapter $attributes: $stores => [
                a_user_comes_with_the_first_device_and_goes_with_the_last,
                those_who_go_take_the_rooms_of_all_their_devices,
                a_device_that_arrives_again_is_in_the_rooms_it_says_now,
                only_those_who_share_a_room_are_shown_to_each_other,
                a_lost_device_may_come_back_within_the_grace,
                the_devices_of_a_silent_gateway_end_and_one_gateway_says_so,
                a_gateway_that_was_given_up_is_told_so,
                nobody_is_given_up_when_the_store_was_away,
                what_is_doubted_ends_unless_it_arrives_again,
            ];)*
        }
    };
}

every_case! {
    memory []: super::Memory::new();
}

#[cfg(feature = "redis")]
every_case! {
    redis [#[ignore = "needs a server: SOUK_TEST_REDIS_URL"]]: super::Redis(crate::redis::Prefix::new());
}
