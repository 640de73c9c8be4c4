//! Stand-in for inventory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::grpc::inventory::inventory_service_server::InventoryService;
use contracts::grpc::inventory::*;
use contracts::grpc::types::Money;
use tonic::{Request, Response, Status};

use super::Script;

#[derive(Clone)]
pub(crate) struct Inventory {
    pub(crate) script: Script,
    pub(crate) available: Arc<AtomicU64>,
}

impl Inventory {
    fn product(&self, sku: &str) -> Product {
        Product {
            sku: sku.to_owned(),
            name: "Tea".to_owned(),
            description: "Green".to_owned(),
            price: Some(Money { amount_minor: 500, currency: "USD".to_owned() }),
            image_url: String::new(),
            tags: vec!["tea".to_owned()],
            available: self.available.load(Ordering::SeqCst),
            version: 1,
            updated_at_unix_ms: 0,
        }
    }
}

#[tonic::async_trait]
impl InventoryService for Inventory {
    async fn get_product(&self, request: Request<GetProductRequest>) -> Result<Response<Product>, Status> {
        self.script.enter("GetProduct", &request).await?;
        Ok(Response::new(self.product(&request.get_ref().sku)))
    }
    async fn list_products(
        &self,
        request: Request<ListProductsRequest>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        self.script.enter("ListProducts", &request).await?;
        Ok(Response::new(ListProductsResponse { items: vec![self.product("TEA-1")], next_cursor: String::new() }))
    }
    async fn create_product(&self, request: Request<CreateProductRequest>) -> Result<Response<Product>, Status> {
        self.script.enter("CreateProduct", &request).await?;
        Ok(Response::new(self.product(&request.get_ref().sku)))
    }
    async fn update_product(&self, request: Request<UpdateProductRequest>) -> Result<Response<Product>, Status> {
        self.script.enter("UpdateProduct", &request).await?;
        Ok(Response::new(self.product(&request.get_ref().sku)))
    }
    async fn set_price(&self, request: Request<SetPriceRequest>) -> Result<Response<Product>, Status> {
        self.script.enter("SetPrice", &request).await?;
        Ok(Response::new(self.product(&request.get_ref().sku)))
    }
    async fn set_stock(&self, request: Request<SetStockRequest>) -> Result<Response<Product>, Status> {
        self.script.enter("SetStock", &request).await?;
        Ok(Response::new(self.product(&request.get_ref().sku)))
    }
    async fn batch_get_products(
        &self,
        request: Request<BatchGetProductsRequest>,
    ) -> Result<Response<BatchGetProductsResponse>, Status> {
        self.script.enter("BatchGetProducts", &request).await?;
        let skus = &request.get_ref().skus;
        let items = skus.iter().filter(|sku| !sku.starts_with("NONE")).map(|sku| self.product(sku)).collect();
        Ok(Response::new(BatchGetProductsResponse { items }))
    }
    async fn hold(&self, _: Request<HoldRequest>) -> Result<Response<Reservation>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
    async fn pin(&self, _: Request<PinRequest>) -> Result<Response<Reservation>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
    async fn commit(&self, _: Request<CommitRequest>) -> Result<Response<Reservation>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
    async fn release(&self, _: Request<ReleaseRequest>) -> Result<Response<Reservation>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
    async fn r#return(&self, _: Request<ReturnRequest>) -> Result<Response<Reservation>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
    async fn get_reservation(&self, _: Request<GetReservationRequest>) -> Result<Response<Reservation>, Status> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
}
