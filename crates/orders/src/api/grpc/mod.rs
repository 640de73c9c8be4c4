//! The gRPC server: decode, call the use case, encode.

mod convert;
mod error;

use std::time::Duration;

use contracts::event_data::OrderStatus;
use contracts::grpc::orders as wire;
use contracts::grpc::orders::orders_service_server::OrdersService;
use contracts::ids::OrderId;
use contracts::{Reason, Refusal, Role};
use service_kit::auth::Caller;
use tonic::{Request, Response, Status};

use crate::application::ports::OrderFilter;
use crate::application::{OrderError, Ordering};
use convert::{
    claims_limit, cursor_of, optional_text, order_id, outcome_to_wire, page_limit, place_order, status_from_wire,
    stock_claims_to_wire, to_cursor, to_wire,
};

/// When the gateway may be asked again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Serves `souk.orders.v1.OrdersService`.
pub struct OrdersApi(pub Ordering);

impl OrdersApi {
    /// An order that the caller may see: other users' orders do not exist for a customer.
    async fn visible(&self, caller: &Caller, id: OrderId) -> Result<crate::domain::Order, Refusal> {
        if matches!(caller, Caller::Anonymous) {
            caller.user()?;
        }
        let order = self.0.get_order(id).await.map_err(Refusal::from)?;
        if caller.may_see(order.user_id()) { Ok(order) } else { Err(OrderError::NotFound.into()) }
    }
}

#[tonic::async_trait]
impl OrdersService for OrdersApi {
    async fn place_order(
        &self,
        request: Request<wire::PlaceOrderRequest>,
    ) -> Result<Response<wire::OrderOutcome>, Status> {
        let caller = Caller::of(&request);
        let user_id = caller.user()?.user_id;
        let command = place_order(user_id, request.into_inner())?;
        // The request's lines, for the pointers of a refusal.
        let skus: Vec<_> = command.items.iter().map(|(sku, _)| sku.clone()).collect();
        let outcome = self.0.place_order(command).await.map_err(|error| error::of_placing(error, &skus))?;
        Ok(Response::new(outcome_to_wire(outcome)))
    }

    async fn get_order(&self, request: Request<wire::GetOrderRequest>) -> Result<Response<wire::Order>, Status> {
        let caller = Caller::of(&request);
        let order = self.visible(&caller, order_id(&request.get_ref().order_id)?).await?;
        Ok(Response::new(to_wire(order.to_data())))
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Result<Response<wire::ListOrdersResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let wanted =
            request.user_id.map(|id| id.parse().map_err(|error| Refusal::invalid("user_id", error))).transpose()?;
        let user_id = match &caller {
            Caller::Service(_) => wanted,
            _ => {
                let user = caller.user()?;
                if user.is_staff() {
                    wanted
                } else if wanted.is_some_and(|id| id != user.user_id) {
                    return Err(Refusal::new(Reason::NotAllowed, "only staff may list other users' orders").into());
                } else {
                    Some(user.user_id)
                }
            }
        };
        let statuses =
            request.statuses.iter().map(|status| status_from_wire(*status)).collect::<Result<Vec<OrderStatus>, _>>()?;
        let filter = OrderFilter { user_id, statuses, before: cursor_of(&request.cursor)? };
        let page = self.0.list_orders(filter, page_limit(request.limit)?).await.map_err(Refusal::from)?;
        Ok(Response::new(wire::ListOrdersResponse {
            items: page.orders.iter().map(|order| to_wire(order.to_data())).collect(),
            next_cursor: page.next.map(to_cursor).unwrap_or_default(),
        }))
    }

    async fn get_timeline(
        &self,
        request: Request<wire::GetTimelineRequest>,
    ) -> Result<Response<wire::GetTimelineResponse>, Status> {
        let caller = Caller::of(&request);
        let id = order_id(&request.get_ref().order_id)?;
        self.visible(&caller, id).await?;
        let entries = self.0.timeline(id).await.map_err(Refusal::from)?;
        let items = entries
            .into_iter()
            .map(|order| wire::TimelineEntry {
                status: convert::status_to_wire(order.status).into(),
                version: order.version,
                occurred_at_unix_ms: order.updated_at.unix_ms(),
                reason: order.reason,
            })
            .collect();
        Ok(Response::new(wire::GetTimelineResponse { items }))
    }

    async fn cancel_order(
        &self,
        request: Request<wire::CancelOrderRequest>,
    ) -> Result<Response<wire::OrderOutcome>, Status> {
        let caller = Caller::of(&request);
        caller.user()?;
        let request = request.into_inner();
        let id = order_id(&request.order_id)?;
        self.visible(&caller, id).await?;
        let reason = optional_text(Some(request.reason), "/reason", 500)?.unwrap_or_else(|| "asked for".to_owned());
        let outcome = self.0.cancel_order(id, reason).await.map_err(Refusal::from)?;
        Ok(Response::new(outcome_to_wire(outcome)))
    }

    async fn ship_order(&self, request: Request<wire::ShipOrderRequest>) -> Result<Response<wire::Order>, Status> {
        Caller::of(&request).user_with(&[Role::Admin])?;
        let id = order_id(&request.get_ref().order_id)?;
        let order = self.0.ship_order(id).await.map_err(Refusal::from)?;
        Ok(Response::new(to_wire(order.to_data())))
    }

    async fn deliver_order(
        &self,
        request: Request<wire::DeliverOrderRequest>,
    ) -> Result<Response<wire::Order>, Status> {
        Caller::of(&request).user_with(&[Role::Admin])?;
        let id = order_id(&request.get_ref().order_id)?;
        let order = self.0.deliver_order(id).await.map_err(Refusal::from)?;
        Ok(Response::new(to_wire(order.to_data())))
    }

    async fn refund_order(
        &self,
        request: Request<wire::RefundOrderRequest>,
    ) -> Result<Response<wire::OrderOutcome>, Status> {
        Caller::of(&request).user_with(&[Role::Admin, Role::Support])?;
        let request = request.into_inner();
        let id = order_id(&request.order_id)?;
        let reason =
            optional_text(Some(request.reason), "/reason", 500)?.unwrap_or_else(|| "refunded by staff".to_owned());
        let outcome = self.0.refund_order(id, reason).await.map_err(Refusal::from)?;
        Ok(Response::new(outcome_to_wire(outcome)))
    }

    async fn list_stock_claims(
        &self,
        request: Request<wire::ListStockClaimsRequest>,
    ) -> Result<Response<wire::ListStockClaimsResponse>, Status> {
        Caller::of(&request).service()?;
        let request = request.get_ref();
        let limit = claims_limit(request.limit)?;
        let claims = self.0.stock_claims(request.after_position, limit).await.map_err(Refusal::from)?;
        Ok(Response::new(stock_claims_to_wire(&claims)))
    }
}
