//! The catalogue, for everyone. Answers carry a weak ETag, so that an unchanged one is not sent again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use actix_web::http::header::{self, EntityTag, Header as _, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, web};
use contracts::grpc::inventory::{GetProductRequest, ListProductsRequest, Product as ProductMessage};
use serde::Serialize;

use crate::clients::{Clients, call};
use crate::extract::{QueryParams, SkuPath};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::product::{Product, ProductQuery};
use crate::shapes::{BadAnswer, Page};

/// Caches may keep it but must ask: stock changes with every order.
const CACHE_CONTROL: &str = "public, no-cache";

/// List products, in order of sku.
#[utoipa::path(get, path = "/api/products", tag = "catalogue", operation_id = "list_products",
    params(ProductQuery, ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last answer")),
    responses(
        (status = 200, description = "A page of products", body = Page<Product>,
            headers(("ETag" = String, description = "Weak; changes with any product on the page"))),
        (status = 304, description = "As it was"),
    ))]
pub async fn list(
    clients: web::Data<Clients>,
    request: HttpRequest,
    QueryParams(query): QueryParams<ProductQuery>,
) -> Result<HttpResponse, Problem> {
    let message = ListProductsRequest {
        search: query.search.unwrap_or_default(),
        tags: query.tags,
        limit: query.limit.to_wire(),
        cursor: query.cursor.unwrap_or_default(),
    };
    let page = call("inventory.ListProducts", clients.inventory().list_products(message)).await?;
    let tag = entity_tag(&page.items, &page.next_cursor);
    unless_known(&request, tag, || Page::of(page.items, page.next_cursor, Product::try_from))
}

/// One product.
#[utoipa::path(get, path = "/api/products/{sku}", tag = "catalogue", operation_id = "get_product",
    params(("sku" = String, Path, description = "The product", example = "TEA-001"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last answer")),
    responses(
        (status = 200, description = "The product", body = Product,
            headers(("ETag" = String, description = "Weak; changes with the product"))),
        (status = 304, description = "As it was"),
        (status = 404, description = "PRODUCT_NOT_FOUND", body = ProblemDocument),
    ))]
pub async fn get(
    clients: web::Data<Clients>,
    request: HttpRequest,
    SkuPath(sku): SkuPath,
) -> Result<HttpResponse, Problem> {
    let message = GetProductRequest { sku: sku.into() };
    let product = call("inventory.GetProduct", clients.inventory().get_product(message)).await?;
    let tag = entity_tag(std::slice::from_ref(&product), "");
    unless_known(&request, tag, || Product::try_from(product))
}

/// What an answer shows follows from the versions and the free stock of its products.
fn entity_tag(products: &[ProductMessage], next_cursor: &str) -> EntityTag {
    let mut hasher = DefaultHasher::new();
    for product in products {
        (&product.sku, product.version, product.available).hash(&mut hasher);
    }
    next_cursor.hash(&mut hasher);
    EntityTag::new_weak(format!("{:016x}", hasher.finish()))
}

/// 304 if the caller has this already, otherwise what `answer` makes.
fn unless_known<T: Serialize>(
    request: &HttpRequest,
    tag: EntityTag,
    answer: impl FnOnce() -> Result<T, BadAnswer>,
) -> Result<HttpResponse, Problem> {
    let known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, tag.to_string())).insert_header((header::CACHE_CONTROL, CACHE_CONTROL));
    if known { Ok(response.finish()) } else { Ok(response.json(answer()?)) }
}
