//! The service as `bootstrap::build` makes it, over an in-process gRPC connection, with a stub of users beside it and a
//! clock that the test moves.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contracts::grpc::payment as pb;
use contracts::grpc::payment::payment_service_client::PaymentServiceClient;
use contracts::grpc::users::users_service_server::{UsersService, UsersServiceServer};
use contracts::grpc::{types, users};
use contracts::ids::{SessionId, UserId, UuidV7Generator};
use contracts::timestamp::ManualClock;
use contracts::{Clock as _, IdGenerator as _, Role};
use messaging::EventBus;
use observability::Health;
use payment::domain::RetrySchedule;
use payment::settings::Settings;
use service_kit::Platform;
use service_kit::auth::{UserTokenSigner, generate_signing_key};
use service_kit::grpc::client::{GrpcChannel, Neighbour, channel, on_behalf_of};
use service_kit::grpc::local;
use service_kit::grpc::server::Listener;
use service_kit::host::Host;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::world::{TIMING, start_of_time};

/// How often the reconciler looks whether the test moved the clock. Nothing becomes due or settled by waiting.
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(crate) fn settings(folder: &Path) -> Settings {
    Settings {
        database_url: format!("sqlite://{}", folder.join("payment.db").display()),
        provider: "sandbox".to_owned(),
        sandbox_url: None,
        sandbox_timing: TIMING,
        retry_schedule: RetrySchedule { first: LOOK_EVERY, most: LOOK_EVERY, ..RetrySchedule::default() },
    }
}

pub(crate) struct Running {
    pub(crate) folder: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) payment: PaymentServiceClient<GrpcChannel>,
    pub(crate) anonymous: PaymentServiceClient<tonic::transport::Channel>,
    signer: Arc<UserTokenSigner>,
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "asked only where the store can be away"))]
    pub(crate) health: Health,
    host: Host,
    stop: CancellationToken,
}

/// A platform, and where its users service is to listen.
pub(crate) fn platform(clock: &ManualClock, stop: &CancellationToken) -> (Platform, local::LocalListener) {
    let (users, listener) = local::pair();
    let platform = Platform {
        clock: Arc::new(clock.clone()),
        ids: Arc::new(UuidV7Generator),
        service_secret: "a secret of the tests".to_owned().into(),
        neighbours: HashMap::from([("users", Neighbour::Local(users))]),
        stop: stop.clone(),
    };
    (platform, listener)
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_in(TempDir::new().unwrap(), ManualClock::starting_at(start_of_time())).await
    }

    async fn start_in(folder: TempDir, clock: ManualClock) -> Self {
        let settings = settings(folder.path());
        Self::start_with(folder, clock, settings).await
    }

    pub(crate) async fn start_with(folder: TempDir, clock: ManualClock, settings: Settings) -> Self {
        let broker = format!("sqlite://{}", folder.path().join("broker.db").display());
        let bus = messaging::connect(&broker, Arc::new(clock.clone())).await.unwrap();
        Self::start_on(bus, folder, clock, settings).await
    }

    /// Another replica, on the same bus and with the same time.
    #[cfg(feature = "postgres")]
    pub(crate) async fn start_beside(&self, settings: Settings) -> Self {
        Self::start_on(Arc::clone(&self.bus), TempDir::new().unwrap(), self.clock.clone(), settings).await
    }

    async fn start_on(bus: Arc<dyn EventBus>, folder: TempDir, clock: ManualClock, settings: Settings) -> Self {
        let signer = Arc::new(UserTokenSigner::new("k1".to_owned(), &generate_signing_key()).unwrap());
        let stop = CancellationToken::new();
        let (platform, users_listener) = platform(&clock, &stop);
        let routes = Routes::new(UsersServiceServer::new(KeysOnly(Arc::clone(&signer))));
        let users = tonic::transport::Server::builder().add_routes(routes);
        tokio::spawn(users.serve_with_incoming_shutdown(users_listener, stop.clone().cancelled_owned()));

        let service = payment::bootstrap::build(&settings, &platform, Arc::clone(&bus)).await.unwrap();
        let (connector, listener) = local::pair();
        let health = Health::default();
        let host = Host::new(stop.clone(), health.clone());
        host.start(service, Listener::Local(listener), "");
        let orders = platform.identity("orders");
        let payment = PaymentServiceClient::new(channel(&Neighbour::Local(connector.clone()), orders, "payment"));
        let endpoint = tonic::transport::Endpoint::from_static("http://in-process");
        let anonymous = PaymentServiceClient::new(endpoint.connect_with_connector_lazy(connector));
        Self { folder, clock, bus, payment, anonymous, signer, health, host, stop }
    }

    /// The process stops, and another begins on what it left: the folder. No time passes.
    pub(crate) async fn restart(self) -> Self {
        let Self { folder, clock, host, stop, .. } = self;
        stop.cancel();
        host.finish().await;
        Self::start_in(folder, clock).await
    }

    /// A request with the access token of a user who has these roles.
    pub(crate) fn as_user<T>(&self, user_id: UserId, roles: &[Role], message: T) -> Request<T> {
        let session = SessionId::from_uuid(UuidV7Generator.new_uuid());
        on_behalf_of(&self.signer.sign(user_id, session, roles, self.clock.now()), message).unwrap()
    }

    pub(crate) async fn charge(&self, request: pb::ChargeRequest) -> Result<pb::Payment, Status> {
        self.payment.clone().charge(request).await.map(Response::into_inner)
    }

    pub(crate) async fn refund(&self, request: pb::RefundRequest) -> Result<pb::Payment, Status> {
        self.payment.clone().refund(request).await.map(Response::into_inner)
    }

    pub(crate) async fn get(&self, order_id: &str) -> Result<pb::Payment, Status> {
        let request = pb::GetPaymentRequest { order_id: order_id.to_owned() };
        self.payment.clone().get_payment(request).await.map(Response::into_inner)
    }
}

pub(crate) fn usd(amount_minor: i64) -> types::Money {
    types::Money { amount_minor, currency: "USD".to_owned() }
}

pub(crate) fn charge_request(method: &str) -> pb::ChargeRequest {
    pb::ChargeRequest {
        order_id: UuidV7Generator.new_uuid().to_string(),
        user_id: UuidV7Generator.new_uuid().to_string(),
        amount: Some(usd(1999)),
        method: method.to_owned(),
    }
}

pub(crate) fn refund_request(order_id: &str, minor: i64) -> pb::RefundRequest {
    pb::RefundRequest {
        order_id: order_id.to_owned(),
        refund_id: UuidV7Generator.new_uuid().to_string(),
        amount: Some(usd(minor)),
        reason: "broken on arrival".to_owned(),
    }
}

/// A users service that publishes its keys and does nothing else.
struct KeysOnly(Arc<UserTokenSigner>);

macro_rules! keys_only {
    ($($call:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl UsersService for KeysOnly {
            async fn get_jwks(&self, _: Request<users::GetJwksRequest>) -> Result<Response<users::GetJwksResponse>, Status> {
                let key = self.0.verifying_key();
                let key = users::Jwk { kid: key.kid, public_key: key.public_key };
                Ok(Response::new(users::GetJwksResponse { keys: vec![key] }))
            }
            $(
                async fn $call(&self, _: Request<users::$request>) -> Result<Response<users::$response>, Status> {
                    Err(Status::unimplemented("this stub publishes keys and does nothing else"))
                }
            )*
        }
    };
}

keys_only! {
    register(RegisterRequest) -> Session;
    login(LoginRequest) -> Session;
    refresh(RefreshRequest) -> Session;
    logout(LogoutRequest) -> LogoutResponse;
    get_user(GetUserRequest) -> User;
    update_user(UpdateUserRequest) -> User;
    list_users(ListUsersRequest) -> ListUsersResponse;
    ban_user(BanUserRequest) -> User;
    unban_user(UnbanUserRequest) -> User;
    set_roles(SetRolesRequest) -> User;
    list_revocations(ListRevocationsRequest) -> ListRevocationsResponse;
    seed_account(SeedAccountRequest) -> SeedAccountResponse;
    count_seeded_accounts(CountSeededAccountsRequest) -> CountSeededAccountsResponse;
}
