//! `souk.users.v1.UsersService`.

pub mod convert;
pub mod cursor;
pub mod error;

use std::sync::LazyLock;

use contracts::grpc::users as proto;
use contracts::grpc::users::users_service_server::UsersService;
use contracts::ids::UserId;
use contracts::{Reason, Refusal, Role};
use prometheus::IntCounterVec;
use service_kit::auth::Caller;
use tonic::{Request, Response, Status};

use crate::application::UsersError;
use crate::application::ban_user::BanUser;
use crate::application::log_in::LogIn;
use crate::application::log_out::LogOut;
use crate::application::queries::Queries;
use crate::application::refresh_session::RefreshSession;
use crate::application::register::Register;
use crate::application::seed_account::SeedAccount;
use crate::application::set_roles::SetRoles;
use crate::application::unban_user::UnbanUser;
use crate::application::update_user::UpdateUser;

/// Log-ins by outcome: a rise of the refused ones is somebody guessing.
static LOGINS: LazyLock<IntCounterVec> =
    LazyLock::new(|| observability::metrics::counter("users_logins_total", "Log-ins by outcome.", &["outcome"]));

/// The one service that may make accounts with published passwords.
const SEEDER: &str = "souk";

/// The use cases behind the calls.
pub struct UsersGrpc {
    /// `Register`.
    pub register: Register,
    /// `Login`.
    pub log_in: LogIn,
    /// `Refresh`.
    pub refresh: RefreshSession,
    /// `Logout`.
    pub log_out: LogOut,
    /// `UpdateUser`.
    pub update: UpdateUser,
    /// `BanUser`.
    pub ban: BanUser,
    /// `UnbanUser`.
    pub unban: UnbanUser,
    /// `SetRoles`.
    pub set_roles: SetRoles,
    /// `SeedAccount`.
    pub seed: SeedAccount,
    /// Everything that only reads.
    pub queries: Queries,
}

type Answer<T> = Result<Response<T>, Status>;

/// The admin who calls.
fn admin<T>(request: &Request<T>) -> Result<UserId, Refusal> {
    Caller::of(request).user_with(&[Role::Admin]).map(|user| user.user_id)
}

fn count_login<T>(outcome: &Result<T, UsersError>) {
    let label = match outcome {
        Ok(_) => "ok",
        Err(UsersError::InvalidCredentials) => "wrong",
        Err(UsersError::AccountBanned { .. }) => "banned",
        Err(UsersError::TooManyAttempts { .. }) => "throttled",
        Err(_) => "failed",
    };
    LOGINS.with_label_values(&[label]).inc();
}

#[tonic::async_trait]
impl UsersService for UsersGrpc {
    async fn register(&self, request: Request<proto::RegisterRequest>) -> Answer<proto::Session> {
        let request = request.into_inner();
        let (email, password, name) = convert::registration(&request.email, request.password, &request.name)?;
        let issued = self.register.execute(email, password, name).await.map_err(error::status)?;
        Ok(Response::new(convert::session(issued)))
    }

    async fn login(&self, request: Request<proto::LoginRequest>) -> Answer<proto::Session> {
        let (email, password) = convert::credentials(request.into_inner())?;
        let outcome = self.log_in.execute(email, password).await;
        count_login(&outcome);
        Ok(Response::new(convert::session(outcome.map_err(error::status)?)))
    }

    async fn refresh(&self, request: Request<proto::RefreshRequest>) -> Answer<proto::Session> {
        let token = convert::refresh_token(request.into_inner().refresh_token)?;
        let issued = self.refresh.execute(token).await.map_err(error::status)?;
        Ok(Response::new(convert::session(issued)))
    }

    async fn logout(&self, request: Request<proto::LogoutRequest>) -> Answer<proto::LogoutResponse> {
        let token = convert::refresh_token(request.into_inner().refresh_token)?;
        self.log_out.execute(token).await.map_err(error::status)?;
        Ok(Response::new(proto::LogoutResponse {}))
    }

    async fn get_user(&self, request: Request<proto::GetUserRequest>) -> Answer<proto::User> {
        let caller = Caller::of(&request);
        if matches!(caller, Caller::Anonymous) {
            caller.user()?;
        }
        let id = convert::user_id(&request.get_ref().user_id)?;
        if !caller.may_see(id) {
            return Err(error::status(UsersError::UserNotFound));
        }
        let user = self.queries.get_user(id).await.map_err(error::status)?;
        Ok(Response::new(convert::user(&user)))
    }

    async fn update_user(&self, request: Request<proto::UpdateUserRequest>) -> Answer<proto::User> {
        let caller = Caller::of(&request);
        let acting = caller.user()?.user_id;
        let request = request.into_inner();
        let id = convert::user_id(&request.user_id)?;
        if acting != id {
            // Who may see the user is told that this is not allowed; to others there is no such user.
            return Err(if caller.may_see(id) {
                Refusal::new(Reason::NotAllowed, Reason::NotAllowed.title()).into()
            } else {
                error::status(UsersError::UserNotFound)
            });
        }
        let user = match request.name {
            Some(name) => self.update.execute(id, convert::name(&name)?).await,
            None => self.queries.get_user(id).await,
        };
        Ok(Response::new(convert::user(&user.map_err(error::status)?)))
    }

    async fn list_users(&self, request: Request<proto::ListUsersRequest>) -> Answer<proto::ListUsersResponse> {
        admin(&request)?;
        let query = convert::user_query(request.get_ref())?;
        let page = self.queries.list_users(query).await.map_err(error::status)?;
        Ok(Response::new(convert::user_page(&page)))
    }

    async fn ban_user(&self, request: Request<proto::BanUserRequest>) -> Answer<proto::User> {
        let acting = admin(&request)?;
        let request = request.get_ref();
        let (id, reason) = (convert::user_id(&request.user_id)?, convert::ban_reason(&request.reason)?);
        let user = self.ban.execute(acting, id, reason).await.map_err(error::status)?;
        Ok(Response::new(convert::user(&user)))
    }

    async fn unban_user(&self, request: Request<proto::UnbanUserRequest>) -> Answer<proto::User> {
        let acting = admin(&request)?;
        let id = convert::user_id(&request.get_ref().user_id)?;
        let user = self.unban.execute(acting, id).await.map_err(error::status)?;
        Ok(Response::new(convert::user(&user)))
    }

    async fn set_roles(&self, request: Request<proto::SetRolesRequest>) -> Answer<proto::User> {
        let acting = admin(&request)?;
        let request = request.get_ref();
        let (id, roles) = (convert::user_id(&request.user_id)?, convert::roles(&request.roles)?);
        let user = self.set_roles.execute(acting, id, roles).await.map_err(error::status)?;
        Ok(Response::new(convert::user(&user)))
    }

    async fn get_jwks(&self, _: Request<proto::GetJwksRequest>) -> Answer<proto::GetJwksResponse> {
        let keys = self.queries.published_keys().into_iter().map(convert::jwk).collect();
        Ok(Response::new(proto::GetJwksResponse { keys }))
    }

    async fn list_revocations(
        &self,
        request: Request<proto::ListRevocationsRequest>,
    ) -> Answer<proto::ListRevocationsResponse> {
        Caller::of(&request).service()?;
        let revocations = self.queries.list_revocations().await.map_err(error::status)?;
        let items = revocations.iter().map(convert::revocation).collect();
        Ok(Response::new(proto::ListRevocationsResponse { items }))
    }

    async fn seed_account(&self, request: Request<proto::SeedAccountRequest>) -> Answer<proto::SeedAccountResponse> {
        if Caller::of(&request).service()? != SEEDER {
            return Err(Refusal::new(Reason::NotAllowed, Reason::NotAllowed.title()).into());
        }
        let request = request.into_inner();
        let (email, password, name) = convert::registration(&request.email, request.password, &request.name)?;
        let roles = convert::roles(&request.roles)?;
        let (user, created) = self.seed.execute(email, password, name, roles).await.map_err(error::status)?;
        Ok(Response::new(proto::SeedAccountResponse { user: Some(convert::user(&user)), created }))
    }

    async fn count_seeded_accounts(
        &self,
        request: Request<proto::CountSeededAccountsRequest>,
    ) -> Answer<proto::CountSeededAccountsResponse> {
        Caller::of(&request).service()?;
        let count = self.queries.count_seeded().await.map_err(error::status)?;
        Ok(Response::new(proto::CountSeededAccountsResponse { count }))
    }
}
