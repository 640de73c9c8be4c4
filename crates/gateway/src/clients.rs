//! Calls to the services: within the time that the request has left, their refusals read back.

use std::error::Error as _;

use contracts::grpc::inventory::inventory_service_client::InventoryServiceClient;
use contracts::grpc::notification::chat_service_client::ChatServiceClient;
use contracts::grpc::notification::notification_service_client::NotificationServiceClient;
use contracts::grpc::orders::orders_service_client::OrdersServiceClient;
use contracts::grpc::payment::payment_service_client::PaymentServiceClient;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use contracts::{Reason, Refusal};
use observability::logs::error_chain;
use service_kit::grpc::client::GrpcChannel;
use service_kit::grpc::deadline;
use tonic::{Code, Response, Status};

/// A client for each service; cheap to clone, usable from every thread.
#[derive(Clone)]
pub struct Clients {
    users: UsersServiceClient<GrpcChannel>,
    orders: OrdersServiceClient<GrpcChannel>,
    inventory: InventoryServiceClient<GrpcChannel>,
    payment: PaymentServiceClient<GrpcChannel>,
    notification: NotificationServiceClient<GrpcChannel>,
    chat: ChatServiceClient<GrpcChannel>,
}

/// The channels that [`Clients`] speak through.
pub struct Channels {
    /// To users.
    pub users: GrpcChannel,
    /// To orders.
    pub orders: GrpcChannel,
    /// To inventory.
    pub inventory: GrpcChannel,
    /// To payment.
    pub payment: GrpcChannel,
    /// To notification.
    pub notification: GrpcChannel,
}

impl Clients {
    /// Clients over these channels.
    pub fn new(channels: Channels) -> Self {
        Self {
            users: UsersServiceClient::new(channels.users),
            orders: OrdersServiceClient::new(channels.orders),
            inventory: InventoryServiceClient::new(channels.inventory),
            payment: PaymentServiceClient::new(channels.payment),
            chat: ChatServiceClient::new(channels.notification.clone()),
            notification: NotificationServiceClient::new(channels.notification),
        }
    }

    /// Accounts, tokens, roles.
    pub fn users(&self) -> UsersServiceClient<GrpcChannel> {
        self.users.clone()
    }

    /// Orders.
    pub fn orders(&self) -> OrdersServiceClient<GrpcChannel> {
        self.orders.clone()
    }

    /// Catalogue and stock.
    pub fn inventory(&self) -> InventoryServiceClient<GrpcChannel> {
        self.inventory.clone()
    }

    /// The payment ledger.
    pub fn payment(&self) -> PaymentServiceClient<GrpcChannel> {
        self.payment.clone()
    }

    /// Inboxes and notifications.
    pub fn notification(&self) -> NotificationServiceClient<GrpcChannel> {
        self.notification.clone()
    }

    /// Rooms and messages, which notification keeps.
    pub fn chat(&self) -> ChatServiceClient<GrpcChannel> {
        self.chat.clone()
    }
}

/// Waits for the answer to a call, as long as the request has time left. Connecting counts, too: the transport's own
/// timeout begins only once there is a connection.
///
/// # Errors
/// What the service refused; `UNAVAILABLE` when the call was lost, `DEADLINE_EXCEEDED` when it took too long.
pub async fn call<T>(
    name: &'static str,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(deadline::remaining(), answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(refusal_of(name, &status)),
        Err(_) => Err(out_of_time(name)),
    }
}

fn refusal_of(name: &'static str, status: &Status) -> Refusal {
    // The transport reports its own timeout as a cancelled call.
    if status.code() == Code::Cancelled && deadline::remaining().is_zero() {
        return out_of_time(name);
    }
    // A status with a cause was made on this side: the call was lost on its way, and nobody knows how far it came.
    let lost = status.source().is_some();
    let refusal = if lost {
        Refusal::new(Reason::Unavailable, Reason::Unavailable.title())
    } else {
        Refusal::from_status(status)
    };
    if refusal.reason.http_status() >= 500 {
        tracing::warn!(call = name, code = ?status.code(), error = error_chain(status), "a call failed");
    }
    refusal
}

fn out_of_time(name: &'static str) -> Refusal {
    tracing::warn!(call = name, "a call took longer than its request may");
    Refusal::new(Reason::DeadlineExceeded, Reason::DeadlineExceeded.title())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_with_the_time_of_its_request() {
        let hanging = std::future::pending::<Result<Response<()>, Status>>();
        let refusal = deadline::within(Duration::from_millis(50), call("x", hanging)).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_call_is_lost_while_time_is_left_and_late_after() {
        let cancelled = || async { Err::<Response<()>, _>(Status::cancelled("Timeout expired")) };
        let early = deadline::within(Duration::from_secs(1), call("x", cancelled())).await.unwrap_err();
        assert_eq!(early.reason, Reason::Unavailable);
        let late = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            refusal_of("x", &Status::cancelled("Timeout expired"))
        };
        assert_eq!(deadline::within(Duration::from_secs(1), late).await.reason, Reason::DeadlineExceeded);
    }
}
