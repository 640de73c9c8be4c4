//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use loadtest::fanout::Server;
use loadtest::http::{Url, request};
use loadtest::span_of_time;

/// Puts Souk under load and tells what it took.
///
/// Build it and Souk optimised, or the figures mean nothing: cargo build --release -p souk -p loadtest
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 all as expected; 1 answers that were not, or a ratio below --at-least; 2 not asked \
rightly; 130 ended by Ctrl-C, with what was measured until then."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What logs, metrics and traces cost: two Souks, with and without, in turns under the same load
    ///
    /// Starts two Souks on temporary folders and free ports, one with all telemetry off, one with logs at info as JSON to
    /// files, metrics on, and one request in ten traced to a receiver that this command runs. After a warm-up, both get the
    /// same closed-loop load in turns (off, on, on, off, …), GET /api/products?limit=50, and every answer is checked.
    Telemetry(TelemetryOptions),
    /// One request again and again, to any HTTP/1.1 server
    ///
    /// Without --rate a closed loop: each connection sends its next request when it has its answer, which finds out how much
    /// the server can do. With --rate an open loop: requests are sent at that rate whatever becomes of those before them, and
    /// latency counts from when each was to be sent, which finds out how long clients wait that know nothing of each other.
    Http(HttpOptions),
    /// Orders at a steady rate, on a Souk that runs
    ///
    /// An open loop: orders are sent at the rate whatever becomes of those before them, each with an Idempotency-Key of its
    /// own, and latency counts from when each was to be sent. A seeded catalogue is soon sold out: give --restock.
    Checkout(CheckoutOptions),
    /// A room full of WebSockets, on Socket.IO servers that run, in turns
    ///
    /// The servers speak what the example `bench` of the crate `socketio` speaks: join:room, message:send, message:new. All
    /// clients are in one room. Without --rate and --idle, some of them send their next message when their own copy of
    /// one comes back, which finds out how much a server can do. The report tells each figure's median over the rounds,
    /// its range, and how it stands to the first server's in the same round.
    Fanout(FanoutOptions),
    /// Becomes a program that ends with the process that started it
    #[command(name = loadtest::bound::COMMAND, hide = true)]
    RunBound(RunBoundOptions),
}

#[derive(Debug, Args)]
pub(crate) struct TelemetryOptions {
    /// The souk binary [default: the one beside this binary]
    #[arg(long, value_name = "FILE")]
    pub(crate) souk: Option<PathBuf>,
    /// Of each turn
    #[arg(long, default_value = "10s", value_parser = span_of_time::parse)]
    pub(crate) duration: Duration,
    /// Of each server, before the first turn
    #[arg(long, default_value = "3s", value_parser = span_of_time::parse, value_name = "DURATION")]
    pub(crate) warm_up: Duration,
    /// Rounds; each has a turn of both servers
    #[arg(long, default_value = "5", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Connections, each with one request at a time
    #[arg(long, default_value = "16", value_name = "N", value_parser = connections)]
    pub(crate) connections: usize,
    /// Fail if throughput with telemetry is less than this share of that without [default: only report]
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub(crate) at_least: Option<f64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HttpOptions {
    /// What to ask for, such as http://127.0.0.1:8080/api/products?limit=50; http:// only
    #[arg(long)]
    pub(crate) url: Url,
    /// Requests per second [default: as many as are answered]
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Header field to send, such as 'Accept: application/json'; repeatable
    #[arg(long = "header", value_parser = request::parse_header, value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct CheckoutOptions {
    /// The gateway, such as http://127.0.0.1:8080
    #[arg(long)]
    pub(crate) url: Url,
    /// Orders per second
    #[arg(long, value_parser = rate)]
    pub(crate) rate: f64,
    /// Make so many accounts that buy [default: the demo accounts do]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) register: Option<u32>,
    /// Fill the shelves first, as the demo admin
    #[arg(long)]
    pub(crate) restock: bool,
    /// Have every customer listen over Socket.IO, and tell how long after an order was to be sent its pushes came
    #[arg(long)]
    pub(crate) pushes: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct FanoutOptions {
    /// A Socket.IO server: a name for it, its process, its address; repeatable
    #[arg(long = "server", value_name = "NAME=PID=URL", required_unless_present = "bare")]
    pub(crate) servers: Vec<Server>,
    /// A server of plain WebSockets, for --idle; repeatable
    #[arg(long, value_name = "NAME=PID=URL", requires = "idle")]
    pub(crate) bare: Vec<Server>,
    /// Clients, all in one room; each takes a file descriptor here and in the server
    #[arg(long, default_value = "1000", value_name = "N", value_parser = clients)]
    pub(crate) clients: usize,
    /// Deliveries per second, each message counting once for every client [default: as many as come back]
    #[arg(long, value_parser = rate, conflicts_with = "idle")]
    pub(crate) rate: Option<f64>,
    /// Send nothing; tell the memory that a socket takes
    #[arg(long)]
    pub(crate) idle: bool,
    /// Clients that send, without --rate
    #[arg(long, default_value = "4", value_name = "N", value_parser = connections, conflicts_with_all = ["rate", "idle"])]
    pub(crate) senders: usize,
    /// Messages that each of them has on their way; the fewer, the fewer share a write, and the server waits for its clients
    #[arg(long, default_value = "4", value_name = "N", value_parser = connections, conflicts_with_all = ["rate", "idle"])]
    pub(crate) in_flight: usize,
    /// Length of a message's content, 16 to 65536
    #[arg(long, default_value = "32", value_name = "BYTES", value_parser = content_bytes)]
    pub(crate) bytes: usize,
    /// Of each turn
    #[arg(long, default_value = "5s", value_parser = span_of_time::parse)]
    pub(crate) duration: Duration,
    /// Of each turn, before anything is counted
    #[arg(long, default_value = "1s", value_parser = span_of_time::parse, value_name = "DURATION")]
    pub(crate) warm_up: Duration,
    /// Rounds; each has a turn of every server
    #[arg(long, default_value = "5", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// How long
    #[arg(long, default_value = "10s", value_parser = span_of_time::parse)]
    pub(crate) duration: Duration,
    /// Connections, each with one request at a time
    #[arg(long, default_value = "16", value_name = "N", value_parser = connections)]
    pub(crate) connections: usize,
    /// How long an answer may take
    #[arg(long, default_value = "10s", value_parser = span_of_time::parse, value_name = "DURATION")]
    pub(crate) timeout: Duration,
    /// Process of the server, to tell its CPU-seconds per 1000 answers; several separated by commas
    #[arg(long = "pid", value_name = "PID", value_delimiter = ',')]
    pub(crate) pids: Vec<u32>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunBoundOptions {
    pub(crate) parent: u32,
    pub(crate) program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "give a number of requests per second, such as 240 or 0.5".to_owned())
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "give a share from 0 to 1, such as 0.85".to_owned())
}

fn connections(text: &str) -> Result<usize, String> {
    let connections = text.parse().ok().filter(|connections| (1..=10_000).contains(connections));
    connections.ok_or_else(|| "give a number from 1 to 10000".to_owned())
}

fn clients(text: &str) -> Result<usize, String> {
    let clients = text.parse().ok().filter(|clients| (1..=25_000).contains(clients));
    clients.ok_or_else(|| "give a number from 1 to 25000: one address has not many more ports".to_owned())
}

fn content_bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| (16..=65_536).contains(bytes));
    bytes.ok_or_else(|| "give a number from 16 to 65536".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let Command::Telemetry(options) = Cli::parse_from(["loadtest", "telemetry"]).command else { panic!() };
        assert_eq!((options.duration, options.rounds, options.connections), (Duration::from_secs(10), 5, 16));
        assert_eq!(options.at_least, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            &["telemetry", "--at-least", "85"][..],
            &["telemetry", "--rounds", "0"],
            &["telemetry", "--connections", "0"],
            &["checkout", "--url", "http://127.0.0.1", "--rate", "NaN"],
            &["http", "--url", "https://127.0.0.1"],
            &["fanout"],
            &["fanout", "--server", "a=http://127.0.0.1"],
            &["fanout", "--server", "a=1=http://127.0.0.1", "--clients", "0"],
            &["fanout", "--server", "a=1=http://127.0.0.1", "--rate", "1", "--idle"],
            &["fanout", "--bare", "a=1=http://127.0.0.1"],
        ] {
            assert!(Cli::try_parse_from([&["loadtest"], bad].concat()).is_err(), "{bad:?}");
        }
    }
}
