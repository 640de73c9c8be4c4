//! What every store of channels must do, written once, run against each.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock as _;
use contracts::timestamp::{ManualClock, SystemClock};
use gateway::realtime::channels::Channel;
use gateway::realtime::channels::memory::MemoryChannels;
use gateway::realtime::channels::ports::{ChannelVersions, WATCHED_FOR, WatchedChannels};

trait Store: ChannelVersions + WatchedChannels {}
impl<T: ChannelVersions + WatchedChannels> Store for T {}

fn product(sku: &str) -> Channel {
    Channel::Product(sku.parse().unwrap())
}

/// The same store as two gateways see it, and its clock.
struct World {
    one: Arc<dyn Store>,
    two: Arc<dyn Store>,
    clock: ManualClock,
}

async fn versions_have_no_gaps_whoever_counts(world: World) {
    let (one, two) = (&world.one, &world.two);
    let tea = [product("TEA-1")];
    let first = one.current(&tea).await.unwrap()[0];
    assert_eq!(first, world.clock.now().unix_ms().unsigned_abs(), "a channel begins above whatever it had before");
    assert_eq!(one.next(&tea).await.unwrap(), [first + 1]);
    assert_eq!(two.next(&tea).await.unwrap(), [first + 2]);
    assert_eq!(two.current(&tea).await.unwrap(), [first + 2]);
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(one.next(&tea).await.unwrap(), [first + 3], "the time matters at the beginning alone");
}

async fn channels_are_counted_apart_and_answered_in_their_order(world: World) {
    let (tea, catalogue) = (product("TEA-1"), Channel::Catalogue);
    let base = world.one.next(std::slice::from_ref(&catalogue)).await.unwrap()[0] - 1;
    let both = world.one.next(&[tea.clone(), catalogue.clone()]).await.unwrap();
    assert_eq!(both, [base + 1, base + 2]);
    assert_eq!(world.two.current(&[catalogue, tea]).await.unwrap(), [base + 2, base + 1]);
    assert!(world.one.next(&[]).await.unwrap().is_empty() && world.one.current(&[]).await.unwrap().is_empty());
}

async fn of_many_who_count_at_once_each_gets_a_number_of_its_own(world: World) {
    let counting = (0..40).map(|n| {
        let store = if n % 2 == 0 { Arc::clone(&world.one) } else { Arc::clone(&world.two) };
        tokio::spawn(async move { store.next(&[Channel::Catalogue]).await.unwrap()[0] })
    });
    let mut given = Vec::new();
    for task in counting.collect::<Vec<_>>() {
        given.push(task.await.unwrap());
    }
    given.sort_unstable();
    let first = given[0];
    assert_eq!(given, (first..first + 40).collect::<Vec<_>>());
}

async fn what_one_gateway_watches_all_know_of(world: World) {
    let channels = [product("TEA-1"), Channel::Catalogue, product("TEA-2")];
    assert_eq!(world.two.are_watched(&channels).await.unwrap(), [false, false, false]);
    world.one.watch(&channels[1..]).await.unwrap();
    world.one.watch(&[]).await.unwrap();
    assert_eq!(world.two.are_watched(&channels).await.unwrap(), [false, true, true]);
    assert!(world.two.are_watched(&[]).await.unwrap().is_empty());
}

macro_rules! channel_store_contract {
    (@case [$(#[$attribute:meta])*] $open:path, $case:ident) => {
        #[tokio::test]
        $(#[$attribute])*
        async fn $case() {
            crate::channel_stores::$case($open()).await;
        }
    };
    ($attributes:tt $adapter:ident, $open:path, $($case:ident)*) => {
        mod $adapter {
            $(channel_store_contract!(@case $attributes $open, $case);)*
        }
    };
    ($(#[$attribute:meta])* $adapter:ident, $open:path) => {
        channel_store_contract!(
            [$(#[$attribute])*] $adapter, $open,
            versions_have_no_gaps_whoever_counts
            channels_are_counted_apart_and_answered_in_their_order
            of_many_who_count_at_once_each_gets_a_number_of_its_own
            what_one_gateway_watches_all_know_of
        );
    };
}

fn in_memory() -> World {
    let clock = ManualClock::starting_at(SystemClock.now());
    let store = Arc::new(MemoryChannels::new(Arc::new(clock.clone())));
    World { one: store.clone(), two: store, clock }
}

channel_store_contract!(memory, crate::channel_stores::in_memory);

#[tokio::test]
async fn in_memory_a_watch_runs_out_unless_it_is_named_again() {
    let world = in_memory();
    let channels = [Channel::Catalogue, product("TEA-1")];
    world.one.watch(&channels).await.unwrap();
    world.clock.advance(WATCHED_FOR.saturating_sub(Duration::from_secs(1)));
    world.one.watch(&channels[..1]).await.unwrap();
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.one.are_watched(&channels).await.unwrap(), [true, false]);
}

#[cfg(feature = "redis")]
mod on_redis {
    use gateway::realtime::channels::redis::RedisChannels;
    use uuid::Uuid;

    use super::*;

    fn url() -> String {
        std::env::var("SOUK_TEST_REDIS_URL").expect("SOUK_TEST_REDIS_URL should name a Redis")
    }

    fn in_redis() -> World {
        let clock = ManualClock::starting_at(SystemClock.now());
        let prefix = format!("test-{}", Uuid::new_v4());
        let open = || Arc::new(RedisChannels::open(&url(), &prefix, Arc::new(clock.clone())).unwrap());
        World { one: open(), two: open(), clock }
    }

    channel_store_contract!(
        #[ignore = "needs SOUK_TEST_REDIS_URL"]
        redis,
        crate::channel_stores::on_redis::in_redis
    );

    #[tokio::test]
    #[ignore = "needs SOUK_TEST_REDIS_URL"]
    async fn in_redis_a_watch_runs_out_and_a_version_does_not() {
        let prefix = format!("test-{}", Uuid::new_v4());
        let store = RedisChannels::open(&url(), &prefix, Arc::new(SystemClock)).unwrap();
        store.watch(&[Channel::Catalogue]).await.unwrap();
        store.next(&[Channel::Catalogue]).await.unwrap();
        let mut redis = ::redis::Client::open(url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        let mut ttl = async |kind: &str| -> i64 {
            let key = format!("{prefix}:{kind}:catalogue");
            ::redis::cmd("TTL").arg(key).query_async(&mut redis).await.unwrap()
        };
        let watched = ttl("watched").await.unsigned_abs();
        assert!(watched > WATCHED_FOR.as_secs() - 10 && watched <= WATCHED_FOR.as_secs(), "{watched}");
        assert_eq!(ttl("version").await, -1);
    }

    #[tokio::test]
    async fn a_redis_that_is_away_is_an_error_and_no_wait() {
        let store = RedisChannels::open("redis://127.0.0.1:1", "x", Arc::new(SystemClock)).unwrap();
        assert!(store.next(&[Channel::Catalogue]).await.is_err());
        assert!(store.are_watched(&[Channel::Catalogue]).await.is_err());
    }
}
