//! The catalogue, for those who keep it. Inventory decides who may.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use contracts::grpc::inventory::{CreateProductRequest, SetPriceRequest, SetStockRequest, Tags, UpdateProductRequest};

use crate::clients::{Clients, call};
use crate::extract::{Authenticated, JsonBody, SkuPath};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::product::{CreateProduct, Product, SetPrice, SetStock, UpdateProduct};

/// Add a product.
#[utoipa::path(post, path = "/api/products", tag = "catalogue", operation_id = "create_product",
    security(("bearer" = [])), request_body = CreateProduct,
    responses(
        (status = 201, description = "The product", body = Product, headers(("Location" = String, description = "Its address"))),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 409, description = "PRODUCT_EXISTS", body = ProblemDocument),
    ))]
pub async fn create(
    clients: web::Data<Clients>,
    Authenticated(caller, JsonBody(body)): Authenticated<JsonBody<CreateProduct>>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(CreateProductRequest::from(body))?;
    let product = call("inventory.CreateProduct", clients.inventory().create_product(request)).await?;
    let product = Product::try_from(product)?;
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, format!("/api/products/{}", product.sku)));
    Ok(response.json(product))
}

/// Change a product; price and stock have addresses of their own.
#[utoipa::path(patch, path = "/api/products/{sku}", tag = "catalogue", operation_id = "update_product",
    security(("bearer" = [])), params(("sku" = String, Path, description = "The product")), request_body = UpdateProduct,
    responses(
        (status = 200, description = "The product as it is now", body = Product),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn update(
    clients: web::Data<Clients>,
    Authenticated(caller, (SkuPath(sku), JsonBody(body))): Authenticated<(SkuPath, JsonBody<UpdateProduct>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(UpdateProductRequest {
        sku: sku.into(),
        name: body.name,
        description: body.description,
        image_url: body.image_url,
        tags: body.tags.map(|values| Tags { values }),
    })?;
    let product = call("inventory.UpdateProduct", clients.inventory().update_product(request)).await?;
    Ok(HttpResponse::Ok().json(Product::try_from(product)?))
}

/// Set a product's price. Orders placed before keep theirs.
#[utoipa::path(put, path = "/api/products/{sku}/price", tag = "catalogue", operation_id = "set_price",
    security(("bearer" = [])), params(("sku" = String, Path, description = "The product")), request_body = SetPrice,
    responses(
        (status = 200, description = "The product as it is now", body = Product),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn set_price(
    clients: web::Data<Clients>,
    Authenticated(caller, (SkuPath(sku), JsonBody(body))): Authenticated<(SkuPath, JsonBody<SetPrice>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(SetPriceRequest { sku: sku.into(), price: Some(body.price.into()) })?;
    let product = call("inventory.SetPrice", clients.inventory().set_price(request)).await?;
    Ok(HttpResponse::Ok().json(Product::try_from(product)?))
}

/// Set a product's counted stock. What orders have reserved stays reserved.
#[utoipa::path(put, path = "/api/products/{sku}/stock", tag = "catalogue", operation_id = "set_stock",
    security(("bearer" = [])), params(("sku" = String, Path, description = "The product")), request_body = SetStock,
    responses(
        (status = 200, description = "The product as it is now", body = Product),
        (status = 403, description = "NOT_ALLOWED: for admins", body = ProblemDocument),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemDocument),
        (status = 409, description = "STOCK_BELOW_RESERVED", body = ProblemDocument),
    ))]
pub async fn set_stock(
    clients: web::Data<Clients>,
    Authenticated(caller, (SkuPath(sku), JsonBody(body))): Authenticated<(SkuPath, JsonBody<SetStock>)>,
) -> Result<HttpResponse, Problem> {
    let request = caller.request(SetStockRequest {
        sku: sku.into(),
        on_hand: body.on_hand,
        reason: body.reason.unwrap_or_default(),
    })?;
    let product = call("inventory.SetStock", clients.inventory().set_stock(request)).await?;
    Ok(HttpResponse::Ok().json(Product::try_from(product)?))
}
