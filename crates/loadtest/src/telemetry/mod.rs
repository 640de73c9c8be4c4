//! What telemetry costs: two Souks of the same build, one with all of it and one without, in turns under the same load.

pub mod report;
pub mod settings;
pub mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::cpu;
use crate::error::Error;
use crate::http::Url;
use crate::load::{self, Load, Outcome, Pace};
use crate::otlp::Receiver;
use crate::progress::{Progress, say};
use crate::rounds::{Variant, abba};
use crate::souk::{self, Souk};
use report::{Frame, Produced, Report, Slice};
use work::SameAnswer;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The binary.
    pub souk: PathBuf,
    /// Of each slice.
    pub duration: Duration,
    /// Of each server, before the first slice.
    pub warm_up: Duration,
    /// Each has a slice of either variant.
    pub rounds: u32,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Whether everything must be measured: settings that souk does not know are an error then.
    pub complete: bool,
}

/// A server and what is expected of it.
struct Side {
    souk: Souk,
    work: Arc<SameAnswer>,
    sent: u64,
}

/// Measures. Cancelling `stop` ends it early, with what is measured so far.
///
/// # Errors
/// When souk can't be started, or a request is not answered as it must be.
pub async fn run(plan: &Plan, stop: &CancellationToken) -> Result<Report, Error> {
    let receiver = Receiver::start()?;
    let logs = TempDir::new().map_err(Error::io("no temporary folder"))?;
    let wanted = |variant| settings::of(variant, logs.path(), &receiver.endpoint());
    let missing = souk::unknown_settings(&plan.souk, &wanted(Variant::On))?;
    if !missing.is_empty() {
        let told = format!("this build of souk does not know {}", missing.join(", "));
        if plan.complete {
            return Err(Error::Usage(format!("{told}: there is nothing that --at-least could judge")));
        }
        say(&format!("{told}; it is measured without"));
    }
    let start = async |variant: Variant| {
        say(&format!("starting souk with telemetry {}", variant.name()));
        let mut settings = wanted(variant);
        settings.retain(|key, _| !missing.contains(key));
        let folder = TempDir::new().map_err(Error::io("no temporary folder"))?;
        let souk = Souk::start(&plan.souk, folder, &settings, stop).await?;
        let work = Arc::new(SameAnswer::learn(&Url::of(souk.gateway()).at(work::PATH)).await?);
        Ok::<_, Error>(Side { souk, work, sent: 1 })
    };
    let mut off = start(Variant::Off).await?;
    let mut on = start(Variant::On).await?;
    if off.work.body_bytes() != on.work.body_bytes() {
        return Err(Error::Failed(format!(
            "the two servers do not answer alike: {} and {} bytes",
            off.work.body_bytes(),
            on.work.body_bytes()
        )));
    }
    for (side, variant) in [(&mut off, Variant::Off), (&mut on, Variant::On)] {
        measure(plan, side, &format!("warming up, telemetry {}", variant.name()), plan.warm_up, stop).await?;
    }
    let mut slices = Vec::new();
    say(report::HEADING);
    for (round, variant) in abba(plan.rounds) {
        if stop.is_cancelled() {
            break;
        }
        let side = match variant {
            Variant::Off => &mut off,
            Variant::On => &mut on,
        };
        let name = format!("round {round} of {}, telemetry {}", plan.rounds, variant.name());
        let before = Usage::now(side.souk.pid());
        let outcome = measure(plan, side, &name, plan.duration, stop).await?;
        let (cpu, others) = Usage::now(side.souk.pid()).since(&before);
        if outcome.tally.answered() > 0 {
            let slice = Slice::new(round, variant, &outcome, cpu, others);
            say(&slice.to_string());
            slices.push(slice);
        }
    }
    let frame = Frame {
        body_bytes: on.work.body_bytes(),
        connections: plan.connections,
        interrupted: stop.is_cancelled(),
        missing_settings: missing.clone(),
    };
    drop(off);
    let mut produced = Produced::expecting(on.sent, !missing.contains(&"SOUK_OTLP_ENDPOINT"));
    if let Err(error) = on.souk.finish().await {
        // Its last spans and lines may be missing; the measurement itself is over.
        say(&error.to_string());
    }
    produced.traces = receiver.received();
    produced.log_file_bytes = bytes_below(logs.path());
    produced.output_bytes = on.souk.output_bytes();
    Ok(Report::new(frame, slices, produced))
}

/// Puts one server under load.
async fn measure(
    plan: &Plan,
    side: &mut Side,
    name: &str,
    duration: Duration,
    stop: &CancellationToken,
) -> Result<Outcome, Error> {
    let load = Load {
        address: side.souk.gateway(),
        connections: plan.connections,
        duration,
        pace: Pace::Closed,
        timeout: TIMEOUT,
    };
    let progress = Progress::watch(name.to_owned(), duration);
    let outcome = load::run(&load, Arc::clone(&side.work), progress.answered(), stop).await?;
    drop(progress);
    side.sent += outcome.tally.answered();
    if outcome.tally.failed() > 0 || outcome.tally.unexpected > 0 {
        let example = outcome.tally.example.clone().unwrap_or_default();
        return Err(Error::Failed(format!(
            "{name}: {} requests got no answer {:?}, {} another than expected {example}",
            outcome.tally.failed(),
            outcome.tally.failures,
            outcome.tally.unexpected
        )));
    }
    Ok(outcome)
}

/// Processor time used so far.
struct Usage {
    server: Option<Duration>,
    driver: Option<Duration>,
    machine: Option<Duration>,
}

impl Usage {
    fn now(server: u32) -> Self {
        Self {
            server: cpu::of_process(server),
            driver: cpu::of_process(std::process::id()),
            machine: cpu::of_machine(),
        }
    }

    /// That of the server, and that of everybody but server and driver.
    fn since(&self, before: &Self) -> (Option<Duration>, Option<Duration>) {
        let more =
            |now: Option<Duration>, then: Option<Duration>| now.zip(then).map(|(now, then)| now.saturating_sub(then));
        let server = more(self.server, before.server);
        let ours = server.zip(more(self.driver, before.driver)).map(|(server, driver)| server + driver);
        let others = more(self.machine, before.machine).zip(ours).map(|(all, ours)| all.saturating_sub(ours));
        (server, others)
    }
}

/// Bytes of all files in a folder and the folders in it.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_everybody_but_server_and_driver() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let before = Usage { server: seconds(1), driver: seconds(1), machine: seconds(100) };
        let after = Usage { server: seconds(5), driver: seconds(3), machine: seconds(107) };
        assert_eq!(after.since(&before), (seconds(4), seconds(1)));
        let gone = Usage { server: None, ..after };
        assert_eq!(gone.since(&before), (None, None));
    }

    #[test]
    fn all_files_below_count() {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("deeper")).unwrap();
        fs::write(folder.path().join("a.log"), "12345").unwrap();
        fs::write(folder.path().join("deeper/b.log"), "678").unwrap();
        assert_eq!(bytes_below(folder.path()), 8);
        assert_eq!(bytes_below(Path::new("/no/such/folder")), 0);
    }
}
