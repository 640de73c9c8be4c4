//! Who is calling.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use contracts::ids::UserId;
use contracts::{Reason, Refusal};
use futures::future::LocalBoxFuture;
use service_kit::auth::{UserCaller, UserTokenVerifier};
use service_kit::grpc::client::on_behalf_of;
use service_kit::grpc::deadline;

use crate::live::Revocations;
use crate::problem::Problem;

/// The metadata of a refused token whose user is banned.
pub const BANNED: &str = "banned";

/// Decides whether an access token is good: signed by users, not expired, not revoked.
pub struct Access {
    verifier: Arc<UserTokenVerifier>,
    revocations: Arc<Revocations>,
}

impl Access {
    /// Verifies with these keys and this list.
    pub fn new(verifier: Arc<UserTokenVerifier>, revocations: Arc<Revocations>) -> Self {
        Self { verifier, revocations }
    }

    /// The user that the token stands for, and the token for calls on their behalf.
    ///
    /// # Errors
    /// `INVALID_TOKEN`; `UNAVAILABLE` while the keys or the revocations are not known: a token must not pass unchecked.
    pub async fn verify(&self, token: &str) -> Result<Caller, Refusal> {
        let user =
            tokio::time::timeout(deadline::remaining(), self.verifier.verify(token)).await.unwrap_or_else(|_| {
                Err(Refusal::new(Reason::Unavailable, "the keys of access tokens did not come in time"))
            })?;
        if !self.revocations.is_loaded() {
            return Err(Refusal::new(Reason::Unavailable, "the revoked tokens are not known yet"));
        }
        if self.is_revoked(&user) {
            return Err(self.refusal_of_revoked(&user));
        }
        Ok(Caller { user, token: token.into() })
    }

    /// Why a revoked token is refused. It says of a ban only that it is one, and only to who has a token of the banned user.
    fn refusal_of_revoked(&self, user: &UserCaller) -> Refusal {
        let refusal = Refusal::new(Reason::InvalidToken, "the access token was revoked");
        if self.revocations.is_banned(user.user_id) { refusal.with(BANNED, true) } else { refusal }
    }

    /// Whether the token of a user verified before has been revoked since.
    pub fn is_revoked(&self, user: &UserCaller) -> bool {
        self.revocations.cover(user)
    }
}

/// A signed-in user and their token.
#[derive(Clone)]
pub struct Caller {
    user: Arc<UserCaller>,
    token: Arc<str>,
}

impl Caller {
    /// Who, as the token says.
    pub fn user(&self) -> &Arc<UserCaller> {
        &self.user
    }

    /// Their id.
    pub fn id(&self) -> UserId {
        self.user.user_id
    }

    /// A call on behalf of this user: the service sees their token and judges by it.
    ///
    /// # Errors
    /// Never for a token that verified.
    pub fn request<T>(&self, message: T) -> Result<tonic::Request<T>, Refusal> {
        on_behalf_of(&self.token, message)
    }
}

/// The caller, and what else the handler wants of the request, read only once the caller is known: nobody learns from a
/// refused body what a route expects before they have said who they are.
pub struct Authenticated<E = ()>(pub Caller, pub E);

impl<E: FromRequest + 'static> FromRequest for Authenticated<E> {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let token = bearer_token(&request).map_err(Problem::from)?;
            let token = token.ok_or_else(|| Problem::of(Reason::AuthenticationRequired))?;
            let caller = access(&request).verify(token).await.map_err(Problem::from)?;
            let rest = E::from_request(&request, &mut payload).await.map_err(Into::into)?;
            Ok(Self(caller, rest))
        })
    }
}

/// What decides about tokens in this application.
///
/// # Panics
/// In an application built without it.
pub fn access(request: &HttpRequest) -> &web::Data<Access> {
    request.app_data::<web::Data<Access>>().expect("bootstrap gives every application its access check")
}

/// The token of the `Authorization` header (RFC 6750 §2.1); `None` without one.
///
/// # Errors
/// `INVALID_TOKEN` for another scheme, or for more than one header.
pub fn bearer_token(request: &HttpRequest) -> Result<Option<&str>, Refusal> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    let invalid = || Refusal::new(Reason::InvalidToken, "the Authorization header is not 'Bearer <token>'");
    if values.next().is_some() {
        return Err(invalid());
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(invalid()) }
}
