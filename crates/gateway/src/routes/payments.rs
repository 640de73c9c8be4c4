//! The payment of an order.

use actix_web::{HttpResponse, web};
use contracts::grpc::payment::GetPaymentRequest;

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, PaymentPath};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::payment::Payment;

/// The payment of an order.
#[utoipa::path(get, path = "/api/payments/{order_id}", tag = "payments", operation_id = "get_payment",
    security(("bearer" = [])), params(("order_id" = uuid::Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "The payment", body = Payment),
        (status = 404, description = "PAYMENT_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn get(
    clients: web::Data<Clients>,
    Authenticated(caller, PaymentPath(order_id)): Authenticated<PaymentPath>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(GetPaymentRequest { order_id: order_id.to_string() })?;
    let payment = call("payment.GetPayment", clients.payment().get_payment(request)).await?;
    Ok(HttpResponse::Ok().json(Payment::try_from(payment)?))
}
