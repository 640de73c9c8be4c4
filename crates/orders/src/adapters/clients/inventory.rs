//! Inventory over gRPC.

use std::time::Duration;

use async_trait::async_trait;
use contracts::grpc::inventory as wire;
use contracts::grpc::inventory::inventory_service_client::InventoryServiceClient;
use contracts::ids::OrderId;
use contracts::{Money, Reason, Refusal, Sku};
use service_kit::grpc::client::GrpcChannel;

use super::neighbour_error;
use crate::application::ports::{HoldError, Inventory, NeighbourError, PinError};
use crate::domain::{MissingItem, Order, PricedProduct};

const SERVICE: &str = "inventory";
/// How long a hold lasts unless it is pinned: many times what a checkout needs to get that far.
const HOLD_TTL: Duration = Duration::from_mins(1);

/// A client of the inventory service.
#[derive(Clone)]
pub struct GrpcInventory(InventoryServiceClient<GrpcChannel>);

impl GrpcInventory {
    /// The service at the end of this channel.
    pub fn new(channel: GrpcChannel) -> Self {
        Self(InventoryServiceClient::new(channel))
    }
}

#[async_trait]
impl Inventory for GrpcInventory {
    async fn price(&self, skus: &[Sku]) -> Result<Vec<PricedProduct>, NeighbourError> {
        let request = wire::BatchGetProductsRequest { skus: skus.iter().map(ToString::to_string).collect() };
        let response = self.0.clone().batch_get_products(request).await.map_err(|s| neighbour_error(SERVICE, &s))?;
        response.into_inner().items.into_iter().map(to_product).collect()
    }

    async fn hold(&self, order: &Order) -> Result<(), HoldError> {
        let request = wire::HoldRequest {
            order_id: order.id().to_string(),
            items: lines_of(order),
            ttl_ms: HOLD_TTL.as_millis() as u64,
        };
        match self.0.clone().hold(request).await {
            Ok(_) => Ok(()),
            Err(status) => {
                let refusal = Refusal::from_status(&status);
                match refusal.reason {
                    Reason::OutOfStock => Err(HoldError::OutOfStock(missing_of(&refusal)?)),
                    Reason::ReservationClosed => Err(HoldError::Closed),
                    _ => Err(neighbour_error(SERVICE, &status).into()),
                }
            }
        }
    }

    async fn pin(&self, order_id: OrderId) -> Result<(), PinError> {
        match self.0.clone().pin(wire::PinRequest { order_id: order_id.to_string() }).await {
            Ok(_) => Ok(()),
            Err(status) if Refusal::from_status(&status).reason == Reason::HoldExpired => Err(PinError::Expired),
            Err(status) => Err(neighbour_error(SERVICE, &status).into()),
        }
    }

    async fn commit(&self, order: &Order) -> Result<(), NeighbourError> {
        let request = wire::CommitRequest { order_id: order.id().to_string(), items: lines_of(order) };
        self.0.clone().commit(request).await.map(drop).map_err(|status| neighbour_error(SERVICE, &status))
    }

    async fn give_back(&self, order_id: OrderId) -> Result<(), NeighbourError> {
        let request = wire::ReleaseRequest { order_id: order_id.to_string() };
        match self.0.clone().release(request).await {
            Ok(_) => Ok(()),
            // The goods had left the shelf: they come back instead.
            Err(status) if Refusal::from_status(&status).reason == Reason::ReservationClosed => {
                let request = wire::ReturnRequest { order_id: order_id.to_string() };
                self.0.clone().r#return(request).await.map(drop).map_err(|status| neighbour_error(SERVICE, &status))
            }
            Err(status) => Err(neighbour_error(SERVICE, &status)),
        }
    }
}

fn lines_of(order: &Order) -> Vec<wire::Line> {
    let items = order.items().iter();
    items.map(|item| wire::Line { sku: item.sku.to_string(), quantity: item.quantity.get() }).collect()
}

fn to_product(product: wire::Product) -> Result<PricedProduct, NeighbourError> {
    let bad =
        |what: &str| NeighbourError::Refused { service: SERVICE, detail: format!("a product without a valid {what}") };
    Ok(PricedProduct {
        sku: product.sku.parse().map_err(|_| bad("sku"))?,
        name: product.name,
        price: Money::try_from(product.price.ok_or_else(|| bad("price"))?).map_err(|_| bad("price"))?,
    })
}

fn missing_of(refusal: &Refusal) -> Result<Vec<MissingItem>, NeighbourError> {
    let text = refusal.metadata.get("missing").map_or("", String::as_str);
    serde_json::from_str(text).map_err(|_| NeighbourError::Refused {
        service: SERVICE,
        detail: "out of stock without saying of what".to_owned(),
    })
}
