//! Who is calling.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use contracts::ids::UserId;
use contracts::{Reason, Refusal};
use futures::future::LocalBoxFuture;
use service_kit::auth::{UserCaller, UserTokenVerifier};
use service_kit::grpc::client::on_behalf_of;
use service_kit::grpc::deadline;

use super::credentials::{self, CookieOrigins, Credentials};
use crate::live::Revocations;
use crate::problem::Problem;

/// The metadata of a refused token whose user is banned.
pub const BANNED: &str = "banned";

/// How long a request waits for the list of revoked tokens: a gateway that has just started has it in a moment.
const LIST_WITHIN: Duration = Duration::from_millis(500);

/// Decides whether an access token is good: signed by users, not expired, not revoked.
pub struct Access {
    verifier: Arc<UserTokenVerifier>,
    revocations: Arc<Revocations>,
    cookies: CookieOrigins,
}

impl Access {
    /// Verifies with these keys and this list; `cookies` are the origins whose pages may come with a cookie.
    pub fn new(verifier: Arc<UserTokenVerifier>, revocations: Arc<Revocations>, cookies: CookieOrigins) -> Self {
        Self { verifier, revocations, cookies }
    }

    /// The token that a request came with; see [`CookieOrigins::credentials`].
    ///
    /// # Errors
    /// `INVALID_TOKEN` for an `Authorization` header that is not understood.
    pub fn credentials<'a>(
        &self,
        headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        query: Option<&'a str>,
    ) -> Result<Option<Credentials<'a>>, Refusal> {
        self.cookies.credentials(headers, query)
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
        let at_most = deadline::remaining().min(LIST_WITHIN);
        if !self.revocations.is_loaded() && tokio::time::timeout(at_most, self.revocations.loaded()).await.is_err() {
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
            let caller = caller(&request, None).await.map_err(Problem::from)?;
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

/// Who sent the request. `query` is the token of its query, on the routes where that may carry one.
///
/// # Errors
/// `AUTHENTICATION_REQUIRED` without a token; what [`Access::verify`] refuses.
pub async fn caller(request: &HttpRequest, query: Option<&str>) -> Result<Caller, Refusal> {
    let access = access(request);
    let found = access.credentials(text_headers(request), query)?;
    let missing = || Refusal::new(Reason::AuthenticationRequired, Reason::AuthenticationRequired.title());
    access.verify(&found.ok_or_else(missing)?.token).await
}

/// The headers that may tell who sent the request; what is no text is a character that nothing here takes for anything.
pub fn text_headers(request: &HttpRequest) -> impl Iterator<Item = (&str, &str)> + Clone {
    let headers = request.headers();
    credentials::HEADERS
        .into_iter()
        .flat_map(move |name| headers.get_all(name).map(move |value| (name, value.to_str().unwrap_or("\u{fffd}"))))
}
