//! Stand-in for orders.

use std::sync::{Arc, Mutex};

use contracts::grpc::orders::orders_service_server::OrdersService;
use contracts::grpc::orders::*;
use contracts::grpc::types::Money;
use tonic::{Request, Response, Status};

use super::Script;

pub(crate) const ID: &str = "0190a1b2-0000-7000-8000-0000000000aa";

#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) script: Script,
    /// Changes every order before it is answered.
    pub(crate) twist: Arc<Mutex<fn(&mut OrderOutcome)>>,
}

impl Orders {
    pub(crate) fn new(script: Script) -> Self {
        Self { script, twist: Arc::new(Mutex::new(|_| {})) }
    }

    fn outcome(&self, status: OrderStatus) -> OrderOutcome {
        let mut outcome = OrderOutcome { order: Some(order(status)), decided: true };
        let twist = *self.twist.lock().unwrap();
        twist(&mut outcome);
        outcome
    }

    fn order(&self, status: OrderStatus) -> Order {
        self.outcome(status).order.unwrap()
    }
}

fn usd(amount_minor: i64) -> Money {
    Money { amount_minor, currency: "USD".to_owned() }
}

fn order(status: OrderStatus) -> Order {
    Order {
        id: ID.to_owned(),
        user_id: super::users::ID.to_owned(),
        status: status.into(),
        items: vec![OrderItem {
            sku: "TEA-1".to_owned(),
            name: "Tea".to_owned(),
            quantity: 2,
            unit_price: Some(usd(500)),
            line_total: Some(usd(1000)),
        }],
        total: Some(usd(1000)),
        version: 3,
        created_at_unix_ms: 1_795_342_148_007,
        updated_at_unix_ms: 1_795_342_149_000,
        reason: None,
        shipping_address: None,
        note: None,
    }
}

#[tonic::async_trait]
impl OrdersService for Orders {
    async fn place_order(&self, request: Request<PlaceOrderRequest>) -> Result<Response<OrderOutcome>, Status> {
        self.script.enter("PlaceOrder", &request).await?;
        Ok(Response::new(self.outcome(OrderStatus::Confirmed)))
    }
    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<Order>, Status> {
        self.script.enter("GetOrder", &request).await?;
        Ok(Response::new(self.order(OrderStatus::Confirmed)))
    }
    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        self.script.enter("ListOrders", &request).await?;
        let items = vec![self.order(OrderStatus::Confirmed)];
        Ok(Response::new(ListOrdersResponse { items, next_cursor: String::new() }))
    }
    async fn get_timeline(
        &self,
        request: Request<GetTimelineRequest>,
    ) -> Result<Response<GetTimelineResponse>, Status> {
        self.script.enter("GetTimeline", &request).await?;
        let entry = TimelineEntry {
            status: OrderStatus::Cancelled.into(),
            version: 2,
            occurred_at_unix_ms: 0,
            reason: Some("asked for".to_owned()),
        };
        Ok(Response::new(GetTimelineResponse { items: vec![entry] }))
    }
    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Result<Response<OrderOutcome>, Status> {
        self.script.enter("CancelOrder", &request).await?;
        Ok(Response::new(self.outcome(OrderStatus::Cancelled)))
    }
    async fn ship_order(&self, request: Request<ShipOrderRequest>) -> Result<Response<Order>, Status> {
        self.script.enter("ShipOrder", &request).await?;
        Ok(Response::new(self.order(OrderStatus::Shipped)))
    }
    async fn deliver_order(&self, request: Request<DeliverOrderRequest>) -> Result<Response<Order>, Status> {
        self.script.enter("DeliverOrder", &request).await?;
        Ok(Response::new(self.order(OrderStatus::Delivered)))
    }
    async fn refund_order(&self, request: Request<RefundOrderRequest>) -> Result<Response<OrderOutcome>, Status> {
        self.script.enter("RefundOrder", &request).await?;
        Ok(Response::new(self.outcome(OrderStatus::Refunded)))
    }
    async fn list_stock_claims(
        &self,
        _: Request<ListStockClaimsRequest>,
    ) -> Result<Response<ListStockClaimsResponse>, Status> {
        Err(Status::unimplemented("the gateway never asks this"))
    }
}
