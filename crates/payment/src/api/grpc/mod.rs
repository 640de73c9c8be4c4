//! The gRPC server: decode, call the use case, encode.

mod convert;
mod error;

use contracts::grpc::payment as pb;
use contracts::grpc::payment::payment_service_server::PaymentService;
use contracts::{Reason, Refusal};
use service_kit::auth::Caller;
use tonic::{Request, Response, Status};

use crate::application::charge::ChargeOrder;
use crate::application::get_payment::GetPayment;
use crate::application::refund::RefundPayment;

/// The server.
pub struct PaymentApi {
    /// Charges.
    pub charge: ChargeOrder,
    /// Shows.
    pub get_payment: GetPayment,
    /// Gives back.
    pub refund: RefundPayment,
}

#[tonic::async_trait]
impl PaymentService for PaymentApi {
    async fn charge(&self, request: Request<pb::ChargeRequest>) -> Result<Response<pb::Payment>, Status> {
        Caller::of(&request).service()?;
        let details = convert::charge_details(request.into_inner())?;
        let payment = self.charge.execute(details).await.map_err(error::of_charge)?;
        Ok(Response::new(convert::payment(&payment)))
    }

    async fn get_payment(&self, request: Request<pb::GetPaymentRequest>) -> Result<Response<pb::Payment>, Status> {
        let caller = Caller::of(&request);
        if matches!(caller, Caller::Anonymous) {
            // Nobody in particular is asked who they are, rather than told what there is.
            caller.user()?;
        }
        let order_id = convert::order_id(&request.into_inner().order_id)?;
        let found = self.get_payment.execute(order_id).await.map_err(error::of_store)?;
        match found.filter(|payment| caller.may_see(payment.user_id())) {
            Some(payment) => Ok(Response::new(convert::payment(&payment))),
            None => Err(Refusal::new(Reason::PaymentNotFound, Reason::PaymentNotFound.title()).into()),
        }
    }

    async fn refund(&self, request: Request<pb::RefundRequest>) -> Result<Response<pb::Payment>, Status> {
        Caller::of(&request).service()?;
        let requested = convert::refund_requested(request.into_inner())?;
        let payment = self.refund.execute(requested).await.map_err(error::of_refund)?;
        Ok(Response::new(convert::payment(&payment)))
    }
}
