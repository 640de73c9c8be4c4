//! Orders over gRPC.

use std::time::Duration;

use async_trait::async_trait;
use contracts::grpc::orders as wire;
use contracts::grpc::orders::orders_service_client::OrdersServiceClient;
use contracts::{Quantity, Sku};
use service_kit::grpc::client::GrpcChannel;
use service_kit::grpc::deadline;

use crate::application::ports::{ClaimPage, OrderClaim, OrderLog, OrderLogError};
use crate::domain::claim::Claim;
use crate::domain::lines::{Line, Lines};

/// How long a page may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the orders service.
#[derive(Clone)]
pub struct GrpcOrderLog(OrdersServiceClient<GrpcChannel>);

impl GrpcOrderLog {
    /// The service at the end of this channel.
    pub fn new(channel: GrpcChannel) -> Self {
        Self(OrdersServiceClient::new(channel))
    }
}

#[async_trait]
impl OrderLog for GrpcOrderLog {
    async fn claims(&self, after: u64, limit: usize) -> Result<ClaimPage, OrderLogError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let request = wire::ListStockClaimsRequest { after_position: after, limit };
        let mut orders = self.0.clone();
        let response = deadline::within(TIMEOUT, orders.list_stock_claims(request)).await;
        let page = response.map_err(|status| OrderLogError(Box::new(status)))?.into_inner();
        let claims = page.items.into_iter().map(to_claim).collect::<Option<_>>();
        let claims = claims.ok_or_else(|| OrderLogError("an order's claim on the stock makes no sense".into()))?;
        Ok(ClaimPage { claims, settled: page.settled_position })
    }
}

fn to_claim(item: wire::OrderStockClaim) -> Option<OrderClaim> {
    let claim = match item.claim() {
        wire::StockClaim::Unspecified => return None,
        wire::StockClaim::Open => None,
        wire::StockClaim::Promised => Some(Claim::Promised),
        wire::StockClaim::Sold => Some(Claim::Sold),
        wire::StockClaim::Free => Some(Claim::Free),
    };
    let line = |line: wire::RequestedItem| {
        Some(Line { sku: Sku::try_from(line.sku).ok()?, quantity: Quantity::try_from(line.quantity).ok()? })
    };
    let lines = item.items.into_iter().map(line).collect::<Option<Vec<_>>>()?;
    Some(OrderClaim {
        order_id: item.order_id.parse().ok()?,
        position: item.position,
        claim,
        lines: Lines::new(lines).ok()?,
    })
}
