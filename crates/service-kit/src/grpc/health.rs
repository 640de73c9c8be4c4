//! `grpc.health.v1`: the same answer as `/health/ready`, for probes and balancers that speak gRPC.
//!
//! Source: grpc/doc/health-checking.md.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, stream};
use observability::Health;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How often a watched status is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Answers for the whole process, whatever service is asked for: it has one.
#[derive(Clone)]
pub struct HealthService {
    health: Health,
    stop: CancellationToken,
}

impl HealthService {
    /// Reports this health; watches end with `stop`.
    pub fn new(health: Health, stop: CancellationToken) -> Self {
        Self { health, stop }
    }

    /// For the routes of a server.
    pub fn into_server(self) -> HealthServer<Self> {
        HealthServer::new(self)
    }

    async fn status(&self) -> ServingStatus {
        if self.health.ready().await.serving { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for HealthService {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(response(self.status().await)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        // The last word of a process that stops is that it does not serve.
        let changes = stream::unfold((self.clone(), None), |(service, told)| async move {
            if told == Some(ServingStatus::NotServing) && service.stop.is_cancelled() {
                return None;
            }
            loop {
                let status = service.status().await;
                if told != Some(status) {
                    return Some((Ok(response(status)), (service, Some(status))));
                }
                if service.stop.is_cancelled() {
                    return None;
                }
                let _ = tokio::time::timeout(LOOK, service.stop.cancelled()).await;
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
