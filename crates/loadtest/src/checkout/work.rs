//! One order after the other.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::customers::Customers;
use super::pushes::Pushes;
use crate::http::{Answer, Request, Url};
use crate::load::Work;

/// Orders of one unit of one product; customers and products take turns.
pub(super) struct Orders {
    url: Url,
    customers: Arc<Customers>,
    /// Bodies, one for each product.
    bodies: Vec<Vec<u8>>,
    /// Who wants to know of orders.
    pushes: Option<Arc<Pushes>>,
}

#[derive(Deserialize)]
struct Order<'a> {
    id: &'a str,
}

impl Orders {
    /// `skus` has one at least.
    pub(super) fn new(url: &Url, customers: Arc<Customers>, skus: &[String], pushes: Option<Arc<Pushes>>) -> Self {
        let body = |sku: &String| {
            json!({ "items": [{ "sku": sku, "quantity": 1 }], "payment_method": "card_ok" }).to_string().into_bytes()
        };
        Self { url: url.at("/api/orders"), customers, bodies: skus.iter().map(body).collect(), pushes }
    }
}

impl Work for Orders {
    fn request(&self, number: u64, into: &mut Vec<u8>) {
        // Each customer goes through all products: the turns of both together repeat as late as they can.
        let round = number / self.customers.count() as u64;
        let body = &self.bodies[((number + round) % self.bodies.len() as u64) as usize];
        let key = uuid::Uuid::new_v4().to_string();
        self.customers.with_token(number, |token| {
            let bearer = format!("Bearer {token}");
            let headers = [
                ("Content-Type", "application/json"),
                ("Authorization", bearer.as_str()),
                ("Idempotency-Key", key.as_str()),
            ];
            Request { method: "POST", headers: &headers, body }.write(&self.url, into);
        });
    }

    fn check(&self, answer: &Answer, from: Instant) -> Result<(), String> {
        match answer.status {
            // Confirmed.
            201 => match &self.pushes {
                Some(pushes) => {
                    let order: Order<'_> = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
                    pushes.answered(order.id, from);
                    Ok(())
                }
                None => Ok(()),
            },
            // Accepted, with a payment whose outcome is not known yet.
            202 => Ok(()),
            status => Err(format!("{status}: {}", String::from_utf8_lossy(&answer.body))),
        }
    }

    fn keeps_body(&self) -> bool {
        true
    }
}
