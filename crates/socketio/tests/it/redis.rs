//! Redis for tests: keys and channels of a test's own on one server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt as _};
use redis::{Client, Connection, FromRedisValue, cmd};
use socketio::adapter::{Adapter, Broadcast, RedisStreams, RedisStreamsBuilder};
use socketio::recovery::RecoveryOptions;

use crate::contract::{OPTIONS, Time, World};
use crate::node::{Asked, DEADLINE, RecordingNode, json, numbered, recording};

const URL: &str = "SOUK_TEST_REDIS_URL";

/// Names of a test's own, on a server of all tests; removed afterwards.
pub(crate) struct Names {
    pub(crate) url: String,
    pub(crate) name: String,
}

/// A node of a cluster.
pub(crate) struct Member {
    pub(crate) adapter: RedisStreams,
    pub(crate) node: Arc<RecordingNode>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self::on(std::env::var(URL).unwrap_or_else(|_| panic!("{URL} is not set")))
    }

    pub(crate) fn on(url: String) -> Self {
        Self { url, name: format!("test-{:016x}", rand::random::<u64>()) }
    }

    pub(crate) fn builder(&self) -> RedisStreamsBuilder {
        self.builder_at(&self.url)
    }

    /// For a Redis that is reached by another address.
    pub(crate) fn builder_at(&self, url: &str) -> RedisStreamsBuilder {
        RedisStreams::builder(url)
            .stream_name(self.stream())
            .channel_prefix(&self.name)
            .session_key_prefix(format!("{}:session:", self.name))
            .max_len(OPTIONS.max_events)
            .block_time(Duration::from_millis(200))
            .recovery(OPTIONS)
    }

    pub(crate) fn stream(&self) -> String {
        format!("{}:stream", self.name)
    }

    pub(crate) fn session_key(&self, pid: &str) -> String {
        format!("{}:session:{pid}", self.name)
    }

    pub(crate) fn connection(&self) -> Connection {
        Client::open(self.url.as_str()).unwrap().get_connection().unwrap()
    }

    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        cmd(words[0]).arg(&words[1..]).query(&mut self.connection()).unwrap()
    }

    /// A node that reads the stream and hears the others, in `/` and `/other`.
    pub(crate) async fn member(&self) -> Member {
        self.member_of(self.builder()).await
    }

    pub(crate) async fn member_of(&self, builder: RedisStreamsBuilder) -> Member {
        let channel = format!("{}#/other#", self.name);
        let listening = || self.command::<(String, usize)>(&["PUBSUB", "NUMSUB", &channel]).1;
        let before = listening();
        let member = Member::start(builder);
        eventually("the node listens", || listening() > before).await;
        // What it sends itself comes back once it reads.
        member.adapter.broadcast("/other", numbered(0));
        member.node.until_delivered(1).await;
        member.node.forget();
        member
    }
}

/// Waits until all of them have seen all that was sent so far, and forgets it.
pub(crate) async fn settle(members: &[&Member]) {
    let mark = || json(r#"["settled"]"#);
    members[0].adapter.broadcast("/other", Broadcast { payload: mark(), ..numbered(0) });
    for member in members {
        let is_mark = |asked: &Asked| matches!(asked, Asked::Deliver { broadcast, .. } if broadcast.payload == mark());
        member.node.until("the mark", |asked| asked.iter().any(is_mark)).await;
        member.node.forget();
    }
}

impl Member {
    /// Started, and not waited for.
    pub(crate) fn start(builder: RedisStreamsBuilder) -> Self {
        let (adapter, node) = (builder.build().unwrap(), recording());
        adapter.start(Arc::clone(&node) as _);
        adapter.open("/");
        adapter.open("/other");
        Self { adapter, node }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let Ok(mut connection) = Client::open(self.url.as_str()).and_then(|client| client.get_connection()) else {
            return;
        };
        let Ok(keys) = cmd("KEYS").arg(format!("{}*", self.name)).query::<Vec<String>>(&mut connection) else { return };
        if !keys.is_empty() {
            let _: Result<(), _> = cmd("UNLINK").arg(keys).query(&mut connection);
        }
    }
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Names {
    /// What is left of the session's life in milliseconds; negative if it is gone.
    pub(crate) fn life_ms(&self, pid: &str) -> i64 {
        self.command(&["PTTL", &self.session_key(pid)])
    }
}

impl Time for Names {
    fn runs_out_for<'a>(&'a self, pid: &str) -> BoxFuture<'a, ()> {
        let pid = pid.to_owned();
        let begun = Instant::now();
        async move {
            eventually("it expires", || self.life_ms(&pid) < 0).await;
            let waited = begun.elapsed();
            assert!(waited > OPTIONS.max_disconnection / 2, "gone after {waited:?} only");
            assert!(waited < OPTIONS.lifetime(), "gone after {waited:?} only");
        }
        .boxed()
    }

    fn goes_on_for<'a>(&'a self, pid: &str) -> BoxFuture<'a, ()> {
        let pid = pid.to_owned();
        async move {
            for _ in 0..3 {
                let mut least = i64::MAX;
                // Its life runs down and is set anew.
                eventually("it is kept alive", || {
                    let left = self.life_ms(&pid);
                    assert!(left >= OPTIONS.max_disconnection.as_millis() as i64 / 2, "{left} ms left are too few");
                    least = least.min(left);
                    left > least
                })
                .await;
            }
        }
        .boxed()
    }
}

/// One node with recovery that keeps so many events in memory.
pub(crate) async fn world(max_events: usize) -> World {
    let names = Names::new();
    let builder = names.builder().recovery(RecoveryOptions { max_events, ..OPTIONS });
    let Member { adapter, node } = names.member_of(builder).await;
    World { adapter: Arc::new(adapter), node, time: Box::new(names) }
}

pub(crate) async fn world_without_recovery() -> World {
    let names = Names::new();
    let builder = RedisStreams::builder(&names.url).stream_name(names.stream()).channel_prefix(&names.name);
    let Member { adapter, node } = names.member_of(builder).await;
    World { adapter: Arc::new(adapter), node, time: Box::new(names) }
}
