//! Stand-in for users.

use std::sync::{Arc, Mutex};

use contracts::grpc::users::users_service_server::UsersService;
use contracts::grpc::users::*;
use service_kit::auth::VerifyingKey;
use tonic::{Request, Response, Status};

use super::Script;

pub(crate) const ID: &str = "0190a1b2-0000-7000-8000-000000000001";

#[derive(Clone)]
pub(crate) struct Users {
    pub(crate) script: Script,
    pub(crate) key: VerifyingKey,
    pub(crate) revocations: Arc<Mutex<Vec<Revocation>>>,
}

pub(crate) fn user(id: &str) -> User {
    User {
        id: id.to_owned(),
        email: "ada@souk.test".to_owned(),
        name: "Ada".to_owned(),
        roles: vec!["customer".to_owned()],
        ban_reason: None,
        created_at_unix_ms: 0,
        version: 1,
    }
}

fn session() -> Session {
    Session {
        user: Some(user(ID)),
        access_token: "access".to_owned(),
        refresh_token: "refresh".to_owned(),
        expires_in_seconds: 900,
    }
}

macro_rules! answer {
    ($self:ident, $name:literal, $request:ident, $answer:expr) => {{
        $self.script.enter($name, &$request).await?;
        Ok(Response::new($answer))
    }};
}

#[tonic::async_trait]
impl UsersService for Users {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Session>, Status> {
        answer!(self, "Register", request, session())
    }
    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<Session>, Status> {
        answer!(self, "Login", request, session())
    }
    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<Session>, Status> {
        answer!(self, "Refresh", request, session())
    }
    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        answer!(self, "Logout", request, LogoutResponse {})
    }
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        answer!(self, "GetUser", request, user(&request.get_ref().user_id))
    }
    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Result<Response<User>, Status> {
        answer!(self, "UpdateUser", request, user(&request.get_ref().user_id))
    }
    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        let page = ListUsersResponse { items: vec![user(ID)], next_cursor: "next".to_owned() };
        answer!(self, "ListUsers", request, page)
    }
    async fn ban_user(&self, request: Request<BanUserRequest>) -> Result<Response<User>, Status> {
        let banned = User { ban_reason: Some(request.get_ref().reason.clone()), ..user(&request.get_ref().user_id) };
        answer!(self, "BanUser", request, banned)
    }
    async fn unban_user(&self, request: Request<UnbanUserRequest>) -> Result<Response<User>, Status> {
        answer!(self, "UnbanUser", request, user(&request.get_ref().user_id))
    }
    async fn set_roles(&self, request: Request<SetRolesRequest>) -> Result<Response<User>, Status> {
        let changed = User { roles: request.get_ref().roles.clone(), ..user(&request.get_ref().user_id) };
        answer!(self, "SetRoles", request, changed)
    }
    async fn get_jwks(&self, request: Request<GetJwksRequest>) -> Result<Response<GetJwksResponse>, Status> {
        let key = Jwk { kid: self.key.kid.clone(), public_key: self.key.public_key.clone() };
        answer!(self, "GetJwks", request, GetJwksResponse { keys: vec![key] })
    }
    async fn list_revocations(
        &self,
        request: Request<ListRevocationsRequest>,
    ) -> Result<Response<ListRevocationsResponse>, Status> {
        let items = self.revocations.lock().unwrap().clone();
        answer!(self, "ListRevocations", request, ListRevocationsResponse { items })
    }
    async fn seed_account(&self, _: Request<SeedAccountRequest>) -> Result<Response<SeedAccountResponse>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
    async fn count_seeded_accounts(
        &self,
        _: Request<CountSeededAccountsRequest>,
    ) -> Result<Response<CountSeededAccountsResponse>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
}
