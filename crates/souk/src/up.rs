//! `souk up`.

use std::time::Duration;

use anyhow::Context as _;
use observability::logs::LogFormat;
use service_kit::host;
use service_kit::process::ProcessSettings;

use crate::cli::UpOptions;
use crate::data_dir::{DataDir, Running};
use crate::settings::Settings;
use crate::{assembly, banner};

/// How long an impatient end waits for lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Starts everything and serves until asked to stop.
pub(crate) async fn run(options: UpOptions) -> anyhow::Result<()> {
    if options.distributed {
        return crate::distributed::run(options).await;
    }
    let started = std::time::Instant::now();
    let (settings, _) = Settings::load(&options)?;
    let telemetry = settings.process.init_telemetry("souk")?;
    let mut data_dir = DataDir::take(&settings.data_dir)?;
    let souk =
        assembly::start(&settings, telemetry.log_control.clone(), options.seed, options.allow_demo_accounts).await?;
    data_dir.announce(&Running { pid: std::process::id(), gateway: souk.gateway, internal: souk.internal })?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        gateway = %souk.gateway,
        internal = %souk.internal,
        data_dir = %settings.data_dir.display(),
        start_ms = started.elapsed().as_millis() as u64,
        "serving"
    );
    banner::print(&souk, &settings, options.seed, started.elapsed());
    tokio::select! {
        result = host::stop_signal() => result.context("signals can't be listened to")?,
        () = souk.failed() => {}
    }
    let stopping = std::time::Instant::now();
    tell_stopping(&settings.process);
    let log_control = telemetry.log_control.clone();
    tokio::spawn(async move {
        if host::stop_signal().await.is_ok() {
            // Nothing acknowledged is lost: whatever is on disk is taken up at the next start.
            log_control.flush(LAST_LINES);
            std::process::exit(130);
        }
    });
    souk.finish().await;
    tracing::info!(stop_ms = stopping.elapsed().as_millis() as u64, "stopped");
    Ok(())
}

/// Says that what is in work is being finished; how to hurry it up, to people alone: whatever reads JSON lines reads
/// nothing else.
pub(crate) fn tell_stopping(settings: &ProcessSettings) {
    tracing::info!("stopping: what is in work is finished");
    if settings.log_format == LogFormat::Pretty {
        eprintln!("\nstopping: finishing what is in work (Ctrl-C again ends at once)");
    }
}
