//! `souk seed`: demo accounts and a catalogue, made once.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use anyhow::Context as _;
use contracts::grpc::inventory::CreateProductRequest;
use contracts::grpc::inventory::inventory_service_client::InventoryServiceClient;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use contracts::grpc::users::{CountSeededAccountsRequest, SeedAccountRequest};
use contracts::{Money, Reason, Refusal, Sku};
use futures::StreamExt as _;
use futures::stream;
use observability::logs::error_chain;
use serde::{Deserialize, Serialize};
use service_kit::grpc::client::GrpcChannel;
use service_kit::internal_http::{only, problem};

use crate::cli::{SeedOptions, UpOptions};
use crate::data_dir::{self, DataDir};
use crate::settings::{Settings, private_instance};
use crate::{UsageError, assembly};

/// The password of every demo account.
pub(crate) const PASSWORD: &str = "souk-demo-1";

/// A demo account.
pub(crate) struct Account {
    pub(crate) email: &'static str,
    name: &'static str,
    roles: &'static [&'static str],
    pub(crate) about: &'static str,
}

/// The demo accounts.
pub(crate) const ACCOUNTS: &[Account] = &[
    Account {
        email: "admin@souk.test",
        name: "Souk Admin",
        roles: &["customer", "admin"],
        about: "admin: catalogue, shipping, roles, bans",
    },
    Account { email: "ada@souk.test", name: "Ada Lovelace", roles: &["customer"], about: "customer" },
    Account {
        email: "linus@souk.test",
        name: "Linus Torvalds",
        roles: &["customer", "support"],
        about: "support: reads orders, cancels, refunds",
    },
];

/// The catalogue, compiled in.
const CATALOGUE: &str = include_str!("../data/catalogue.json");
/// Products made at a time: enough to share transactions.
const PARALLEL: usize = 24;
/// How long the whole may take.
const TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    sku: Sku,
    name: String,
    description: String,
    price: Money,
    image_url: String,
    tags: Vec<String>,
    on_hand: u64,
}

/// What a seeding found and made.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) products: usize,
    pub(crate) products_created: usize,
    pub(crate) accounts: usize,
    pub(crate) accounts_created: usize,
}

/// Makes demo data through the services that own it.
#[derive(Clone)]
pub(crate) struct Seeder {
    pub(crate) users: UsersServiceClient<GrpcChannel>,
    pub(crate) inventory: InventoryServiceClient<GrpcChannel>,
}

impl Seeder {
    /// Makes what is not there; what is there is left as it is, its stock too.
    pub(crate) async fn seed(&self) -> anyhow::Result<Report> {
        service_kit::grpc::deadline::within(TIMEOUT, self.seed_all()).await
    }

    async fn seed_all(&self) -> anyhow::Result<Report> {
        let catalogue: Vec<Product> =
            serde_json::from_str(CATALOGUE).context("the catalogue compiled in is not valid")?;
        let mut report = Report { products: catalogue.len(), accounts: ACCOUNTS.len(), ..Report::default() };
        for account in ACCOUNTS {
            let request = SeedAccountRequest {
                email: account.email.to_owned(),
                password: PASSWORD.to_owned(),
                name: account.name.to_owned(),
                roles: account.roles.iter().map(|role| (*role).to_owned()).collect(),
            };
            let response = self.users.clone().seed_account(request).await.with_context(|| account.email)?;
            report.accounts_created += usize::from(response.into_inner().created);
        }
        let mut created =
            stream::iter(catalogue.into_iter().map(|product| self.create(product))).buffer_unordered(PARALLEL);
        while let Some(result) = created.next().await {
            report.products_created += usize::from(result?);
        }
        Ok(report)
    }

    /// Whether the product was made; false if there is one with its sku.
    async fn create(&self, product: Product) -> anyhow::Result<bool> {
        let sku = product.sku.to_string();
        let request = CreateProductRequest {
            sku: sku.clone(),
            name: product.name,
            description: product.description,
            price: Some(product.price.into()),
            image_url: product.image_url,
            tags: product.tags,
            on_hand: product.on_hand,
        };
        match self.inventory.clone().create_product(request).await {
            Ok(_) => Ok(true),
            Err(status) if Refusal::from_status(&status).reason == Reason::ProductExists => Ok(false),
            Err(status) => Err(status).context(sku),
        }
    }

    /// How many demo accounts there are.
    pub(crate) async fn count_accounts(&self) -> anyhow::Result<u64> {
        Ok(self.users.clone().count_seeded_accounts(CountSeededAccountsRequest {}).await?.into_inner().count)
    }
}

/// `POST /admin/seed` on the internal port: how a second process seeds a Souk that runs.
pub(crate) fn internal_routes(seeder: Seeder) -> impl FnOnce(&mut web::ServiceConfig) + Clone + Send + 'static {
    async fn seed(seeder: web::Data<Seeder>) -> HttpResponse {
        match seeder.seed().await {
            Ok(report) => HttpResponse::Ok().json(report),
            Err(error) => problem(&Refusal::new(Reason::Internal, error_chain(error.as_ref()))),
        }
    }
    move |config| {
        config
            .app_data(web::Data::new(seeder))
            .service(only(web::resource("/admin/seed").route(web::post().to(seed)), "POST"));
    }
}

/// Seeds the Souk that runs on the data folder, or the folder itself when none does.
pub(crate) async fn run(options: SeedOptions) -> anyhow::Result<()> {
    let options: UpOptions = private_instance(options.places);
    let (settings, _) = Settings::load(&options)?;
    let report = match data_dir::find_running(&settings.data_dir) {
        Some(running) => {
            let url = format!("http://{}/admin/seed", running.internal);
            let response =
                reqwest::Client::new().post(&url).timeout(TIMEOUT).send().await.with_context(|| url.clone())?;
            if !response.status().is_success() {
                return Err(
                    UsageError(format!("{url} answered {}: {}", response.status(), response.text().await?)).into()
                );
            }
            response.json::<Report>().await?
        }
        None => {
            let telemetry = settings.process.init_telemetry("souk")?;
            telemetry.log_control.set("warn")?;
            let _data_dir = DataDir::take(&settings.data_dir)?;
            let souk = assembly::start(&settings, telemetry.log_control.clone(), false, true).await?;
            let report = souk.seeder.seed().await;
            souk.finish().await;
            report?
        }
    };
    println!("products: {} made, {} were there", report.products_created, report.products - report.products_created);
    println!("accounts: {} made, {} were there", report.accounts_created, report.accounts - report.accounts_created);
    println!(
        "log in with password {PASSWORD} as {}",
        ACCOUNTS.iter().map(|account| account.email).collect::<Vec<_>>().join(", ")
    );
    Ok(())
}
