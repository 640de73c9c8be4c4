//! A running users service, and clients of every kind.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use contracts::event_data::UserEvent;
use contracts::grpc::users as proto;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use contracts::ids::UuidV7Generator;
use contracts::timestamp::ManualClock;
use contracts::{Clock as _, Event, Reason, Refusal, Timestamp};
use messaging::bus::Deliveries;
use messaging::sqlite_bus::SqliteBus;
use messaging::{EventBus as _, Subscription, Verdict};
use observability::Health;
use secrecy::SecretString;
use service_kit::Platform;
use service_kit::auth::{UserCaller, UserTokenVerifier, VerificationKeys, VerifyingKey};
use service_kit::grpc::client::{GrpcChannel, Neighbour, channel, on_behalf_of};
use service_kit::grpc::local::{self, LocalConnector};
use service_kit::grpc::server::Listener;
use service_kit::host::Host;
use sqlite::SqliteUrl;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use users::settings::Settings;

/// Far from now: a server that deletes by its own clock (TTL indexes of MongoDB) must not take part in a test.
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(4_102_444_800_000);
pub(crate) const PASSWORD: &str = "correct horse battery";
const DEADLINE: Duration = Duration::from_secs(20);

/// The service, running on stores of its own.
pub(crate) struct Souk {
    pub(crate) clock: ManualClock,
    folder: TempDir,
    platform: Platform,
    host: Host,
    connector: LocalConnector,
    events: Box<dyn Deliveries>,
    heard: VecDeque<Event>,
}

impl Souk {
    pub(crate) async fn start() -> Self {
        Self::start_in(TempDir::new().unwrap(), ManualClock::starting_at(START)).await
    }

    async fn start_in(folder: TempDir, clock: ManualClock) -> Self {
        let broker = SqliteUrl::of(folder.path().join("broker.db"));
        let bus = Arc::new(SqliteBus::open(&broker, Arc::new(clock.clone())).await.unwrap());
        let events = bus.subscribe(Subscription::new("test.events", &["user.#"])).await.unwrap();
        let platform = platform(&clock);
        let database_url = SqliteUrl::of(folder.path().join("users.db")).to_string();
        let service = users::bootstrap::build(&Settings { database_url }, &platform, bus).await.unwrap();
        let (connector, listener) = local::pair();
        let host = Host::new(platform.stop.clone(), Health::default());
        host.start(service, Listener::Local(listener), "");
        Self { clock, folder, platform, host, connector, events, heard: VecDeque::new() }
    }

    /// Stops the service and starts it anew on the same stores.
    pub(crate) async fn restart(self) -> Self {
        self.platform.stop.cancel();
        self.host.finish().await;
        Self::start_in(self.folder, self.clock).await
    }

    /// A client that is the service of this name.
    pub(crate) fn service(&self, name: &'static str) -> UsersServiceClient<GrpcChannel> {
        let neighbour = Neighbour::Local(self.connector.clone());
        UsersServiceClient::new(channel(&neighbour, self.platform.identity(name), "users"))
    }

    /// A client that says nothing about itself, unless the request does.
    pub(crate) fn client(&self) -> UsersServiceClient<Channel> {
        let endpoint = Endpoint::from_static("http://in-process");
        UsersServiceClient::new(endpoint.connect_with_connector_lazy(self.connector.clone()))
    }

    pub(crate) async fn register(&self, email: &str, name: &str) -> proto::Session {
        self.try_register(email, name).await.unwrap().into_inner()
    }

    pub(crate) async fn try_register(&self, email: &str, name: &str) -> Result<Response<proto::Session>, Status> {
        let request = proto::RegisterRequest { email: email.into(), password: PASSWORD.into(), name: name.into() };
        self.client().register(request).await
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Result<proto::Session, Refusal> {
        let request = proto::LoginRequest { email: email.into(), password: password.into() };
        answer(self.client().login(request).await)
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<proto::Session, Refusal> {
        answer(self.client().refresh(proto::RefreshRequest { refresh_token: refresh_token.into() }).await)
    }

    pub(crate) async fn logout(&self, refresh_token: &str) -> Result<proto::LogoutResponse, Refusal> {
        answer(self.client().logout(proto::LogoutRequest { refresh_token: refresh_token.into() }).await)
    }

    pub(crate) async fn seed(&self, email: &str, roles: &[&str]) -> proto::SeedAccountResponse {
        self.service("souk").seed_account(seed_request(email, roles)).await.unwrap().into_inner()
    }

    /// An admin, signed in.
    pub(crate) async fn admin(&self) -> proto::Session {
        self.seed("admin@souk.test", &["admin"]).await;
        self.login("admin@souk.test", PASSWORD).await.unwrap()
    }

    pub(crate) async fn get_user(&self, token: &str, user_id: &str) -> Result<proto::User, Refusal> {
        let request = on_behalf_of(token, proto::GetUserRequest { user_id: user_id.into() }).unwrap();
        answer(self.client().get_user(request).await)
    }

    pub(crate) async fn ban(&self, admin: &str, user_id: &str, reason: &str) -> Result<proto::User, Refusal> {
        let request = proto::BanUserRequest { user_id: user_id.into(), reason: reason.into() };
        answer(self.client().ban_user(on_behalf_of(admin, request).unwrap()).await)
    }

    pub(crate) async fn set_roles(&self, admin: &str, user_id: &str, roles: &[&str]) -> Result<proto::User, Refusal> {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let request = proto::SetRolesRequest { user_id: user_id.into(), roles };
        answer(self.client().set_roles(on_behalf_of(admin, request).unwrap()).await)
    }

    pub(crate) async fn list(
        &self,
        token: &str,
        search: &str,
        limit: u32,
        cursor: &str,
    ) -> Result<proto::ListUsersResponse, Refusal> {
        let request = proto::ListUsersRequest { search: search.into(), limit, cursor: cursor.into() };
        answer(self.client().list_users(on_behalf_of(token, request).unwrap()).await)
    }

    pub(crate) async fn revocations(&self) -> Vec<proto::Revocation> {
        let request = proto::ListRevocationsRequest {};
        self.service("gateway").list_revocations(request).await.unwrap().into_inner().items
    }

    pub(crate) async fn kids(&self) -> Vec<String> {
        self.jwks().await.into_iter().map(|key| key.kid).collect()
    }

    async fn jwks(&self) -> Vec<proto::Jwk> {
        self.client().get_jwks(proto::GetJwksRequest {}).await.unwrap().into_inner().keys
    }

    /// What a token says, verified as a neighbour does: with the keys that the service publishes.
    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<UserCaller>, Refusal> {
        let keys = self.jwks().await.into_iter();
        let keys = keys.map(|key| VerifyingKey { kid: key.kid, public_key: key.public_key }).collect();
        UserTokenVerifier::new(Arc::new(Published(keys)), Arc::new(self.clock.clone())).verify(token).await
    }

    /// Whether a gateway would let this token pass: it verifies, and nothing revokes it.
    pub(crate) async fn passes(&self, token: &str) -> bool {
        let Ok(user) = self.verify(token).await else { return false };
        let revoked = |revocation: &proto::Revocation| {
            revocation.user_id == user.user_id.to_string()
                && revocation.session_id.as_ref().is_none_or(|id| *id == user.session_id.to_string())
                && user.issued_at.unix_ms() < revocation.not_before_unix_ms
        };
        !self.revocations().await.iter().any(revoked)
    }

    /// The next event about a user, with its payload.
    pub(crate) async fn next_event(&mut self) -> (Event, UserEvent) {
        if self.heard.is_empty() {
            let batch = tokio::time::timeout(DEADLINE, self.events.next()).await.unwrap().unwrap();
            self.heard.extend(batch.iter().map(|delivery| delivery.event.clone().unwrap()));
            let settled = batch.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect();
            self.events.settle(settled).await.unwrap();
        }
        let event = self.heard.pop_front().unwrap();
        let data: UserEvent = event.data().unwrap();
        let members: serde_json::Map<String, serde_json::Value> = event.data().unwrap();
        for personal in ["email", "name"] {
            assert!(!members.contains_key(personal), "{} tells the {personal}", event.event_type);
        }
        (event, data)
    }

    /// The next event, which must be of this type.
    pub(crate) async fn expect_event(&mut self, event_type: &str) -> (Event, UserEvent) {
        let (event, data) = self.next_event().await;
        assert_eq!(event.event_type, event_type);
        (event, data)
    }

    /// How many rows a table of the service's store has.
    pub(crate) fn count_rows(&self, table: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.folder.path().join("users.db")).unwrap();
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().unix_ms()
    }
}

/// A process around a service, at this time.
pub(crate) fn platform(clock: &ManualClock) -> Platform {
    Platform {
        clock: Arc::new(clock.clone()),
        ids: Arc::new(UuidV7Generator),
        service_secret: SecretString::from("a secret of tests".to_owned()),
        neighbours: HashMap::default(),
        stop: CancellationToken::new(),
    }
}

struct Published(Vec<VerifyingKey>);

#[async_trait::async_trait]
impl VerificationKeys for Published {
    async fn find(&self, kid: &str) -> Result<Option<VerifyingKey>, service_kit::auth::KeysUnavailable> {
        Ok(self.0.iter().find(|key| key.kid == kid).cloned())
    }
}

pub(crate) fn seed_request(email: &str, roles: &[&str]) -> proto::SeedAccountRequest {
    proto::SeedAccountRequest {
        email: email.into(),
        password: PASSWORD.into(),
        name: "Seeded".into(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    }
}

pub(crate) fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, Refusal> {
    result.map(Response::into_inner).map_err(|status| Refusal::from_status(&status))
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Reason {
    result.unwrap_err().reason
}

pub(crate) fn fields<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Vec<String> {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidRequest, "{refusal:?}");
    refusal.fields.into_iter().map(|violation| violation.field).collect()
}

pub(crate) fn user_of(session: &proto::Session) -> &proto::User {
    session.user.as_ref().unwrap()
}

pub(crate) fn as_user<T>(session: &proto::Session, message: T) -> Request<T> {
    on_behalf_of(&session.access_token, message).unwrap()
}
