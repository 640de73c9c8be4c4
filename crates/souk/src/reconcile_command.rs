//! `souk reconcile`.

use std::time::Duration;

use contracts::Clock as _;
use contracts::ids::OrderId;
use contracts::timestamp::SystemClock;
use serde_json::json;
use souk::reconcile::xray::{Says, xray};
use souk::reconcile::{self, Options, Stores, Urls};

use crate::cli::{ReconcileOptions, Since, UpOptions};
use crate::settings::Settings;

/// The stores do not agree; what disagrees was printed.
#[derive(Debug, thiserror::Error)]
#[error("the stores disagree in {0} places: see above for the next action of each")]
struct Disagreements(usize);

/// Audits the stores that the settings name, and prints what disagrees.
pub(crate) async fn run(options: ReconcileOptions) -> anyhow::Result<()> {
    let urls = urls(&options)?;
    let since = options.since.map(|since| match since {
        Since::Ago(ago) => SystemClock.now().minus(ago),
        Since::At(moment) => moment,
    });
    let audit = Options {
        grace: Duration::from_secs(options.grace.into()),
        stuck: Duration::from_secs(options.stuck.into()),
        since,
        order: options.order,
        progress: Some(|orders| eprintln!("souk: {orders} orders read, going on")),
        ..Options::default()
    };
    let says = match options.order {
        Some(id) => says_of(&urls, OrderId::from_uuid(id)).await?,
        None => Vec::new(),
    };
    let report = reconcile::audit_with(&urls, &audit).await?;
    if options.json {
        let mut all = report.to_json();
        if options.order.is_some() {
            all["says"] = says.iter().map(|says| json!({ "store": says.store, "what": says.what })).collect();
        }
        println!("{all:#}");
    } else {
        for Says { store, what } in &says {
            println!("{store:<13} {what}");
        }
        println!("{}{report}", if says.is_empty() { "" } else { "\n" });
    }
    if report.is_clean() { Ok(()) } else { Err(Disagreements(report.findings.len()).into()) }
}

async fn says_of(urls: &Urls, id: OrderId) -> anyhow::Result<Vec<Says>> {
    let says = xray(&Stores::open(urls).await?, id).await?;
    says.ok_or_else(|| anyhow::anyhow!("no store knows the order {id}"))
}

/// Where `souk up` with the same settings would have its stores.
fn urls(options: &ReconcileOptions) -> anyhow::Result<Urls> {
    let up = UpOptions::at(options.places.clone());
    let (settings, _) = Settings::load(&up)?;
    let is_sandbox = settings.payment.provider == "sandbox";
    let sandbox = settings.payment.sandbox_books_url();
    Ok(Urls {
        orders: settings.orders.database_url,
        payment: settings.payment.database_url,
        inventory: settings.inventory.database_url,
        notification: settings.notification.database_url,
        users: settings.users.database_url,
        sandbox: is_sandbox.then_some(sandbox),
        broker: Some(settings.broker_url),
    })
}
