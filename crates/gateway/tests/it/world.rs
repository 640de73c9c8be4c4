//! A gateway with everything around it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::event::{Event, EventHead};
use contracts::event_data::{InboxAppended, UserEvent, event_type};
use contracts::grpc::inventory::inventory_service_server::InventoryServiceServer;
use contracts::grpc::notification::chat_service_server::ChatServiceServer;
use contracts::grpc::notification::notification_service_server::NotificationServiceServer;
use contracts::grpc::orders::orders_service_server::OrdersServiceServer;
use contracts::grpc::payment::payment_service_server::PaymentServiceServer;
use contracts::grpc::users::users_service_server::UsersServiceServer;
use contracts::ids::{SessionId, UserId, UuidV7Generator};
use contracts::timestamp::{ManualClock, SystemClock};
use contracts::{Clock, IdGenerator as _, Role};
use gateway::Settings;
use gateway::realtime::drain::Pace;
use gateway::realtime::presence::Timing;
use messaging::EventBus;
use messaging::sqlite_bus::SqliteBus;
use observability::Health;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use service_kit::auth::{KeysUnavailable, UserTokenSigner, VerificationKeys, VerifyingKey, generate_signing_key};
use service_kit::grpc::client::Neighbour;
use service_kit::grpc::local;
use service_kit::grpc::server::Listener;
use service_kit::host::Host;
use service_kit::{Platform, Service};
use sqlite::SqliteUrl;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::stubs::Script;
use crate::stubs::chat::Chat;
use crate::stubs::chat_rooms::Rooms;
use crate::stubs::inventory::Inventory;
use crate::stubs::notification::Notifications;
use crate::stubs::orders::Orders;
use crate::stubs::payment::Payments;
use crate::stubs::users::{self, Users};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
    pub(crate) script: Script,
    pub(crate) users: Users,
    pub(crate) orders: Orders,
    pub(crate) inventory: Inventory,
    pub(crate) inbox: Notifications,
    pub(crate) rooms: Rooms,
    pub(crate) clock: ManualClock,
    pub(crate) stop: CancellationToken,
    pub(crate) bus: Arc<SqliteBus>,
    platform: Platform,
    signer: Arc<UserTokenSigner>,
    pub(crate) server: actix_web::dev::ServerHandle,
    _folder: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.server.stop(false));
    }
}

/// A gateway that ends without a word.
#[cfg(feature = "redis")]
pub(crate) struct Doomed {
    pub(crate) address: SocketAddr,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    server: actix_web::dev::ServerHandle,
}

#[cfg(feature = "redis")]
impl Doomed {
    /// Nobody is told anything: what it did beside its requests ends first.
    pub(crate) async fn crash(self) {
        for task in &self.tasks {
            task.abort();
        }
        self.server.stop(false).await;
    }
}

/// Settings of a gateway on any free port, with time enough for slow machines.
pub(crate) fn settings() -> Settings {
    Settings {
        address: "127.0.0.1:0".parse().unwrap(),
        cors_origins: Vec::new(),
        trusted_proxies: gateway::middleware::forwarded::TrustedProxies::default(),
        workers: std::num::NonZeroUsize::new(1),
        request_timeout: Duration::from_secs(10),
        drain: Pace::default(),
        realtime_url: "memory://".to_owned(),
        realtime_stream_length: 10_000,
        presence: Timing::DEFAULT,
        access_log: "json".parse().unwrap(),
        access_log_skip: "/health/*".parse().unwrap(),
    }
}

/// Verification keys of a single signer.
pub(crate) struct OneKey(pub(crate) VerifyingKey);

#[async_trait]
impl VerificationKeys for OneKey {
    async fn find(&self, kid: &str) -> Result<Option<VerifyingKey>, KeysUnavailable> {
        Ok((kid == self.0.kid).then(|| self.0.clone()))
    }
}

/// A platform on which no service runs yet.
pub(crate) fn platform(clock: &ManualClock) -> Platform {
    Platform {
        clock: Arc::new(clock.clone()),
        ids: Arc::new(UuidV7Generator),
        service_secret: SecretString::from("test-secret"),
        neighbours: HashMap::new(),
        stop: CancellationToken::new(),
    }
}

pub(crate) async fn bus(folder: &TempDir, clock: &ManualClock) -> Arc<SqliteBus> {
    let url = SqliteUrl::of(folder.path().join("broker.db"));
    Arc::new(SqliteBus::open(&url, Arc::new(clock.clone())).await.unwrap())
}

impl World {
    pub(crate) async fn new() -> Self {
        let world = Self::unready(settings(), |_| {}).await;
        world.until_ready().await;
        world
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let world = Self::unready(settings, |_| {}).await;
        world.until_ready().await;
        world
    }

    /// Everything on a bus that may do worse than the real one.
    pub(crate) async fn on(worse: impl FnOnce(Arc<dyn EventBus>) -> Arc<dyn EventBus>) -> Self {
        let world = Self::unready_on(settings(), |_| {}, worse).await;
        world.until_ready().await;
        world
    }

    /// Starts everything; `prepare` may tell the users stand-in what to do before the gateway asks it for anything.
    pub(crate) async fn unready(settings: Settings, prepare: impl FnOnce(&Users)) -> Self {
        Self::unready_on(settings, prepare, |bus| bus).await
    }

    async fn unready_on(
        settings: Settings,
        prepare: impl FnOnce(&Users),
        worse: impl FnOnce(Arc<dyn EventBus>) -> Arc<dyn EventBus>,
    ) -> Self {
        let clock = ManualClock::starting_at(SystemClock.now());
        let folder = TempDir::new().unwrap();
        let bus = bus(&folder, &clock).await;
        let mut platform = platform(&clock);
        let stop = platform.stop.clone();
        let signer = Arc::new(UserTokenSigner::new("k1".to_owned(), &generate_signing_key()).unwrap());
        let script = Script::default();
        let users = Users { script: script.clone(), key: signer.verifying_key(), revocations: Arc::default() };
        prepare(&users);
        let orders = Orders::new(script.clone());
        let inventory = Inventory { script: script.clone(), available: Arc::new(7.into()) };
        let inbox = Notifications::new(script.clone());
        let payments = Payments { script: script.clone() };
        let rooms = Rooms::new(bus.clone(), clock.clone());
        let chat = ChatServiceServer::new(Chat { script: script.clone(), rooms: rooms.clone() });

        let health = Health::default();
        let host = Host::new(stop.clone(), health.clone());
        for (name, routes) in [
            ("users", Routes::new(UsersServiceServer::new(users.clone()))),
            ("orders", Routes::new(OrdersServiceServer::new(orders.clone()))),
            ("inventory", Routes::new(InventoryServiceServer::new(inventory.clone()))),
            ("payment", Routes::new(PaymentServiceServer::new(payments))),
            ("notification", Routes::new(NotificationServiceServer::new(inbox.clone())).add_service(chat)),
        ] {
            let (connector, listener) = local::pair();
            platform.neighbours.insert(name, Neighbour::Local(connector));
            let verifier = platform.user_tokens_with(Arc::new(OneKey(signer.verifying_key())));
            let authenticator = platform.authenticator(&platform.identity(name), verifier);
            let service = Service { name, routes, authenticator, tasks: Vec::new(), checks: Vec::new() };
            host.start(service, Listener::Local(listener), "");
        }

        let gateway = gateway::build(&settings, &platform, worse(bus.clone()), health.clone()).await.unwrap();
        for check in gateway.checks {
            health.add(check);
        }
        for task in gateway.tasks {
            host.run("gateway", task);
        }
        let server = gateway.server.handle();
        tokio::spawn(gateway.server);
        tokio::spawn(when(stop.clone(), gateway.drain.run()));
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self {
            address: gateway.address,
            http,
            script,
            users,
            orders,
            inventory,
            inbox,
            rooms,
            clock,
            stop,
            bus,
            platform,
            signer,
            server,
            _folder: folder,
        }
    }

    async fn until_ready(&self) {
        self.until_accepted(self.address).await;
    }

    async fn until_accepted(&self, gateway: SocketAddr) {
        let (user, url) = (self.token(), format!("http://{gateway}/api/notifications/unread-count"));
        eventually("the gateway accepts tokens", async || {
            self.http.get(&url).bearer_auth(&user).send().await.unwrap().status() == StatusCode::OK
        })
        .await;
    }

    /// Starts another gateway beside the first, which can be made to crash.
    #[cfg(feature = "redis")]
    pub(crate) async fn doomed_gateway(&self, settings: Settings) -> Doomed {
        let bus: Arc<dyn EventBus> = self.bus.clone();
        let gateway = gateway::build(&settings, &self.platform, bus, Health::default()).await.unwrap();
        let tasks = gateway.tasks.iter().map(|task| tokio::spawn((task.start)())).collect();
        let server = gateway.server.handle();
        tokio::spawn(gateway.server);
        self.until_accepted(gateway.address).await;
        Doomed { address: gateway.address, tasks, server }
    }

    /// Starts another gateway beside the first, on the same bus and the same services; where it listens. It ends with them.
    pub(crate) async fn second_gateway(&self) -> SocketAddr {
        self.another_gateway(&settings()).await
    }

    pub(crate) async fn another_gateway(&self, settings: &Settings) -> SocketAddr {
        let health = Health::default();
        let bus: Arc<dyn EventBus> = self.bus.clone();
        let gateway = gateway::build(settings, &self.platform, bus, health.clone()).await.unwrap();
        let host = Host::new(self.stop.clone(), health);
        for task in gateway.tasks {
            host.run("gateway", task);
        }
        let (handle, stop) = (gateway.server.handle(), self.stop.clone());
        tokio::spawn(gateway.server);
        tokio::spawn(when(self.stop.clone(), gateway.drain.run()));
        tokio::spawn(async move {
            stop.cancelled().await;
            handle.stop(false).await;
        });
        self.until_accepted(gateway.address).await;
        gateway.address
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// A token of the user that the stand-ins know.
    pub(crate) fn token(&self) -> String {
        self.token_of(user_id(), session_id())
    }

    pub(crate) fn token_of(&self, user: UserId, session: SessionId) -> String {
        self.signer.sign(user, session, &[Role::Customer], self.clock.now())
    }

    /// A token of a user with these roles.
    pub(crate) fn token_with(&self, roles: &[Role], user: UserId) -> String {
        self.signer.sign(user, session_id(), roles, self.clock.now())
    }

    pub(crate) async fn publish(&self, event_type: &str, user: UserId, data: &impl Serialize) {
        let head = EventHead {
            id: UuidV7Generator.new_uuid(),
            service: "test",
            event_type,
            subject: user.to_string(),
            time: self.clock.now(),
            aggregate_version: 1,
            traceparent: None,
            request_id: None,
        };
        self.bus.publish(&[Event::new(head, data).unwrap()]).await.unwrap();
    }

    /// Appends to the user's inbox and tells the bus, as notification does.
    pub(crate) async fn append(&self, event: &str, data_json: &str) -> u64 {
        let seq = self.inbox.append(&user_id().to_string(), event, data_json);
        self.tell(seq, event, data_json).await;
        seq
    }

    pub(crate) async fn tell(&self, seq: u64, event: &str, data_json: &str) {
        let data = serde_json::value::RawValue::from_string(data_json.to_owned()).unwrap();
        let appended = InboxAppended { user_id: user_id(), seq, event: event.to_owned(), data };
        self.publish(event_type::INBOX_APPENDED, user_id(), &appended).await;
    }

    pub(crate) async fn revoke(&self, event_type: &str, user: UserId, session: Option<SessionId>) {
        let data = UserEvent {
            user_id: user,
            roles: Vec::new(),
            ban_reason: None,
            revoked_before: Some(self.clock.now()),
            session_id: session,
        };
        self.publish(event_type, user, &data).await;
    }
}

/// Does something once the services are asked to stop.
async fn when(stop: CancellationToken, then: impl Future<Output = ()>) {
    stop.cancelled().await;
    then.await;
}

pub(crate) fn user_id() -> UserId {
    users::ID.parse().unwrap()
}

pub(crate) fn session_id() -> SessionId {
    SessionId::from_uuid(user_id().as_uuid())
}

/// Waits until something holds; asks again and again, fails after [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// The problem document of an answer, whose form is checked, too.
pub(crate) async fn problem(response: Response) -> Value {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.text().await.unwrap();
    assert_eq!(headers["content-type"], "application/problem+json", "{status}: {body}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["request_id"], headers["x-request-id"].to_str().unwrap());
    assert_eq!(problem["trace_id"].as_str().unwrap().len(), 32);
    for member in ["type", "title", "detail", "instance"] {
        assert!(problem[member].is_string(), "{member} in {problem}");
    }
    problem
}

/// The status of an answer and the type of its problem, such as `409 out-of-stock`.
pub(crate) async fn refusal(response: Response) -> String {
    let status = response.status().as_u16();
    let problem = problem(response).await;
    format!("{status} {}", problem["type"].as_str().unwrap().trim_start_matches("/problems/"))
}
