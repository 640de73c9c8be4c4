//! One address and the methods it answers; any other gets 405 with `Allow`, `OPTIONS` gets 204 with `Allow`.

use actix_web::dev::HttpServiceFactory;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, ResponseError as _, guard, web};
use contracts::Reason;

use crate::middleware::panic_guard;
use crate::problem::Problem;

/// See the module.
pub struct Endpoint {
    path: &'static str,
    methods: Vec<Method>,
    resource: Resource,
}

impl Endpoint {
    /// An address, in actix's template syntax.
    pub fn at(path: &'static str) -> Self {
        Self { path, methods: Vec::new(), resource: web::resource(path) }
    }

    /// Its template.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// What it answers, `HEAD` included where it comes with `GET`.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Answers `GET`, and `HEAD` with the same headers (RFC 9110 §9.3.2).
    pub fn get<F, A>(mut self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.extend([Method::GET, Method::HEAD]);
        let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
        self.resource = self.resource.route(route.to(handler));
        self
    }

    /// Answers `GET` with something that does not end, or not soon, which `HEAD` therefore can't foretell.
    pub fn stream<F, A>(self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::GET, handler)
    }

    /// Answers `POST`.
    pub fn post<F, A>(self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::POST, handler)
    }

    /// Answers `PUT`.
    pub fn put<F, A>(self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::PUT, handler)
    }

    /// Answers `PATCH`.
    pub fn patch<F, A>(self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::PATCH, handler)
    }

    fn on<F, A>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.resource = self.resource.route(web::method(method.clone()).to(handler));
        self.methods.push(method);
        self
    }

    /// What actix registers.
    pub fn into_resource(self) -> impl HttpServiceFactory + 'static {
        let allow = self.methods.iter().map(Method::as_str).chain(["OPTIONS"]).collect::<Vec<_>>().join(", ");
        let allow = HeaderValue::from_str(&allow).expect("the names of methods are visible ASCII");
        self.resource
            .default_service(web::to(move |request: HttpRequest| {
                let response = other_method(&request, allow.clone());
                async { response }
            }))
            .wrap(from_fn(panic_guard::contain))
    }
}

fn other_method(request: &HttpRequest, allow: HeaderValue) -> HttpResponse {
    let mut response = if request.method() == Method::OPTIONS {
        HttpResponse::new(StatusCode::NO_CONTENT)
    } else {
        Problem::of(Reason::MethodNotAllowed).error_response()
    };
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
