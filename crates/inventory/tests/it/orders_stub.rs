//! The orders service, as far as the inventory knows it: what orders want of the stock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::grpc::orders as wire;
use contracts::grpc::orders::orders_service_server::{OrdersService, OrdersServiceServer};
use contracts::ids::OrderId;
use inventory::application::ports::{ClaimPage, OrderClaim, OrderLog, OrderLogError};
use inventory::domain::claim::Claim;
use service_kit::grpc::local::{self, LocalConnector};
use tonic::{Request, Response, Status};

/// Orders by their last event.
#[derive(Clone, Default)]
pub(crate) struct OrdersStub(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    end: u64,
    claims: BTreeMap<u64, (OrderId, Option<Claim>, Items)>,
    settled: u64,
    away: bool,
    asked_after: Vec<u64>,
}

type Items = Vec<(String, u32)>;

impl OrdersStub {
    /// Something happened to an order: this is what it wants now.
    pub(crate) fn event(&self, order_id: OrderId, claim: Option<Claim>, items: &[(&str, u32)]) {
        let mut log = self.0.lock().unwrap();
        log.end += 1;
        let end = log.end;
        log.claims.retain(|_, (id, ..)| *id != order_id);
        let items = items.iter().map(|(sku, units)| ((*sku).to_owned(), *units)).collect();
        log.claims.insert(end, (order_id, claim, items));
    }

    /// The saga went on without an event.
    pub(crate) fn quietly(&self, order_id: OrderId, claim: Option<Claim>) {
        let mut log = self.0.lock().unwrap();
        log.claims.values_mut().find(|(id, ..)| *id == order_id).unwrap().1 = claim;
    }

    pub(crate) fn settle(&self, position: u64) {
        self.0.lock().unwrap().settled = position;
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    /// After which positions orders were asked for, since the last call; not for the end of the log.
    pub(crate) fn take_asked(&self) -> Vec<u64> {
        let asked = std::mem::take(&mut self.0.lock().unwrap().asked_after);
        asked.into_iter().filter(|after| *after < 1_000_000).collect()
    }

    fn page(&self, after: u64, limit: usize) -> Result<wire::ListStockClaimsResponse, Status> {
        let mut log = self.0.lock().unwrap();
        if log.away {
            return Err(Status::unavailable("on purpose"));
        }
        log.asked_after.push(after);
        let items = log.claims.range(after + 1..).take(limit).map(|(position, (id, claim, items))| {
            let claim = match claim {
                None => wire::StockClaim::Open,
                Some(Claim::Promised) => wire::StockClaim::Promised,
                Some(Claim::Sold) => wire::StockClaim::Sold,
                Some(Claim::Free) => wire::StockClaim::Free,
            };
            let item = |(sku, quantity): &(String, u32)| wire::RequestedItem { sku: sku.clone(), quantity: *quantity };
            wire::OrderStockClaim {
                order_id: id.to_string(),
                position: *position,
                claim: claim.into(),
                items: items.iter().map(item).collect(),
            }
        });
        Ok(wire::ListStockClaimsResponse { items: items.collect(), settled_position: log.settled })
    }

    pub(crate) fn serve(&self) -> LocalConnector {
        let (connector, listener) = local::pair();
        let server = tonic::transport::Server::builder().add_service(OrdersServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(listener));
        connector
    }
}

/// Asked directly.
#[async_trait]
impl OrderLog for OrdersStub {
    async fn claims(&self, after: u64, limit: usize) -> Result<ClaimPage, OrderLogError> {
        let page = self.page(after, limit).map_err(|status| OrderLogError(Box::new(status)))?;
        let log = self.0.lock().unwrap();
        let claims = page.items.into_iter().map(|item| {
            let (order_id, claim, items) = &log.claims[&item.position];
            let items: Vec<_> = items.iter().map(|(sku, units)| (sku.as_str(), *units)).collect();
            OrderClaim {
                order_id: *order_id,
                position: item.position,
                claim: *claim,
                lines: crate::helpers::lines(&items),
            }
        });
        Ok(ClaimPage { claims: claims.collect(), settled: page.settled_position })
    }
}

macro_rules! claims_only {
    ($($method:ident: $request:ident => $response:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl OrdersService for OrdersStub {
            async fn list_stock_claims(
                &self,
                request: Request<wire::ListStockClaimsRequest>,
            ) -> Result<Response<wire::ListStockClaimsResponse>, Status> {
                let request = request.into_inner();
                self.page(request.after_position, request.limit as usize).map(Response::new)
            }
            $(
                async fn $method(&self, _: Request<wire::$request>) -> Result<Response<wire::$response>, Status> {
                    Err(Status::unimplemented("the inventory never asks this"))
                }
            )*
        }
    };
}

claims_only! {
    place_order: PlaceOrderRequest => OrderOutcome,
    get_order: GetOrderRequest => Order,
    list_orders: ListOrdersRequest => ListOrdersResponse,
    get_timeline: GetTimelineRequest => GetTimelineResponse,
    cancel_order: CancelOrderRequest => OrderOutcome,
    ship_order: ShipOrderRequest => Order,
    deliver_order: DeliverOrderRequest => Order,
    refund_order: RefundOrderRequest => OrderOutcome,
}
