//! Souk in one process, and the operator's command line.

mod assembly;
mod banner;
mod cli;
mod config;
mod data_dir;
mod demo;
mod distributed;
mod reconcile_command;
mod seed;
mod settings;
mod up;

use std::process::ExitCode;

use clap::Parser as _;
use observability::logs::error_chain;

use crate::cli::{Cli, Command};

/// The system's allocator keeps what password hashes (19 MiB each) once took; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command was not given rightly: settings, arguments, a folder or a port that is in use.
const EXIT_USAGE: u8 = 2;

/// An error that the caller can mend by asking differently.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("souk: the runtime could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Up(options) => up::run(options).await,
            Command::Seed(options) => seed::run(options).await,
            Command::Demo(options) => demo::run(options).await,
            Command::Config(options) => config::run(&options),
            Command::Reconcile(options) => reconcile_command::run(options).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("souk: {}", error_chain(error.as_ref()));
            if error.is::<UsageError>() || error.is::<service_kit::settings::SettingsError>() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
