//! `loadtest http`: one request, again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::http::{Answer, Request, Url};
use crate::load::{self, Load, Pace, Work};
use crate::progress::Progress;
use crate::server_cpu::ServerCpu;
use crate::tally::{Summary, Tally};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is asked for.
    pub url: Url,
    /// Header fields, names and values.
    pub headers: Vec<(String, String)>,
    /// Requests per second; `None` for as many as the server answers.
    pub rate: Option<f64>,
    /// For how long.
    pub duration: Duration,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Processes of the server, whose processor time is told.
    pub pids: Vec<u32>,
}

struct SameRequest(Vec<u8>);

impl Work for SameRequest {
    fn request(&self, _number: u64, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0);
    }

    fn check(&self, answer: &Answer, _from: Instant) -> Result<(), String> {
        if (200..400).contains(&answer.status) {
            return Ok(());
        }
        Err(format!("status {}", answer.status))
    }
}

/// Sends it. The counts, and the report.
///
/// # Errors
/// When a process is not there, or the machine refuses a thread. Requests that fail are counted.
pub async fn run(plan: &Plan, stop: &CancellationToken) -> Result<(Tally, Summary), Error> {
    let headers: Vec<_> = plan.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = Request { headers: &headers, ..Request::default() }.to_bytes(&plan.url);
    let load = Load {
        address: plan.url.address,
        connections: plan.connections,
        duration: plan.duration,
        pace: plan.rate.map_or(Pace::Closed, |rate| Pace::Open { rate }),
        timeout: plan.timeout,
    };
    let cpu = ServerCpu::start(&plan.pids)?;
    let progress = Progress::watch(plan.url.path.clone(), plan.duration);
    let outcome = load::run(&load, Arc::new(SameRequest(request)), progress.answered(), stop).await?;
    drop(progress);
    let summary = outcome.summary(cpu.used());
    Ok((outcome.tally, summary))
}
