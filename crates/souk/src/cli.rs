//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Souk: a real-time order platform in one process.
///
/// Settings come from souk.toml, then the environment (SOUK_…), then these options; `souk config` shows what holds and
/// where it came from.
#[derive(Debug, Parser)]
#[command(name = "souk", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start all six services on embedded stores and serve until Ctrl-C
    Up(UpOptions),
    /// Fill the catalogue and make the demo accounts; repeating it changes nothing
    Seed(SeedOptions),
    /// Walk through a customer's whole journey and check every answer
    Demo(DemoOptions),
    /// Show the settings that hold, where each came from, secrets masked
    Config(ConfigOptions),
    /// Audit all stores against each other, changing nothing; exit code 1 if anything disagrees
    Reconcile(ReconcileOptions),
}

/// Where the settings and the data are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Places {
    /// Folder of all stores; made if it is not there [default: souk-data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Settings file [default: souk.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub(crate) places: Places,
    /// Address that clients reach; other machines reach Souk only if it is not loopback [default: 127.0.0.1]
    #[arg(long, value_parser = parse_host, value_name = "IP")]
    pub(crate) host: Option<IpAddr>,
    /// Port that clients reach; 0 picks a free one [default: 8080]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Port for health, metrics and administration, on loopback; 0 picks a free one [default: 9090]
    #[arg(long)]
    pub(crate) internal_port: Option<u16>,
    /// Fill the catalogue and make the demo accounts first
    #[arg(long)]
    pub(crate) seed: bool,
    /// Serve other machines although accounts with published passwords exist
    #[arg(long)]
    pub(crate) allow_demo_accounts: bool,
    /// Run each service as a process of its own, on the engines that SOUK_BROKER_URL and SOUK_<SERVICE>_DATABASE_URL name
    #[arg(long)]
    pub(crate) distributed: bool,
    /// With --distributed: processes of each service
    #[arg(long, value_name = "N", default_value = "1", requires = "distributed", value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) instances: u16,
    /// With --distributed: free ports for everything that no option or setting names
    #[arg(long, requires = "distributed")]
    pub(crate) free_ports: bool,
}

impl UpOptions {
    /// Options of which only the places were given.
    pub(crate) fn at(places: Places) -> Self {
        Self {
            places,
            host: None,
            port: None,
            internal_port: None,
            seed: false,
            allow_demo_accounts: false,
            distributed: false,
            instances: 1,
            free_ports: false,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SeedOptions {
    #[command(flatten)]
    pub(crate) places: Places,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoOptions {
    #[command(flatten)]
    pub(crate) places: Places,
    /// Souk to visit, such as http://127.0.0.1:8080 [default: the one running on the data folder, else a temporary one]
    #[arg(long)]
    pub(crate) url: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigOptions {
    #[command(flatten)]
    pub(crate) places: Places,
    /// Also tell what each setting is for
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReconcileOptions {
    #[command(flatten)]
    pub(crate) places: Places,
    /// What every store says of this order, and what of it disagrees
    #[arg(long, value_name = "ID", conflicts_with = "since")]
    pub(crate) order: Option<uuid::Uuid>,
    /// Only orders placed since then: 30m, 12h, 7d, or a time such as 2026-01-31T08:00:00Z
    #[arg(long, value_parser = parse_since, value_name = "WHEN")]
    pub(crate) since: Option<Since>,
    /// Seconds for which an order that changed counts as in progress and is not judged
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) grace: u32,
    /// Seconds after which what is under way counts as stuck
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) stuck: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How far back to look.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    /// Until so long ago.
    Ago(std::time::Duration),
    /// Until then.
    At(contracts::Timestamp),
}

fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(moment) = contracts::Timestamp::parse(text) {
        return Ok(Since::At(moment));
    }
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit_s: u64 = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)].iter().find(|(name, _)| *name == unit)?.1;
        number.parse::<u64>().ok()?.checked_mul(unit_s).filter(|seconds| *seconds < 1 << 40)
    };
    let seconds = ago().ok_or_else(|| "give 30m, 12h, 7d, or a time such as 2026-01-31T08:00:00Z".to_owned())?;
    Ok(Since::Ago(std::time::Duration::from_secs(seconds)))
}

fn parse_host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse().map_err(|_| "give an IP address, such as 127.0.0.1 or 0.0.0.0".to_owned())
}
