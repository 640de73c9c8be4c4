//! Checkouts at a given rate.

mod api;
mod customers;
mod pushes;
mod work;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::http::Url;
use crate::load::{self, Load, Pace};
use crate::progress::{Progress, say};
use crate::server_cpu::ServerCpu;
use crate::tally::{Summary, Tally};
use api::Api;
use customers::Customers;
pub use pushes::Pushed;
use pushes::Pushes;
use work::Orders;

/// Units of each product after restocking: more than a day of checkouts buys.
const RESTOCKED: u64 = 100_000_000;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The gateway.
    pub url: Url,
    /// Orders per second.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// Orders that may be under way at a time.
    pub connections: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Accounts to make; none: the demo accounts buy.
    pub register: Option<u32>,
    /// Whether the shelves are filled first, as the demo admin.
    pub restock: bool,
    /// Whether the customers listen for what comes of their orders.
    pub pushes: bool,
    /// Processes of the server, whose processor time is told.
    pub pids: Vec<u32>,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of the orders.
    #[serde(flatten)]
    pub orders: Summary,
    /// Of what came of them, if anybody listened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<Pushed>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.orders)?;
        self.pushes.iter().try_for_each(|pushed| write!(f, "\n{pushed}"))
    }
}

/// Logs customers in, and places orders. The counts, and the report.
///
/// # Errors
/// When nothing can be bought: nobody can log in, or nothing is in stock.
pub async fn run(plan: &Plan, stop: &CancellationToken) -> Result<(Tally, Report), Error> {
    let mut api = Api::new(&plan.url);
    let page = api.call("GET", "/api/products?limit=100", None, None, 200).await?;
    if plan.restock {
        restock(&mut api, &page).await?;
    }
    let skus = skus(&page, plan.restock);
    if skus.is_empty() {
        return Err(Error::Failed(
            "the catalogue has nothing in stock: start souk with --seed, or give --restock".to_owned(),
        ));
    }
    let customers = match plan.register {
        Some(count) => Customers::register(&mut api, count).await?,
        None => Customers::seeded(&mut api).await?,
    };
    let customers = Arc::new(customers);
    say(&format!(
        "{} orders/s for {:.0} s by {} customers, {} products",
        plan.rate,
        plan.duration.as_secs_f64(),
        customers.count(),
        skus.len()
    ));
    let pushes = plan.pushes.then(Arc::<Pushes>::default);
    let listening = match &pushes {
        Some(pushes) => Some(pushes.listen(&plan.url, &customers).await?),
        None => None,
    };
    let work = Arc::new(Orders::new(&plan.url, Arc::clone(&customers), &skus, pushes.clone()));
    let over = stop.child_token();
    let renewing = tokio::spawn({
        let (customers, over) = (Arc::clone(&customers), over.clone());
        async move { customers.renew(api, over).await }
    });
    let load = Load {
        address: plan.url.address,
        connections: plan.connections,
        duration: plan.duration,
        pace: Pace::Open { rate: plan.rate },
        timeout: plan.timeout,
    };
    let cpu = ServerCpu::start(&plan.pids)?;
    let progress = Progress::watch("checkout".to_owned(), plan.duration);
    let outcome = load::run(&load, work, progress.answered(), stop).await;
    drop(progress);
    over.cancel();
    // It only panics; then there is nothing of it to use.
    let _ = renewing.await;
    let outcome = outcome?;
    let orders = outcome.summary(cpu.used());
    let pushes = match pushes {
        Some(pushes) if !stop.is_cancelled() => pushes.all().await,
        _ => Vec::new(),
    };
    drop(listening);
    Ok((outcome.tally, Report { orders, pushes }))
}

/// Products that can be bought.
fn skus(page: &Value, all: bool) -> Vec<String> {
    let items = page["items"].as_array().into_iter().flatten();
    items
        .filter(|product| all || product["available"].as_u64().is_some_and(|available| available > 0))
        .filter_map(|product| product["sku"].as_str().map(str::to_owned))
        .collect()
}

async fn restock(api: &mut Api, page: &Value) -> Result<(), Error> {
    let token = customers::log_in(api, customers::ADMIN, customers::SEEDED_PASSWORD).await?;
    let skus = skus(page, true);
    say(&format!("restocking {} products", skus.len()));
    for sku in skus {
        let body = json!({ "on_hand": RESTOCKED, "reason": "loadtest" });
        api.call("PUT", &format!("/api/products/{sku}/stock"), Some(&token), Some(&body), 200).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_stock_is_bought_unless_it_was_restocked() {
        let page = json!({ "items": [{ "sku": "A", "available": 3 }, { "sku": "B", "available": 0 }] });
        assert_eq!(skus(&page, false), ["A"]);
        assert_eq!(skus(&page, true), ["A", "B"]);
        assert!(skus(&json!({}), true).is_empty());
    }
}
