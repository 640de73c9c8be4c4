//! How long requests to an actix-web server take, by route, and how many are under way.

use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::Method;
use futures::future::LocalBoxFuture;

use crate::metrics::{self, HTTP_IN_FLIGHT, HTTP_REQUESTS, InFlight};

/// The route of what matched none, or was refused before there was one.
const UNMATCHED: &str = "unmatched";

/// Observes `http_request_duration_seconds{method,route,status}`, the time to the head of the response, and
/// `http_requests_in_flight`. A request whose client went away before that is in flight until then, and not observed.
///
/// Labels come from bounded sets: the template of the route, never the path; the methods there are, and `OTHER` for what
/// a caller made up.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpMetrics;

impl<S, B> Transform<S, ServiceRequest> for HttpMetrics
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = HttpMetricsService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(HttpMetricsService(inner)))
    }
}

/// See [`HttpMetrics`].
#[derive(Debug)]
pub struct HttpMetricsService<S>(S);

impl<S, B> Service<ServiceRequest> for HttpMetricsService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<ServiceResponse<B>, Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        if !metrics::enabled() {
            return Box::pin(self.0.call(request));
        }
        let (started, in_flight) = (Instant::now(), InFlight::begin(&HTTP_IN_FLIGHT));
        let method = method(request.method());
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(in_flight);
            let (route, status) = match &answer {
                Ok(response) => (response.request().match_pattern(), response.status()),
                Err(error) => (None, error.as_response_error().status_code()),
            };
            let labels = [method, route.as_deref().unwrap_or(UNMATCHED), status.as_str()];
            metrics::observe(&HTTP_REQUESTS, &labels, started.elapsed());
            answer
        })
    }
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};
    use futures::FutureExt as _;

    use super::*;

    /// The series that requests made, by their labels, with how often.
    fn series() -> Vec<(String, u64)> {
        let text = String::from_utf8(metrics::render()).unwrap();
        let counts = text.lines().filter_map(|line| line.strip_prefix("http_request_duration_seconds_count"));
        counts
            .map(|line| {
                let (labels, count) = line.rsplit_once(' ').unwrap();
                (labels.to_owned(), count.parse().unwrap())
            })
            .collect()
    }

    fn count(labels: &str) -> u64 {
        series().iter().find(|(found, _)| found == labels).map_or(0, |(_, count)| *count)
    }

    #[actix_web::test]
    async fn callers_can_make_no_series() {
        let app = init_service(
            App::new().wrap(HttpMetrics).route("/hostile/{id}", web::to(|| async { HttpResponse::Ok().body("x") })),
        )
        .await;
        let unmatched = r#"{method="GET",route="unmatched",status="404"}"#;
        let other = r#"{method="OTHER",route="/hostile/{id}",status="200"}"#;
        let before = (count(unmatched), count(other));
        for n in 0..500 {
            let path = format!("/made-up-{n}/\u{1f4a9}%0a?x={n}");
            let path = path.replace('\u{1f4a9}', "%F0%9F%92%A9");
            call_service(&app, TestRequest::get().uri(&path).to_request()).await;
            let method = Method::from_bytes(format!("M{n}").as_bytes()).unwrap();
            let request = TestRequest::with_uri(&format!("/hostile/{n}")).method(method);
            call_service(&app, request.to_request()).await;
        }
        assert_eq!((count(unmatched), count(other)), (before.0 + 500, before.1 + 500));
        let made_up = series().into_iter().filter(|(labels, _)| labels.contains("made-up") || labels.contains("M1"));
        assert_eq!(made_up.count(), 0);
        assert_eq!(series().iter().filter(|(labels, _)| labels.contains("hostile")).count(), 1);
    }

    #[actix_web::test]
    async fn a_request_is_in_flight_until_it_is_answered_or_given_up() {
        let app =
            init_service(App::new().wrap(HttpMetrics).route("/never", web::to(std::future::pending::<HttpResponse>)))
                .await;
        let mut call = Box::pin(call_service(&app, TestRequest::get().uri("/never").to_request()));
        assert!((&mut call).now_or_never().is_none());
        assert!(HTTP_IN_FLIGHT.get() >= 1);
        let (with, labels) = (HTTP_IN_FLIGHT.get(), r#"{method="GET",route="/never",status="200"}"#);
        drop(call);
        assert!(HTTP_IN_FLIGHT.get() < with);
        assert_eq!(count(labels), 0);
    }
}
