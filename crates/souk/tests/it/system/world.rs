//! Engines, services and a catalogue.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use contracts::grpc::inventory::CreateProductRequest;
use contracts::grpc::inventory::inventory_service_client::InventoryServiceClient;
use contracts::grpc::types::Money;
use contracts::timestamp::SystemClock;
use futures::future::join_all;
use secrecy::SecretString;
use service_kit::auth::ServiceIdentity;
use service_kit::grpc::client::{Neighbour, channel};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use super::engines::{Engine, Kind};
use super::processes::Instance;
use super::turn;

/// Every service, in the order they are started.
pub(crate) const SERVICES: [&str; 6] = ["users", "inventory", "payment", "notification", "orders", "gateway"];
/// Signs the calls between the services of a test.
const SECRET: &str = "a-secret-that-only-the-services-of-this-test-share";

/// What is on the shelves: sku and units. The last one is scarce.
pub(crate) const SHELVES: [(&str, u64); 3] = [("PLENTY-1", 100_000), ("PLENTY-2", 100_000), ("SCARCE-1", 12)];

/// Souk as teams run it.
pub(crate) struct World {
    pub(crate) client: reqwest::Client,
    pub(crate) instances: Vec<Instance>,
    pub(crate) engines: Vec<Engine>,
    folder: Option<TempDir>,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Drop for World {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        if std::thread::panicking() {
            println!("the logs of all processes are kept in {}", folder.keep().display());
        }
    }
}

impl World {
    /// Starts the engines and `replicas` instances of each service, and fills the shelves.
    pub(crate) async fn start(replicas: usize) -> Self {
        Self::start_with(replicas, &[]).await
    }

    /// The same with these settings in everybody's environment.
    pub(crate) async fn start_with(replicas: usize, settings: &[(&str, String)]) -> Self {
        let turn = turn().await;
        let folder = tempfile::Builder::new().prefix("souk-system-").tempdir().unwrap();
        open_to_other_users(&folder);
        let mut engines: Vec<_> = Kind::ALL.iter().map(|kind| Engine::begin(*kind, folder.path())).collect();
        for engine in &mut engines {
            engine.ready().await;
        }
        engines[0].make_databases(&["orders", "payment"]).await;
        let path = folder.path();
        let instances = SERVICES.into_iter().flat_map(|name| (0..replicas).map(move |n| Instance::new(name, n, path)));
        let instances: Vec<_> = instances.collect();
        let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(2)).build().unwrap();
        let mut world = Self { client, instances, engines, folder: Some(folder), _turn: turn };
        let mut environment = world.environment();
        environment.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        for instance in &mut world.instances {
            instance.start(environment.clone());
        }
        let client = world.client.clone();
        join_all(world.instances.iter_mut().map(|instance| instance.ready(&client))).await;
        world.fill_shelves().await;
        world
    }

    fn folder(&self) -> PathBuf {
        self.folder.as_ref().expect("kept until the end").path().to_owned()
    }

    pub(crate) fn engine(&mut self, kind: Kind) -> &mut Engine {
        let position = Kind::ALL.iter().position(|other| *other == kind).unwrap();
        &mut self.engines[position]
    }

    /// The address of a database of an engine.
    pub(crate) fn database(&self, kind: Kind, name: &str) -> String {
        self.engines[Kind::ALL.iter().position(|other| *other == kind).unwrap()].url(name)
    }

    /// The n-th instance of a service.
    pub(crate) fn instance(&mut self, service: &str, n: usize) -> &mut Instance {
        self.instances.iter_mut().filter(|instance| instance.service == service).nth(n).unwrap()
    }

    /// Where clients reach the gateways.
    pub(crate) fn gateways(&self) -> Vec<String> {
        let gateways = self.instances.iter().filter(|instance| instance.service == "gateway");
        gateways.map(|instance| format!("http://127.0.0.1:{}", instance.port)).collect()
    }

    /// Where callers find a service: every instance of it.
    fn addresses(&self, service: &str) -> String {
        let instances = self.instances.iter().filter(|instance| instance.service == service);
        let addresses: Vec<_> = instances.map(|instance| format!("http://127.0.0.1:{}", instance.port)).collect();
        addresses.join(",")
    }

    /// The settings that say where everything is kept.
    fn stores(&self) -> Vec<(String, String)> {
        [
            ("SOUK_BROKER_URL", self.database(Kind::Rabbit, "")),
            ("SOUK_ORDERS_DATABASE_URL", self.database(Kind::Postgres, "orders")),
            ("SOUK_PAYMENT_DATABASE_URL", self.database(Kind::Postgres, "payment")),
            ("SOUK_USERS_DATABASE_URL", self.database(Kind::Mongo, "users")),
            ("SOUK_NOTIFICATION_DATABASE_URL", self.database(Kind::Mongo, "notification")),
            ("SOUK_INVENTORY_DATABASE_URL", self.database(Kind::Redis, "")),
            ("SOUK_REALTIME_URL", format!("{}/1", self.database(Kind::Redis, ""))),
            ("SOUK_NOTIFICATION_EMAIL_URL", format!("file://{}", self.folder().join("mail").display())),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// The settings that all services have: each takes its own.
    fn environment(&self) -> Vec<(String, String)> {
        let mut settings = self.stores();
        settings.push(("SOUK_SERVICE_SECRET".to_owned(), SECRET.to_owned()));
        settings.push(("SOUK_LOG_FORMAT".to_owned(), "pretty".to_owned()));
        for service in SERVICES.into_iter().filter(|service| *service != "gateway") {
            settings.push((format!("SOUK_{}_URL", service.to_uppercase()), self.addresses(service)));
        }
        settings
    }

    /// What an operator's `souk` says of these stores: its exit code and its words.
    pub(crate) async fn operator(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = crate::process::souk();
        command.args(arguments).envs(self.stores()).current_dir(self.folder());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// How many emails were sent.
    pub(crate) fn emails(&self) -> usize {
        let folder = std::fs::read_dir(self.folder().join("mail"));
        let files = folder.into_iter().flatten().filter_map(Result::ok);
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "eml")).count()
    }

    async fn fill_shelves(&self) {
        let identity = ServiceIdentity::new("souk", &SecretString::from(SECRET), Arc::new(SystemClock));
        let endpoints = self.addresses("inventory");
        let endpoints = endpoints.split(',').map(|address| Endpoint::from_shared(address.to_owned()).unwrap());
        let inventory = channel(&Neighbour::Remote(endpoints.collect()), Arc::new(identity), "inventory");
        let mut inventory = InventoryServiceClient::new(inventory);
        for (sku, on_hand) in SHELVES {
            let product = CreateProductRequest {
                sku: sku.to_owned(),
                name: sku.to_lowercase(),
                description: String::new(),
                price: Some(Money { amount_minor: 1250, currency: "EUR".to_owned() }),
                image_url: String::new(),
                tags: Vec::new(),
                on_hand,
            };
            inventory.create_product(product).await.unwrap();
        }
    }
}

/// PostgreSQL runs as a user of its own, who has to reach its folder.
fn open_to_other_users(folder: &TempDir) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
}
