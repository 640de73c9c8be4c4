//! Stand-in for payment.

use contracts::grpc::payment::payment_service_server::PaymentService;
use contracts::grpc::payment::*;
use contracts::grpc::types::Money;
use tonic::{Request, Response, Status};

use super::Script;

#[derive(Clone)]
pub(crate) struct Payments {
    pub(crate) script: Script,
}

#[tonic::async_trait]
impl PaymentService for Payments {
    async fn get_payment(&self, request: Request<GetPaymentRequest>) -> Result<Response<Payment>, Status> {
        self.script.enter("GetPayment", &request).await?;
        let usd = |amount_minor| Some(Money { amount_minor, currency: "USD".to_owned() });
        Ok(Response::new(Payment {
            id: "0190a1b2-0000-7000-8000-0000000000bb".to_owned(),
            order_id: request.into_inner().order_id,
            user_id: super::users::ID.to_owned(),
            status: PaymentStatus::PartiallyRefunded.into(),
            amount: usd(1000),
            refunded: usd(100),
            method: "card_ok".to_owned(),
            decline_reason: String::new(),
            provider_reference: "sandbox-7".to_owned(),
            version: 2,
            created_at_unix_ms: 0,
            updated_at_unix_ms: 1,
        }))
    }
    async fn charge(&self, _: Request<ChargeRequest>) -> Result<Response<Payment>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
    async fn refund(&self, _: Request<RefundRequest>) -> Result<Response<Payment>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
}
