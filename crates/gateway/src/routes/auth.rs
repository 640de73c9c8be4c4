//! Signing up, in and out.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use contracts::grpc::users;

use crate::clients::{Clients, call};
use crate::extract::JsonBody;
use crate::extract::session_cookie::SessionCookie;
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::auth::{Jwks, Login, Refresh, RefreshToken, Register, Session};

/// Make an account and sign in.
#[utoipa::path(post, path = "/api/auth/register", tag = "auth", operation_id = "register", request_body = Register,
    responses(
        (status = 201, description = "The account and its first session", body = Session),
        (status = 409, description = "EMAIL_TAKEN", body = ProblemDocument),
    ))]
pub async fn register(
    clients: web::Data<Clients>,
    cookies: web::Data<SessionCookie>,
    http: HttpRequest,
    JsonBody(body): JsonBody<Register>,
) -> Result<HttpResponse, Problem> {
    let Register { email, password, name, cookie } = body;
    let request = users::RegisterRequest { email, password, name };
    let session = Session::with_user(call("users.Register", clients.users().register(request)).await?)?;
    answer(HttpResponse::Created(), &session, cookie.then_some((&http, **cookies)))
}

/// Sign in.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", operation_id = "login", request_body = Login,
    responses(
        (status = 200, description = "The session", body = Session),
        (status = 401, description = "INVALID_CREDENTIALS", body = ProblemDocument),
        (status = 403, description = "ACCOUNT_BANNED", body = ProblemDocument),
        (status = 429, description = "TOO_MANY_ATTEMPTS", body = ProblemDocument),
    ))]
pub async fn login(
    clients: web::Data<Clients>,
    cookies: web::Data<SessionCookie>,
    http: HttpRequest,
    JsonBody(body): JsonBody<Login>,
) -> Result<HttpResponse, Problem> {
    let request = users::LoginRequest { email: body.email, password: body.password };
    let session = Session::with_user(call("users.Login", clients.users().login(request)).await?)?;
    answer(HttpResponse::Ok(), &session, body.cookie.then_some((&http, **cookies)))
}

/// Get the next pair of tokens. A refresh token works once; using it twice ends its session.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", operation_id = "refresh", request_body = Refresh,
    responses(
        (status = 200, description = "The next tokens, without `user`", body = Session),
        (status = 401, description = "INVALID_REFRESH_TOKEN", body = ProblemDocument),
    ))]
pub async fn refresh(
    clients: web::Data<Clients>,
    cookies: web::Data<SessionCookie>,
    http: HttpRequest,
    JsonBody(body): JsonBody<Refresh>,
) -> Result<HttpResponse, Problem> {
    let request = users::RefreshRequest { refresh_token: body.refresh_token };
    let session = Session::without_user(call("users.Refresh", clients.users().refresh(request)).await?);
    answer(HttpResponse::Ok(), &session, body.cookie.then_some((&http, **cookies)))
}

/// Sign out: the session ends, its access tokens included. A browser that sent the cookie is told to forget it.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", operation_id = "logout", request_body = RefreshToken,
    responses((status = 204, description = "Signed out, also if it was so already")))]
pub async fn logout(
    clients: web::Data<Clients>,
    cookies: web::Data<SessionCookie>,
    http: HttpRequest,
    JsonBody(body): JsonBody<RefreshToken>,
) -> Result<HttpResponse, Problem> {
    let request = users::LogoutRequest { refresh_token: body.refresh_token };
    call("users.Logout", clients.users().logout(request)).await?;
    let mut response = HttpResponse::NoContent();
    if let Some(forgotten) = cookies.clear(&http) {
        response.insert_header((header::SET_COOKIE, forgotten));
    }
    Ok(response.finish())
}

/// The session, and the cookie for who asked for it.
fn answer(
    mut response: HttpResponseBuilder,
    session: &Session,
    cookie: Option<(&HttpRequest, SessionCookie)>,
) -> Result<HttpResponse, Problem> {
    if let Some((request, cookie)) = cookie {
        let line = cookie.set(request, &session.access_token, session.expires_in)?;
        response.insert_header((header::SET_COOKIE, line));
    }
    Ok(response.json(session))
}

/// The public keys of access tokens.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", operation_id = "jwks",
    responses((status = 200, description = "A JWK set (RFC 7517)", body = Jwks)))]
pub async fn jwks(clients: web::Data<Clients>) -> Result<HttpResponse, Problem> {
    let keys = call("users.GetJwks", clients.users().get_jwks(users::GetJwksRequest {})).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "public, max-age=300"));
    Ok(response.json(Jwks::from(keys)))
}
