//! A running service, and values to ask it for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use contracts::grpc::inventory as pb;
use contracts::grpc::inventory::inventory_service_client::InventoryServiceClient;
use contracts::grpc::types;
use contracts::grpc::users as users_pb;
use contracts::grpc::users::users_service_server::{UsersService, UsersServiceServer};
use contracts::ids::{OrderId, SessionId, UserId, UuidV7Generator};
use contracts::timestamp::ManualClock;
use contracts::{Clock, Quantity, Reason, Refusal, Role, Timestamp};
use inventory::adapters::persistence::sqlite::SqliteStore;
use inventory::application::Inventory;
use inventory::bootstrap;
use inventory::domain::lines::{Line, Lines};
use inventory::settings::Settings;
use messaging::EventBus;
use observability::Health;
use service_kit::Platform;
use service_kit::auth::{UserTokenSigner, generate_signing_key};
use service_kit::grpc::client::{GrpcChannel, Neighbour, channel, on_behalf_of};
use service_kit::grpc::local::{self, LocalConnector};
use service_kit::grpc::server::Listener;
use service_kit::host::Host;
use sqlite::SqliteUrl;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::orders_stub::OrdersStub;

pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_123);
/// No test waits longer for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) type Client = InventoryServiceClient<GrpcChannel>;

/// The service, running in this process behind a real gRPC connection, on a store of its own.
pub(crate) struct World {
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) host: Host,
    pub(crate) stop: CancellationToken,
    /// What orders say.
    pub(crate) orders: OrdersStub,
    platform: Platform,
    settings: Settings,
    connector: LocalConnector,
    signer: UserTokenSigner,
    folder: TempDir,
}

/// A second process beside the first: the same store, the same bus.
#[cfg(feature = "redis")]
pub(crate) struct Instance {
    platform: Platform,
    connector: LocalConnector,
    _host: Host,
}

#[cfg(feature = "redis")]
impl Instance {
    pub(crate) fn service(&self, name: &'static str) -> Client {
        let neighbour = Neighbour::Local(self.connector.clone());
        Client::new(channel(&neighbour, self.platform.identity(name), bootstrap::NAME))
    }
}

impl World {
    pub(crate) async fn start(clock: Arc<dyn Clock>) -> Self {
        let folder = TempDir::new().unwrap();
        let url = url_of(&folder, "inventory");
        Self::start_on(url, folder, clock).await
    }

    /// On another store than a file in the folder.
    #[cfg(feature = "redis")]
    pub(crate) async fn on(database_url: String, clock: Arc<dyn Clock>) -> Self {
        Self::start_on(database_url, TempDir::new().unwrap(), clock).await
    }

    async fn start_on(database_url: String, folder: TempDir, clock: Arc<dyn Clock>) -> Self {
        let stop = CancellationToken::new();
        let orders = OrdersStub::default();
        let signer = UserTokenSigner::new("k1".to_owned(), &generate_signing_key()).unwrap();
        let platform = Platform {
            clock: Arc::clone(&clock),
            ids: Arc::new(UuidV7Generator),
            service_secret: "a secret of tests".to_owned().into(),
            neighbours: HashMap::from([
                ("users", Neighbour::Local(serve_keys(&signer))),
                ("orders", Neighbour::Local(orders.serve())),
            ]),
            stop: stop.clone(),
        };
        let bus = messaging::connect(&url_of(&folder, "broker"), clock).await.unwrap();
        let settings = Settings { database_url };
        let service = bootstrap::build(&settings, &platform, Arc::clone(&bus)).await.unwrap();
        let host = Host::new(stop.clone(), Health::default());
        let (connector, listener) = local::pair();
        host.start(service, Listener::Local(listener), "inventory.");
        Self { bus, host, stop, orders, platform, settings, connector, signer, folder }
    }

    #[cfg(feature = "redis")]
    pub(crate) async fn second_instance(&self) -> Instance {
        let service = bootstrap::build(&self.settings, &self.platform, Arc::clone(&self.bus)).await.unwrap();
        let host = Host::new(self.stop.clone(), Health::default());
        let (connector, listener) = local::pair();
        host.start(service, Listener::Local(listener), "inventory.");
        Instance { platform: self.platform.clone(), connector, _host: host }
    }

    /// With a clock that stands still.
    pub(crate) async fn at_rest() -> (Self, ManualClock) {
        let clock = ManualClock::starting_at(START);
        (Self::start(Arc::new(clock.clone())).await, clock)
    }

    /// A client with the token of this service.
    pub(crate) fn service(&self, name: &'static str) -> Client {
        let neighbour = Neighbour::Local(self.connector.clone());
        Client::new(channel(&neighbour, self.platform.identity(name), bootstrap::NAME))
    }

    /// A client that says nothing about who it is.
    pub(crate) fn anonymous(&self) -> InventoryServiceClient<Channel> {
        let endpoint = Endpoint::from_static("http://in-process");
        InventoryServiceClient::new(endpoint.connect_with_connector_lazy(self.connector.clone()))
    }

    pub(crate) fn token(&self, roles: &[Role]) -> String {
        let (user, session) = (UserId::from_uuid(Uuid::from_u128(1)), SessionId::from_uuid(Uuid::from_u128(2)));
        self.signer.sign(user, session, roles, self.platform.clock.now())
    }

    /// A request of an admin.
    pub(crate) fn by_admin<T>(&self, message: T) -> Request<T> {
        on_behalf_of(&self.token(&[Role::Admin]), message).unwrap()
    }

    pub(crate) async fn add_product(&self, sku: &str, on_hand: u64) {
        self.service("souk").create_product(new_product(sku, on_hand)).await.unwrap();
    }

    pub(crate) async fn available(&self, sku: &str) -> u64 {
        let request = pb::GetProductRequest { sku: sku.to_owned() };
        self.service("orders").get_product(request).await.unwrap().into_inner().available
    }

    /// Use cases on the same file: as a second replica would have them.
    pub(crate) fn use_cases(&self) -> Inventory {
        let store = SqliteStore::open(&SqliteUrl::of(self.database()), Arc::clone(&self.platform.ids)).unwrap();
        Inventory::new(Arc::new(store.catalogue), Arc::new(store.reservations), Arc::clone(&self.platform.clock))
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The file of the service's store.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("inventory.db")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn url_of(folder: &TempDir, name: &str) -> String {
    format!("sqlite://{}", folder.path().join(format!("{name}.db")).display())
}

pub(crate) fn refused<T: std::fmt::Debug>(result: Result<Response<T>, Status>) -> Refusal {
    Refusal::from_status(&result.unwrap_err())
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<Response<T>, Status>) -> Reason {
    refused(result).reason
}

pub(crate) fn order(n: u128) -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a9b_0000_0000_0000 + n))
}

pub(crate) fn lines(items: &[(&str, u32)]) -> Lines {
    let line =
        |(sku, units): &(&str, u32)| Line { sku: sku.parse().unwrap(), quantity: Quantity::try_from(*units).unwrap() };
    Lines::new(items.iter().map(line)).unwrap()
}

pub(crate) fn usd(amount_minor: i64) -> types::Money {
    types::Money { amount_minor, currency: "USD".to_owned() }
}

pub(crate) fn new_product(sku: &str, on_hand: u64) -> pb::CreateProductRequest {
    pb::CreateProductRequest {
        sku: sku.to_owned(),
        name: format!("Product {sku}"),
        description: "Good.".to_owned(),
        price: Some(usd(1999)),
        image_url: "/images/x.jpg".to_owned(),
        tags: vec!["new".to_owned()],
        on_hand,
    }
}

pub(crate) fn hold(order_id: OrderId, items: &[(&str, u32)], ttl: Duration) -> pb::HoldRequest {
    let line = |(sku, quantity): &(&str, u32)| pb::Line { sku: (*sku).to_owned(), quantity: *quantity };
    pb::HoldRequest {
        order_id: order_id.to_string(),
        items: items.iter().map(line).collect(),
        ttl_ms: ttl.as_millis() as u64,
    }
}

pub(crate) fn pin(order_id: OrderId) -> pb::PinRequest {
    pb::PinRequest { order_id: order_id.to_string() }
}

pub(crate) fn commit(order_id: OrderId) -> pb::CommitRequest {
    pb::CommitRequest { order_id: order_id.to_string(), items: Vec::new() }
}

pub(crate) fn release(order_id: OrderId) -> pb::ReleaseRequest {
    pb::ReleaseRequest { order_id: order_id.to_string() }
}

pub(crate) fn take_back(order_id: OrderId) -> pb::ReturnRequest {
    pb::ReturnRequest { order_id: order_id.to_string() }
}

/// What was bought by a confirmed order.
pub(crate) fn commit_bought(order_id: OrderId, items: &[(&str, u32)]) -> pb::CommitRequest {
    pb::CommitRequest { items: hold(order_id, items, Duration::ZERO).items, ..commit(order_id) }
}

/// The users service, as far as the inventory knows it: the keys of its tokens.
struct PublishedKeys(users_pb::Jwk);

fn serve_keys(signer: &UserTokenSigner) -> LocalConnector {
    let key = signer.verifying_key();
    let users = PublishedKeys(users_pb::Jwk { kid: key.kid, public_key: key.public_key });
    let (connector, listener) = local::pair();
    let server = tonic::transport::Server::builder().add_service(UsersServiceServer::new(users));
    tokio::spawn(server.serve_with_incoming(listener));
    connector
}

macro_rules! keys_only {
    ($($method:ident: $request:ident => $response:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl UsersService for PublishedKeys {
            async fn get_jwks(
                &self,
                _: Request<users_pb::GetJwksRequest>,
            ) -> Result<Response<users_pb::GetJwksResponse>, Status> {
                Ok(Response::new(users_pb::GetJwksResponse { keys: vec![self.0.clone()] }))
            }
            $(
                async fn $method(
                    &self,
                    _: Request<users_pb::$request>,
                ) -> Result<Response<users_pb::$response>, Status> {
                    Err(Status::unimplemented("the inventory never asks this"))
                }
            )*
        }
    };
}

keys_only! {
    register: RegisterRequest => Session,
    login: LoginRequest => Session,
    refresh: RefreshRequest => Session,
    logout: LogoutRequest => LogoutResponse,
    get_user: GetUserRequest => User,
    update_user: UpdateUserRequest => User,
    list_users: ListUsersRequest => ListUsersResponse,
    ban_user: BanUserRequest => User,
    unban_user: UnbanUserRequest => User,
    set_roles: SetRolesRequest => User,
    list_revocations: ListRevocationsRequest => ListRevocationsResponse,
    seed_account: SeedAccountRequest => SeedAccountResponse,
    count_seeded_accounts: CountSeededAccountsRequest => CountSeededAccountsResponse,
}
