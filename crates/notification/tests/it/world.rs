//! A running notification service with a stub of the users service beside it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::grpc::notification::chat_service_client::ChatServiceClient;
use contracts::grpc::notification::notification_service_client::NotificationServiceClient;
use contracts::grpc::notification::{InboxEntry, ListInboxRequest};
use contracts::grpc::users as proto;
use contracts::grpc::users::users_service_server::{UsersService, UsersServiceServer};
use contracts::ids::{SessionId, UserId, UuidV7Generator};
use contracts::timestamp::ManualClock;
use contracts::{Clock as _, Event, Reason, Refusal, Role};
use messaging::EventBus;
use notification::bootstrap::build;
use notification::settings::Settings;
use observability::Health;
use secrecy::SecretString;
use service_kit::auth::{
    Caller, KeysUnavailable, UserTokenSigner, VerificationKeys, VerifyingKey, generate_signing_key,
};
use service_kit::grpc::client::{GrpcChannel, Neighbour, on_behalf_of};
use service_kit::grpc::local;
use service_kit::grpc::server::Listener;
use service_kit::host::Host;
use service_kit::{Platform, Service};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::builders::START;

pub(crate) type Client = NotificationServiceClient<GrpcChannel>;

/// How long a condition may take to hold.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `probe` finds something.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// What the stub of the users service answers.
#[derive(Clone, Default)]
pub(crate) struct UsersStub {
    pub(crate) keys: Vec<VerifyingKey>,
    /// Users that `GetUser` knows: `None` answers that users is away.
    pub(crate) users: Arc<Mutex<HashMap<UserId, Option<proto::User>>>>,
    /// Who asked `GetUser`.
    pub(crate) callers: Arc<Mutex<Vec<String>>>,
}

pub(crate) struct World {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) clock: ManualClock,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) users: UsersStub,
    pub(crate) client: Client,
    chat: ChatServiceClient<GrpcChannel>,
    platform: Platform,
    host: Host,
    signer: UserTokenSigner,
}

impl Drop for World {
    fn drop(&mut self) {
        self.platform.stop.cancel();
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap())).await
    }

    pub(crate) async fn start_in(folder: Arc<TempDir>) -> Self {
        let mail = format!("file://{}", folder.path().join("mail").display());
        Self::start_with_mail(folder, &mail).await
    }

    /// Emails go to this address.
    pub(crate) async fn start_with_mail(folder: Arc<TempDir>, mail: &str) -> Self {
        let clock = ManualClock::starting_at(START);
        let signer = UserTokenSigner::new("key-1".to_owned(), &generate_signing_key()).unwrap();
        let users = UsersStub { keys: vec![signer.verifying_key()], ..UsersStub::default() };
        let broker = format!("sqlite://{}", folder.path().join("broker.db").display());
        let bus = messaging::connect(&broker, Arc::new(clock.clone())).await.unwrap();

        let (users_connector, users_listener) = local::pair();
        let (connector, listener) = local::pair();
        let platform = Platform {
            clock: Arc::new(clock.clone()),
            ids: Arc::new(UuidV7Generator),
            service_secret: SecretString::from("a secret of the tests".to_owned()),
            neighbours: HashMap::from([
                ("users", Neighbour::Local(users_connector)),
                ("notification", Neighbour::Local(connector)),
            ]),
            stop: CancellationToken::new(),
        };
        let host = Host::new(platform.stop.clone(), Health::default());
        host.start(users_service(&platform, users.clone()), Listener::Local(users_listener), "users.");
        let settings = Settings {
            database_url: format!("sqlite://{}", folder.path().join("notification.db").display()),
            email_url: Some(mail.parse().unwrap()),
            email_from: "Souk <no-reply@souk.test>".parse().unwrap(),
        };
        let service = build(&settings, &platform, Arc::clone(&bus)).await.unwrap();
        host.start(service, Listener::Local(listener), "notification.");
        let client = Client::new(platform.channel(&platform.identity("gateway"), "notification").unwrap());
        let chat = ChatServiceClient::new(platform.channel(&platform.identity("gateway"), "notification").unwrap());
        Self { folder, clock, bus, users, client, chat, platform, host, signer }
    }

    /// Ends the service and everything around it; [`Self::start_in`] starts them anew on the same files.
    pub(crate) async fn stop(self) -> Arc<TempDir> {
        self.platform.stop.cancel();
        self.host.finish().await;
        Arc::clone(&self.folder)
    }

    pub(crate) fn token_of(&self, user_id: UserId) -> String {
        self.signer.sign(user_id, SessionId::from_uuid(Uuid::nil()), &[Role::Customer], self.clock.now())
    }

    /// A request of a signed-in user.
    pub(crate) fn of<T>(&self, user_id: UserId, message: T) -> Request<T> {
        on_behalf_of(&self.token_of(user_id), message).unwrap()
    }

    /// A request of somebody of support.
    pub(crate) fn of_staff<T>(&self, user_id: UserId, message: T) -> Request<T> {
        let roles = [Role::Customer, Role::Support];
        let token = self.signer.sign(user_id, SessionId::from_uuid(Uuid::nil()), &roles, self.clock.now());
        on_behalf_of(&token, message).unwrap()
    }

    pub(crate) fn chat(&self) -> ChatServiceClient<GrpcChannel> {
        self.chat.clone()
    }

    pub(crate) async fn publish(&self, events: &[Event]) {
        self.bus.publish(events).await.unwrap();
    }

    /// The user's inbox once it has this many entries.
    pub(crate) async fn inbox_of(&self, user_id: UserId, count: usize) -> Vec<InboxEntry> {
        eventually(&format!("{count} inbox entries"), async || {
            let request = ListInboxRequest { user_id: user_id.to_string(), after_seq: 0, limit: 500 };
            let items = self.client.clone().list_inbox(request).await.unwrap().into_inner().items;
            (items.len() >= count).then_some(items)
        })
        .await
    }

    pub(crate) fn mail_folder(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// The emails written so far, by file name.
    pub(crate) fn emails(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.mail_folder()) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        paths.sort();
        paths.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    pub(crate) async fn emails_once(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} emails"), async || Some(self.emails()).filter(|emails| emails.len() >= count))
            .await
    }
}

fn users_service(platform: &Platform, stub: UsersStub) -> Service {
    let identity = platform.identity("users");
    let keys = Arc::new(NoKeys);
    Service {
        name: "users",
        routes: Routes::new(UsersServiceServer::new(stub)),
        authenticator: platform.authenticator(&identity, platform.user_tokens_with(keys)),
        tasks: Vec::new(),
        checks: Vec::new(),
    }
}

struct NoKeys;

#[async_trait]
impl VerificationKeys for NoKeys {
    async fn find(&self, _: &str) -> Result<Option<VerifyingKey>, KeysUnavailable> {
        Ok(None)
    }
}

macro_rules! not_stubbed {
    ($($method:ident: $request:ident -> $response:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl UsersService for UsersStub {
            async fn get_user(&self, request: Request<proto::GetUserRequest>) -> Result<Response<proto::User>, Status> {
                self.answer_get_user(request)
            }
            async fn get_jwks(
                &self,
                _: Request<proto::GetJwksRequest>,
            ) -> Result<Response<proto::GetJwksResponse>, Status> {
                let keys = self.keys.iter().cloned();
                let keys = keys.map(|key| proto::Jwk { kid: key.kid, public_key: key.public_key }).collect();
                Ok(Response::new(proto::GetJwksResponse { keys }))
            }
            $(async fn $method(&self, _: Request<proto::$request>) -> Result<Response<proto::$response>, Status> {
                Err(Status::unimplemented("not needed by these tests"))
            })*
        }
    };
}

not_stubbed! {
    register: RegisterRequest -> Session,
    login: LoginRequest -> Session,
    refresh: RefreshRequest -> Session,
    logout: LogoutRequest -> LogoutResponse,
    update_user: UpdateUserRequest -> User,
    list_users: ListUsersRequest -> ListUsersResponse,
    ban_user: BanUserRequest -> User,
    unban_user: UnbanUserRequest -> User,
    set_roles: SetRolesRequest -> User,
    list_revocations: ListRevocationsRequest -> ListRevocationsResponse,
    seed_account: SeedAccountRequest -> SeedAccountResponse,
    count_seeded_accounts: CountSeededAccountsRequest -> CountSeededAccountsResponse,
}

impl UsersStub {
    fn answer_get_user(&self, request: Request<proto::GetUserRequest>) -> Result<Response<proto::User>, Status> {
        let caller = Caller::of(&request);
        self.callers.lock().unwrap().push(caller.service()?.to_owned());
        let user_id: UserId = request.into_inner().user_id.parse().unwrap();
        match self.users.lock().unwrap().get(&user_id) {
            Some(Some(user)) => Ok(Response::new(user.clone())),
            Some(None) => Err(Refusal::new(Reason::Unavailable, "away").into()),
            None => Err(Refusal::new(Reason::UserNotFound, "no such user").into()),
        }
    }

    /// A version of the account, by which `GetUser` answers from now on.
    pub(crate) fn knows(&self, user_id: UserId, email: &str, name: &str, version: u64) {
        let user = proto::User {
            id: user_id.to_string(),
            email: email.to_owned(),
            name: name.to_owned(),
            roles: vec!["customer".to_owned()],
            ban_reason: None,
            created_at_unix_ms: 0,
            version,
        };
        self.users.lock().unwrap().insert(user_id, Some(user));
    }

    pub(crate) fn is_away_for(&self, user_id: UserId) {
        self.users.lock().unwrap().insert(user_id, None);
    }
}
