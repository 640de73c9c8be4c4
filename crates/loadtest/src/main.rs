//! The command line of the load driver.

mod cli;

use std::error::Error as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use loadtest::error::Error;
use loadtest::progress::say;
use loadtest::tally::{Summary, Tally};
use loadtest::{bound, checkout, fanout, same_request, souk, stop, telemetry};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use cli::{CheckoutOptions, Cli, Command, FanoutOptions, HttpOptions, TelemetryOptions};

/// It was not asked rightly.
const EXIT_USAGE: u8 = 2;
/// It was ended by a signal.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let source = error.source().map_or_else(String::new, |source| format!(": {source}"));
            say(&format!("loadtest: {error}{source}"));
            ExitCode::from(match error {
                Error::Usage(_) => EXIT_USAGE,
                Error::Interrupted => EXIT_INTERRUPTED,
                Error::Failed(_) | Error::Io { .. } => 1,
            })
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Error> {
    if let Command::RunBound(options) = command {
        let error = bound::become_bound(options.parent, &options.program, &options.arguments);
        return Err(Error::io(format!("{} can't be run", options.program.display()))(error));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("the runtime could not be started"))?;
    runtime.block_on(async {
        let stop = stop::on_signal()?;
        let passed = match command {
            Command::Telemetry(options) => run_telemetry(options, &stop).await?,
            Command::Http(options) => run_http(options, &stop).await?,
            Command::Checkout(options) => run_checkout(options, &stop).await?,
            Command::Fanout(options) => run_fanout(options, &stop).await?,
            Command::RunBound(_) => true,
        };
        Ok(match (stop.is_cancelled(), passed) {
            (true, _) => ExitCode::from(EXIT_INTERRUPTED),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::FAILURE,
        })
    })
}

async fn run_telemetry(options: TelemetryOptions, stop: &CancellationToken) -> Result<bool, Error> {
    if cfg!(debug_assertions) {
        say("loadtest: a debug build; its figures say nothing about Souk");
    }
    let plan = telemetry::Plan {
        souk: souk::find(options.souk.as_deref())?,
        duration: options.duration,
        warm_up: options.warm_up,
        rounds: options.rounds,
        connections: options.connections,
        complete: options.at_least.is_some(),
    };
    let report = telemetry::run(&plan, stop).await?;
    print(options.json, &report)?;
    let Some(least) = options.at_least else { return Ok(true) };
    let reached = report.reaches(least);
    say(&format!("{} at least {:.1} %", if reached { "passed:" } else { "FAILED: not" }, least * 100.0));
    Ok(reached)
}

async fn run_http(options: HttpOptions, stop: &CancellationToken) -> Result<bool, Error> {
    let plan = same_request::Plan {
        url: options.url,
        headers: options.headers,
        rate: options.rate,
        duration: options.common.duration,
        connections: options.common.connections,
        timeout: options.common.timeout,
        pids: options.common.pids,
    };
    let (tally, summary) = same_request::run(&plan, stop).await?;
    print(options.common.json, &summary)?;
    Ok(conclude(&tally, &summary))
}

async fn run_checkout(options: CheckoutOptions, stop: &CancellationToken) -> Result<bool, Error> {
    let plan = checkout::Plan {
        url: options.url,
        rate: options.rate,
        duration: options.common.duration,
        connections: options.common.connections,
        timeout: options.common.timeout,
        register: options.register,
        restock: options.restock,
        pushes: options.pushes,
        pids: options.common.pids,
    };
    let (tally, report) = checkout::run(&plan, stop).await?;
    print(options.common.json, &report)?;
    Ok(conclude(&tally, &report.orders) && report.pushes.iter().all(|pushed| pushed.missing == 0))
}

async fn run_fanout(options: FanoutOptions, stop: &CancellationToken) -> Result<bool, Error> {
    let mode = match (options.idle, options.rate) {
        (true, _) => fanout::Mode::Idle,
        (false, Some(deliveries)) => fanout::Mode::Paced { deliveries },
        (false, None) => {
            let senders = options.senders.min(options.clients);
            fanout::Mode::Saturate { senders, in_flight: options.in_flight }
        }
    };
    let bare = options.bare.into_iter().map(|server| fanout::Server { bare: true, ..server });
    let plan = fanout::Plan {
        servers: bare.chain(options.servers).collect(),
        mode,
        clients: options.clients,
        bytes: options.bytes,
        warm_up: options.warm_up,
        duration: options.duration,
        rounds: options.rounds,
    };
    let report = fanout::run(&plan, stop).await?;
    print(options.json, &report)?;
    Ok(report.is_clean())
}

/// Whether every request was sent and answered as expected; tells of one that was not.
fn conclude(tally: &Tally, summary: &Summary) -> bool {
    if let Some(example) = &tally.example {
        say(&format!("unexpected, for example: {example}"));
    }
    tally.failed() == 0 && tally.unexpected == 0 && summary.unsent == 0 && summary.answered > 0
}

fn print(json: bool, report: &(impl Serialize + std::fmt::Display)) -> Result<(), Error> {
    let text = if json {
        serde_json::to_string_pretty(report).map_err(|error| Error::Failed(format!("no JSON: {error}")))?
    } else {
        report.to_string()
    };
    writeln!(std::io::stdout(), "{text}").map_err(Error::io("the report can't be printed"))
}
