//! What a stream does as time passes and when it is slow: without a server around it, on a clock that the test moves.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use contracts::grpc::notification::notification_service_server::NotificationServiceServer;
use contracts::timestamp::{ManualClock, SystemClock};
use contracts::{Clock as _, Refusal};
use futures::{Stream, StreamExt as _};
use gateway::clients::{Channels, Clients};
use gateway::extract::credentials::CookieOrigins;
use gateway::extract::{Access, Caller};
use gateway::live::entry::Entry;
use gateway::live::feed::{InboxFeed, Live, Start};
use gateway::live::hub::LiveMessage;
use gateway::live::memory_hub::CAPACITY;
use gateway::live::metrics::Transport;
use gateway::live::{MemoryHub, RealtimeHub as _, Revocations, stream};
use observability::Health;
use service_kit::Service;
use service_kit::auth::{UserTokenSigner, generate_signing_key};
use service_kit::grpc::client::Neighbour;
use service_kit::grpc::local;
use service_kit::grpc::server::Listener;
use service_kit::host::Host;
use tokio::time::Instant;
use tonic::service::Routes;

use crate::stubs::Script;
use crate::stubs::notification::Notifications;
use crate::world::{OneKey, platform, session_id, user_id};

type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, Refusal>>>>;

pub(crate) struct Bench {
    pub(crate) inbox: Notifications,
    pub(crate) clock: ManualClock,
    hub: MemoryHub,
    live: Arc<Live>,
    signer: UserTokenSigner,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::starting_at(SystemClock.now());
        let mut platform = platform(&clock);
        let signer = UserTokenSigner::new("k1".to_owned(), &generate_signing_key()).unwrap();
        let verifier = platform.user_tokens_with(Arc::new(OneKey(signer.verifying_key())));
        let inbox = Notifications::new(Script::default());
        let (connector, listener) = local::pair();
        platform.neighbours = HashMap::from([("notification", Neighbour::Local(connector))]);
        let authenticator = platform.authenticator(&platform.identity("notification"), Arc::clone(&verifier));
        let routes = Routes::new(NotificationServiceServer::new(inbox.clone()));
        let service = Service { name: "notification", routes, authenticator, tasks: Vec::new(), checks: Vec::new() };
        Host::new(platform.stop.clone(), Health::default()).start(service, Listener::Local(listener), "");

        let identity = platform.identity("gateway");
        let channel = || platform.channel(&identity, "notification").unwrap();
        let clients = Clients::new(Channels {
            users: channel(),
            orders: channel(),
            inventory: channel(),
            payment: channel(),
            notification: channel(),
        });
        let revocations = Arc::new(Revocations::new(Arc::new(clock.clone())));
        revocations.mark_loaded();
        let hub = MemoryHub::default();
        let live = Live {
            hub: Arc::new(hub.clone()),
            clients,
            access: Arc::new(Access::new(verifier, revocations, CookieOrigins::default())),
            clock: Arc::new(clock.clone()),
            draining: tokio_util::sync::CancellationToken::new(),
            departures: Arc::default(),
            stop: platform.stop.clone(),
        };
        Self { inbox, clock, hub, live: Arc::new(live), signer }
    }

    /// The caller with a token of this moment.
    pub(crate) async fn caller(&self) -> Caller {
        let token = self.signer.sign(user_id(), session_id(), &[], self.clock.now());
        self.live.access.verify(&token).await.unwrap()
    }

    pub(crate) async fn feed(&self, start: Start) -> InboxFeed {
        self.live.open(self.caller().await, start, Transport::Sse).await.unwrap()
    }

    async fn open(&self) -> Frames {
        let mut frames: Frames = Box::pin(stream::frames(self.feed(Start::Now).await));
        assert!(next(&mut frames).await.contains("event: connected"));
        frames
    }

    pub(crate) fn append(&self) {
        append(&self.inbox, &self.hub);
    }
}

fn append(inbox: &Notifications, hub: &MemoryHub) {
    let seq = inbox.append(&user_id().to_string(), "a", "{}");
    hub.publish(user_id(), LiveMessage::Entry(Entry::new(seq, "a", "{}", None)));
}

async fn next(frames: &mut Frames) -> String {
    String::from_utf8(frames.next().await.unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_shows_every_30_seconds_that_it_lives_until_its_token_expires() {
    let bench = Bench::new();
    let mut frames = bench.open().await;
    let opened = Instant::now();
    for beat in 1..30 {
        assert_eq!(next(&mut frames).await, ": heartbeat\n\n");
        let late = opened.elapsed().abs_diff(Duration::from_secs(30 * beat));
        assert!(late < Duration::from_millis(100), "{beat}: {late:?}");
    }
    while let Some(frame) = frames.next().await {
        assert_eq!(frame.unwrap(), ": heartbeat\n\n");
    }
    assert!(opened.elapsed().abs_diff(Duration::from_mins(15)) <= Duration::from_secs(2), "{:?}", opened.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_entry_puts_the_next_heartbeat_off() {
    let bench = Bench::new();
    let mut frames = bench.open().await;
    tokio::time::advance(Duration::from_secs(20)).await;
    bench.append();
    assert!(next(&mut frames).await.contains("id: 1\n"));
    let shown = Instant::now();
    assert_eq!(next(&mut frames).await, ": heartbeat\n\n");
    assert!(shown.elapsed() >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_client_too_slow_for_the_hub_gets_the_rest_from_the_store_in_order() {
    let bench = Bench::new();
    let mut frames = bench.open().await;
    let last = CAPACITY as u64 * 5;
    for _ in 0..last {
        bench.append();
    }
    let mut shown = String::new();
    while !shown.contains(&format!("id: {last}\n")) {
        shown.push_str(&next(&mut frames).await);
    }
    let ids: Vec<u64> =
        shown.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids, (1..=last).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_leaves_nothing_in_the_hub() {
    let bench = Bench::new();
    let frames = bench.open().await;
    assert_eq!(bench.hub.len(), 1);
    drop(frames);
    assert!(bench.hub.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_comes_while_the_inbox_is_being_read_is_not_missed() {
    let bench = Bench::new();
    let (inbox, hub) = (bench.inbox.clone(), bench.hub.clone());
    *bench.inbox.after_read.lock().unwrap() = Some(Box::new(move || append(&inbox, &hub)));
    let mut frames = bench.open().await;
    assert!(next(&mut frames).await.contains("id: 1\n"));
}
