//! The endpoint: handshakes, polling requests and upgrades.
//!
//! Source: Engine.IO protocol v4, "handshake" and "transports"; the codes of refusals are the original's.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use bytestring::ByteString;
use futures::StreamExt as _;
use serde_json::json;

use super::{
    Handshake, Transport,
    conn::{Conn, Heartbeat, NoPoll, Polled},
    frame,
    polling::{Poller, Poster},
    query,
    websocket::{PAUSE, WebSocket},
};
use crate::{adapter::Clock as _, hub::Hub, id::Id, reason::DisconnectReason};

/// How long a request that polls in the middle of an upgrade waits for its end. The original lets it wait up to 100 ms.
const WORD_TO_SWITCH: Duration = Duration::from_millis(20);

/// When a client that is refused since the server stops may ask again: others serve it, if there are any.
const RETRY_AFTER_S: &str = "1";

/// Why a request is refused: `{"code":…,"message":…}`.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    code: u8,
    message: String,
}

impl Refused {
    fn bad(code: u8, message: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.to_owned() }
    }

    fn unknown_transport() -> Self {
        Self::bad(0, "Transport unknown")
    }

    fn unknown_session() -> Self {
        Self::bad(1, "Session ID unknown")
    }

    fn bad_method() -> Self {
        Self::bad(2, "Bad handshake method")
    }

    fn bad_request() -> Self {
        Self::bad(3, "Bad request")
    }

    fn unsupported_version() -> Self {
        Self::bad(5, "Unsupported protocol version")
    }

    /// Another server takes the client, or this one when it is back.
    fn stopping(hub: &Hub) -> Self {
        hub.stats.refused_while_stopping.one();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: 4, message: "Server shutting down".to_owned() }
    }

    /// Whose session this server does not know. While it stops, a balancer that sends the requests of a session by the address of the
    /// client sends it those of sessions that begin at another server meanwhile: 503 has it ask that one.
    fn stranger(hub: &Hub) -> Self {
        if hub.is_stopping() { Self::stopping(hub) } else { Self::unknown_session() }
    }

    fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_S));
        }
        response.json(json!({ "code": self.code, "message": self.message }))
    }
}

/// An `allow_request` hook's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// Told to the client, as the `message` of a 403.
    pub message: String,
}

impl Forbidden {
    /// A refusal with this message for the client.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

struct Query {
    transport: Option<Transport>,
    version: Option<u8>,
    sid: Option<String>,
}

impl Query {
    fn of(request: &HttpRequest) -> Self {
        let mut parsed = Self { transport: None, version: None, sid: None };
        for (key, value) in query::pairs(request.query_string()) {
            match key.as_str() {
                "transport" => {
                    parsed.transport = match value.as_str() {
                        "polling" => Some(Transport::Polling),
                        "websocket" => Some(Transport::WebSocket),
                        _ => None,
                    }
                }
                "EIO" => parsed.version = value.parse().ok(),
                "sid" => parsed.sid = Some(value),
                _ => {}
            }
        }
        parsed
    }
}

/// Answers any request to the endpoint.
pub(crate) async fn serve(hub: Arc<Hub>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    if request.method() == Method::OPTIONS
        && let Some(cors) = &hub.config.cors
    {
        let mut response = HttpResponse::NoContent().finish();
        cors.preflight(&request, response.headers_mut());
        return response;
    }
    let cors = hub.config.cors.as_ref().map(|cors| {
        let mut headers = header::HeaderMap::new();
        cors.apply(&request, &mut headers);
        headers
    });
    let mut response = match route(&hub, request, payload).await {
        Ok(response) => response,
        Err(refused) => {
            hub.stats.refused_bad_requests.add(u64::from(refused.status == StatusCode::BAD_REQUEST));
            refused.into_response()
        }
    };
    for (name, value) in cors.iter().flatten() {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response
}

async fn route(hub: &Arc<Hub>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Refused> {
    let asked = Query::of(&request);
    let transport =
        asked.transport.filter(|transport| hub.config.serves(*transport)).ok_or_else(Refused::unknown_transport)?;
    match asked.sid {
        None => {
            if request.method() != Method::GET {
                return Err(Refused::bad_method());
            }
            if asked.version != Some(4) {
                return Err(Refused::unsupported_version());
            }
            handshake(hub, request, payload, transport).await
        }
        Some(sid) => {
            let conn = sid.parse::<Id>().ok().and_then(|id| hub.find(id)).ok_or_else(|| Refused::stranger(hub))?;
            if request.method() == Method::OPTIONS {
                return Err(Refused::bad_method());
            }
            match transport {
                Transport::WebSocket => upgrade(&conn, &request, payload),
                Transport::Polling if conn.transport() != Transport::Polling => Err(Refused::bad_request()),
                Transport::Polling if request.method() == Method::GET => poll(&conn).await,
                Transport::Polling if request.method() == Method::POST => post(&conn, &request, payload).await,
                Transport::Polling => Err(Refused::bad_request()),
            }
        }
    }
}

async fn handshake(
    hub: &Arc<Hub>,
    request: HttpRequest,
    payload: web::Payload,
    transport: Transport,
) -> Result<HttpResponse, Refused> {
    if transport == Transport::WebSocket && actix_http::ws::verify_handshake(request.head()).is_err() {
        return Err(Refused::bad_request());
    }
    if hub.is_stopping() {
        return Err(Refused::stopping(hub));
    }
    if Handshake::size_bytes(&request) > hub.config.limits.head_bytes {
        hub.stats.refused_large_heads.one();
        let (status, message) = (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request head too large".to_owned());
        return Err(Refused { status, code: 3, message });
    }
    if let Some(allow) = &hub.config.allow_request
        && let Err(forbidden) = allow(request.clone()).await
    {
        hub.stats.refused_by_hook.one();
        return Err(Refused { status: StatusCode::FORBIDDEN, code: 4, message: forbidden.message });
    }
    // The hook may have taken its time.
    if hub.is_stopping() {
        return Err(Refused::stopping(hub));
    }
    let ip = hub.config.client_ip(&request);
    if !hub.admit(ip) {
        hub.stats.refused_connections_per_ip.one();
        let message = "Too many connections".to_owned();
        return Err(Refused { status: StatusCode::TOO_MANY_REQUESTS, code: 4, message });
    }
    let handshake = Handshake::of(&request, hub.clock.unix_ms());
    let worker = hub.worker();
    let conn = Conn::new(hub.clone(), transport, worker.index(), handshake, ip);
    hub.remember(&conn);
    let open = open_packet(hub, &conn, transport);
    let response = match transport {
        Transport::Polling => text(open),
        Transport::WebSocket => {
            conn.push(frame::text(b'0', &open[1..]), false);
            switch_protocols(&request, WebSocket::open(conn.clone(), payload.into_inner()))?
        }
    };
    worker.watch(&conn);
    if hub.is_stopping() {
        // It came while the others were closed.
        conn.close(DisconnectReason::ServerShuttingDown);
    }
    Ok(response)
}

fn open_packet(hub: &Hub, conn: &Conn, transport: Transport) -> String {
    let upgrades: &[&str] = match transport {
        Transport::Polling if hub.config.serves(Transport::WebSocket) => &["websocket"],
        _ => &[],
    };
    let open = json!({
        "sid": conn.id.as_str(),
        "upgrades": upgrades,
        "pingInterval": hub.config.ping_interval.as_millis() as u64,
        "pingTimeout": hub.config.ping_timeout.as_millis() as u64,
        "maxPayload": hub.config.max_payload,
    });
    format!("0{open}")
}

fn text(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=UTF-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body)
}

fn upgrade(conn: &Arc<Conn>, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Refused> {
    if actix_http::ws::verify_handshake(request.head()).is_err() {
        return Err(Refused::bad_request());
    }
    let socket = if conn.begin_upgrade() {
        WebSocket::probing(conn.clone(), payload.into_inner())
    } else {
        // Not refused: the protocol's test suite expects a WebSocket that is closed, as the original has it.
        WebSocket::spare(conn.clone(), payload.into_inner())
    };
    switch_protocols(request, socket)
}

/// The answer to a WebSocket handshake that has been verified.
fn switch_protocols(request: &HttpRequest, socket: WebSocket) -> Result<HttpResponse, Refused> {
    let response =
        actix_http::ws::handshake_response(request.head()).message_body(socket).map_err(|_| Refused::bad_request())?;
    Ok(response.map_into_boxed_body().into())
}

async fn poll(conn: &Arc<Conn>) -> Result<HttpResponse, Refused> {
    // Timers run late; the time to answer a ping does not.
    if matches!(conn.heartbeat(Instant::now()), Heartbeat::Expired) {
        conn.close(DisconnectReason::PingTimeout);
        return Err(Refused::unknown_session());
    }
    if conn.is_upgrading() {
        // The client may have probed and said that it has switched, both still on their way: what two connections bring at
        // the same time is taken in either order, and a session that has moved has to refuse the request.
        tokio::time::sleep(WORD_TO_SWITCH).await;
        if conn.transport() != Transport::Polling {
            return Err(Refused::bad_request());
        }
    }
    let poller = Poller::begin(conn).map_err(|why| {
        // A client that polls twice at once has lost count.
        if why == NoPoll::Twice {
            conn.close(DisconnectReason::TransportError);
        }
        Refused::bad_request()
    })?;
    Ok(match poller.await {
        Polled::Payload(payload) => text(payload),
        Polled::Closed => {
            conn.hub.polled(conn);
            text("1".to_owned())
        }
    })
}

async fn post(conn: &Arc<Conn>, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Refused> {
    let Some(poster) = Poster::begin(conn) else {
        conn.close(DisconnectReason::TransportError);
        return Err(Refused::bad_request());
    };
    // The protocol's third version sent binary bodies; in this one, attachments are base64.
    if request.content_type() == "application/octet-stream" {
        conn.close(DisconnectReason::TransportError);
        return Err(Refused::bad_request());
    }
    let max = conn.hub.config.max_payload;
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > max) {
        return Err(oversized(conn));
    }
    let mut body = web::BytesMut::new();
    let mut chunks = payload;
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            conn.close(DisconnectReason::TransportError);
            return Err(Refused::bad_request());
        };
        if body.len() + chunk.len() > max {
            return Err(oversized(conn));
        }
        body.extend_from_slice(&chunk);
    }
    while conn.hub.is_behind() {
        conn.hub.stats.reading_paused.one();
        tokio::time::sleep(PAUSE).await;
    }
    if conn.is_closed() {
        return Err(Refused::unknown_session());
    }
    let taken = match ByteString::try_from(body.freeze()) {
        Ok(body) => poster.take(body),
        Err(_) => Err(DisconnectReason::ParseError),
    };
    if let Err(reason) = taken {
        conn.close(reason);
        return Err(Refused::bad_request());
    }
    Ok(HttpResponse::Ok().content_type("text/html").insert_header((header::CACHE_CONTROL, "no-store")).body("ok"))
}

fn oversized(conn: &Arc<Conn>) -> Refused {
    conn.hub.stats.oversized_payloads.one();
    conn.close(DisconnectReason::TransportError);
    Refused { status: StatusCode::PAYLOAD_TOO_LARGE, code: 3, message: "Payload too large".to_owned() }
}
