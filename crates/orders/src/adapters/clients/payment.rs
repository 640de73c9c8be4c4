//! Payment over gRPC.

use async_trait::async_trait;
use contracts::Money;
use contracts::grpc::payment as wire;
use contracts::grpc::payment::PaymentStatus;
use contracts::grpc::payment::payment_service_client::PaymentServiceClient;
use contracts::ids::{OrderId, RefundId};
use service_kit::grpc::client::GrpcChannel;

use super::neighbour_error;
use crate::application::ports::{Charge, NeighbourError, Payments};
use crate::domain::Order;

const SERVICE: &str = "payment";

/// A client of the payment service.
#[derive(Clone)]
pub struct GrpcPayments(PaymentServiceClient<GrpcChannel>);

impl GrpcPayments {
    /// The service at the end of this channel.
    pub fn new(channel: GrpcChannel) -> Self {
        Self(PaymentServiceClient::new(channel))
    }
}

#[async_trait]
impl Payments for GrpcPayments {
    async fn charge(&self, order: &Order, method: &str) -> Result<Charge, NeighbourError> {
        let request = wire::ChargeRequest {
            order_id: order.id().to_string(),
            user_id: order.user_id().to_string(),
            amount: Some(order.total().into()),
            method: method.to_owned(),
        };
        let response = self.0.clone().charge(request).await.map_err(|status| neighbour_error(SERVICE, &status))?;
        let payment = response.into_inner();
        match payment.status() {
            // Refunded money was captured before; what that means for the order is not this port's to say.
            PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => {
                Ok(Charge::Captured)
            }
            PaymentStatus::Declined => Ok(Charge::Declined { reason: payment.decline_reason }),
            PaymentStatus::Pending | PaymentStatus::Unknown => Ok(Charge::Unknown),
            PaymentStatus::Unspecified => {
                Err(NeighbourError::Refused { service: SERVICE, detail: "a payment without a status".to_owned() })
            }
        }
    }

    async fn refund(
        &self,
        order_id: OrderId,
        refund_id: RefundId,
        amount: Money,
        reason: &str,
    ) -> Result<(), NeighbourError> {
        let request = wire::RefundRequest {
            order_id: order_id.to_string(),
            refund_id: refund_id.to_string(),
            amount: Some(amount.into()),
            reason: reason.to_owned(),
        };
        self.0.clone().refund(request).await.map(drop).map_err(|status| neighbour_error(SERVICE, &status))
    }
}
