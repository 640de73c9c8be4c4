//! `souk up --distributed`: each service a process of its own, as a platform would run them.
//!
//! [`plan`] decides what runs where, [`process`] keeps one process running, and this starts, watches and ends them all.
//! Children stop when their standard input ends, so that none outlives this process, whatever becomes of it
//! (docs/adr/0015-six-processes-on-one-machine.md).

mod plan;
mod process;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use contracts::grpc::inventory::inventory_service_client::InventoryServiceClient;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use contracts::ids::UuidV7Generator;
use contracts::timestamp::SystemClock;
use observability::{Health, HealthCheck};
use service_kit::Platform;
use service_kit::grpc::client::Neighbour;
use service_kit::host::{self, Host};
use service_kit::internal_http::{self, InternalHttp};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

pub(crate) use self::plan::Plan;
use self::process::Process;
use crate::cli::UpOptions;
use crate::data_dir::{DataDir, Running};
use crate::seed::{self, Seeder};
use crate::{UsageError, assembly, banner};

/// How often processes are asked whether they are ready.
const POLL: Duration = Duration::from_millis(50);
/// How often it is said what is still waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Starts everything and serves until asked to stop.
pub(crate) async fn run(options: UpOptions) -> anyhow::Result<()> {
    let started = Instant::now();
    let plan = Plan::make(&options)?;
    let telemetry = plan.process.init_telemetry("souk")?;
    let gateway = *plan.gateways.first().context("there is a gateway")?;
    let reachable = plan.gateways.iter().any(|gateway| !gateway.ip().is_loopback()) && !options.allow_demo_accounts;
    if options.seed && reachable {
        return Err(UsageError(assembly::published_passwords(gateway, "would be made")).into());
    }
    let mut data_dir = DataDir::take(&plan.data_dir)?;
    let health = Health::default();
    let seeder = seeder(&plan)?;
    let (server, internal) = internal_http::bind(
        plan.internal,
        InternalHttp { health: health.clone(), log_control: telemetry.log_control.clone() },
        seed::internal_routes(seeder.clone()),
    )
    .map_err(|error| assembly::internal_address_taken(plan.internal, &error))?;
    let plan = Plan { internal, ..plan };
    let operators = Host::new(CancellationToken::new(), health.clone());
    operators.run_http("internal HTTP", server);

    let mut processes = Vec::new();
    for wanted in &plan.processes {
        let process = Process::start(wanted.clone())?;
        health.add(process.check());
        processes.push(process);
    }
    let outcome = tokio::select! {
        outcome = serve(&plan, &options, &processes, &seeder, reachable, started, || {
            data_dir.announce(&Running { pid: std::process::id(), gateway, internal })
        }) => outcome,
        result = host::stop_signal() => result.context("signals can't be listened to"),
    };
    crate::up::tell_stopping(&plan.process);
    health.stop();
    tokio::select! {
        () = stop(&processes) => {}
        _ = host::stop_signal() => {
            processes.iter().for_each(Process::kill);
            std::process::exit(130);
        }
    }
    operators.stop().cancel();
    operators.finish().await;
    outcome
}

/// Waits for all, seeds, says where everything is; then until a process can't be had at all.
async fn serve(
    plan: &Plan,
    options: &UpOptions,
    processes: &[Process],
    seeder: &Seeder,
    reachable: bool,
    started: Instant,
    announce: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    wait_until_ready(processes).await?;
    let gateway = *plan.gateways.first().context("there is a gateway")?;
    assembly::prepare(seeder, options.seed, reachable, gateway).await?;
    announce()?;
    let running: Vec<_> =
        processes.iter().map(|process| (process.name().to_owned(), process.pid(), process.internal())).collect();
    banner::print_distributed(plan, &running, options.seed, started.elapsed());
    std::future::pending().await
}

async fn wait_until_ready(processes: &[Process]) -> anyhow::Result<()> {
    let mut told = Instant::now();
    let mut waiting: Vec<&Process> = processes.iter().collect();
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for process in waiting {
            if let Some(why) = process.refused() {
                return Err(UsageError(why).into());
            }
            match process.ready().await {
                Ok(()) => eprintln!("{} is ready", process.name()),
                Err(why) => still.push((process, why)),
            }
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            for (process, why) in &still {
                eprintln!("waiting for {}: {why}", process.name());
            }
        }
        waiting = still.into_iter().map(|(process, _)| process).collect();
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Requests first, then checkouts in work, then what those call.
async fn stop(processes: &[Process]) {
    let tiers: [&[&str]; 3] = [&["gateway"], &["orders"], &["users", "inventory", "payment", "notification"]];
    for tier in tiers {
        let members = processes.iter().filter(|process| tier.contains(&process.service()));
        futures::future::join_all(members.map(Process::stop)).await;
    }
}

/// Speaks to users and inventory as the command line, with the secret of this run.
fn seeder(plan: &Plan) -> anyhow::Result<Seeder> {
    let mut neighbours = HashMap::new();
    for service in ["users", "inventory"] {
        let addresses = plan.grpc_addresses(service).map(|address| Endpoint::from_shared(format!("http://{address}")));
        neighbours.insert(service, Neighbour::Remote(addresses.collect::<Result<_, _>>()?));
    }
    let platform = Platform {
        clock: Arc::new(SystemClock),
        ids: Arc::new(UuidV7Generator),
        service_secret: plan.secret.clone(),
        neighbours,
        stop: CancellationToken::new(),
    };
    let identity = platform.identity("souk");
    Ok(Seeder {
        users: UsersServiceClient::new(platform.channel(&identity, "users")?),
        inventory: InventoryServiceClient::new(platform.channel(&identity, "inventory")?),
    })
}

impl Process {
    /// Its readiness, as a part of the whole's.
    fn check(&self) -> HealthCheck {
        let process = self.clone();
        HealthCheck::critical(self.name(), move || {
            let process = process.clone();
            async move { process.ready().await }
        })
    }
}
