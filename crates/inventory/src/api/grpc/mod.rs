//! The gRPC server: checks who is calling, parses, calls a use case, encodes. No rules here.

mod convert;
mod error;
mod fields;

use std::sync::Arc;

use contracts::grpc::inventory as pb;
use contracts::grpc::inventory::inventory_service_server::InventoryService;
use contracts::{Reason, Refusal, Role};
use service_kit::auth::Caller;
use tonic::{Request, Response, Status};

use crate::application::Inventory;
use crate::application::ports::ChangeError;
use crate::domain::error::ReservationError;
use crate::domain::reservation::Reservation;

/// The service whose seeder may fill the catalogue.
const SEEDER: &str = "souk";

/// The gRPC face of the use cases.
pub struct InventoryGrpc {
    inventory: Arc<Inventory>,
}

impl InventoryGrpc {
    /// A face of these use cases.
    pub fn new(inventory: Arc<Inventory>) -> Self {
        Self { inventory }
    }
}

fn admin(caller: &Caller) -> Result<(), Refusal> {
    caller.user_with(&[Role::Admin]).map(drop)
}

fn admin_or_seeder(caller: &Caller) -> Result<(), Refusal> {
    match caller {
        Caller::Service(name) if **name == *SEEDER => Ok(()),
        other => admin(other),
    }
}

fn service(caller: &Caller) -> Result<(), Refusal> {
    caller.service().map(drop)
}

fn service_or_staff(caller: &Caller) -> Result<(), Refusal> {
    match caller {
        Caller::Service(_) => Ok(()),
        other => other.user_with(&[Role::Support, Role::Admin]).map(drop),
    }
}

fn answer(result: Result<Reservation, ChangeError<ReservationError>>) -> Result<Response<pb::Reservation>, Status> {
    let reservation = result.map_err(error::of_reservation)?;
    Ok(Response::new(convert::reservation(&reservation)))
}

#[tonic::async_trait]
impl InventoryService for InventoryGrpc {
    async fn get_product(&self, request: Request<pb::GetProductRequest>) -> Result<Response<pb::Product>, Status> {
        let sku = convert::sku_parameter(&request.into_inner().sku)?;
        let product = self.inventory.get_product(sku).await.map_err(error::of_catalogue)?;
        Ok(Response::new(convert::product(&product)))
    }

    async fn list_products(
        &self,
        request: Request<pb::ListProductsRequest>,
    ) -> Result<Response<pb::ListProductsResponse>, Status> {
        let query = convert::product_query(request.into_inner())?;
        let page = self.inventory.list_products(query).await.map_err(error::of_store)?;
        Ok(Response::new(convert::product_page(&page)))
    }

    async fn batch_get_products(
        &self,
        request: Request<pb::BatchGetProductsRequest>,
    ) -> Result<Response<pb::BatchGetProductsResponse>, Status> {
        let skus = convert::skus(&request.into_inner().skus)?;
        let products = self.inventory.find_products(skus).await.map_err(error::of_store)?;
        Ok(Response::new(pb::BatchGetProductsResponse { items: products.iter().map(convert::product).collect() }))
    }

    async fn create_product(
        &self,
        request: Request<pb::CreateProductRequest>,
    ) -> Result<Response<pb::Product>, Status> {
        admin_or_seeder(&Caller::of(&request))?;
        let new = convert::new_product(request.into_inner())?;
        let product = self.inventory.create_product(new).await.map_err(error::of_catalogue)?;
        Ok(Response::new(convert::product(&product)))
    }

    async fn update_product(
        &self,
        request: Request<pb::UpdateProductRequest>,
    ) -> Result<Response<pb::Product>, Status> {
        admin(&Caller::of(&request))?;
        let (sku, changes) = convert::product_changes(request.into_inner())?;
        let product = self.inventory.update_product(sku, changes).await.map_err(error::of_catalogue)?;
        Ok(Response::new(convert::product(&product)))
    }

    async fn set_price(&self, request: Request<pb::SetPriceRequest>) -> Result<Response<pb::Product>, Status> {
        admin(&Caller::of(&request))?;
        let (sku, price) = convert::new_price(request.into_inner())?;
        let product = self.inventory.set_price(sku, price).await.map_err(error::of_catalogue)?;
        Ok(Response::new(convert::product(&product)))
    }

    async fn set_stock(&self, request: Request<pb::SetStockRequest>) -> Result<Response<pb::Product>, Status> {
        admin_or_seeder(&Caller::of(&request))?;
        let (sku, on_hand, reason) = convert::new_count(request.into_inner())?;
        let product = self.inventory.set_stock(sku, on_hand, reason).await.map_err(error::of_catalogue)?;
        Ok(Response::new(convert::product(&product)))
    }

    async fn hold(&self, request: Request<pb::HoldRequest>) -> Result<Response<pb::Reservation>, Status> {
        service(&Caller::of(&request))?;
        let (order_id, lines, ttl) = convert::hold(request.into_inner())?;
        answer(self.inventory.hold(order_id, lines, ttl).await)
    }

    async fn pin(&self, request: Request<pb::PinRequest>) -> Result<Response<pb::Reservation>, Status> {
        service(&Caller::of(&request))?;
        answer(self.inventory.pin(convert::order_id(&request.into_inner().order_id)?).await)
    }

    async fn commit(&self, request: Request<pb::CommitRequest>) -> Result<Response<pb::Reservation>, Status> {
        service(&Caller::of(&request))?;
        let (order_id, bought) = convert::commit(request.into_inner())?;
        answer(self.inventory.commit(order_id, bought).await)
    }

    async fn release(&self, request: Request<pb::ReleaseRequest>) -> Result<Response<pb::Reservation>, Status> {
        service(&Caller::of(&request))?;
        answer(self.inventory.release(convert::order_id(&request.into_inner().order_id)?).await)
    }

    async fn r#return(&self, request: Request<pb::ReturnRequest>) -> Result<Response<pb::Reservation>, Status> {
        service(&Caller::of(&request))?;
        answer(self.inventory.return_goods(convert::order_id(&request.into_inner().order_id)?).await)
    }

    async fn get_reservation(
        &self,
        request: Request<pb::GetReservationRequest>,
    ) -> Result<Response<pb::Reservation>, Status> {
        service_or_staff(&Caller::of(&request))?;
        answer(self.inventory.get_reservation(convert::order_id(&request.into_inner().order_id)?).await)
    }
}

/// What a mistake in the request is answered with when no field is at fault alone.
fn invalid_request() -> Refusal {
    Refusal::new(Reason::InvalidRequest, Reason::InvalidRequest.title())
}
