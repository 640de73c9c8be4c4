//! What every request passes through. [`pipeline`] lists it, and nothing else is wrapped around a route but
//! [`panic_guard`], which `routes::endpoint` puts around every one: a panic must leave a request to answer.

pub mod compression;
pub mod cors;
pub mod forwarded;
pub mod instance;
pub mod panic_guard;
pub mod plain_errors;
pub mod request_deadline;
pub mod security_headers;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, Error};
use observability::actix::{AccessLog, HttpMetrics, request};

use crate::settings::Settings;

/// An application with the whole pipeline and no routes.
pub fn pipeline(
    settings: &Settings,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    // actix runs the last one wrapped first: read from the bottom up.
    App::new()
        // 11. panic guard, around each route: a panic becomes a 500 problem.
        // 10. authentication: the extractor `Authenticated`, where a route wants it.
        //  9. the time that the request has, inherited by every call made for it.
        .wrap(from_fn(request_deadline::keep(settings.request_timeout)))
        //  8. gzip for who asks for it, after 7. made the question one that can be answered.
        .wrap(Compress::default())
        .wrap(from_fn(compression::negotiate))
        //  6. the allow-list of origins.
        .wrap(cors::allow_list(&settings.cors_origins))
        //  5. security headers, also on errors.
        .wrap(from_fn(security_headers::add))
        //  4. errors that a library answered become problems, too.
        .wrap(from_fn(plain_errors::render))
        //  3. metrics.
        .wrap(HttpMetrics)
        //  2. access log, written when the body has ended.
        .wrap(AccessLog::new(settings.access_log.clone(), settings.access_log_skip.clone()))
        //     problems know the path they are about.
        .wrap(from_fn(instance::know))
        //  1. request id and trace: first, so that everything after can name them.
        .wrap(from_fn(request::follow("gateway")))
        //  0. who the client is, where a trusted proxy says so.
        .wrap(from_fn(forwarded::believe(settings.trusted_proxies.clone())))
}

/// Where the stream of live events is: long-lived, so neither compressed nor timed.
pub const EVENTS_PATH: &str = "/events";
/// Where clients poll; the user's id follows. Long-lived, so not timed.
pub const POLL_PATH: &str = "/poll/";
