//! `loadtest fanout`: what a Socket.IO server takes to bring a message to everybody in a room, and to hold idle sockets.
//!
//! Servers speak the protocol of `crates/socketio/examples/bench.rs`. They are measured in turns, in the same run, since
//! only ratios between them say much on a machine that others use, too.

pub mod client;
mod crowd;
pub mod frames;
mod report;

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::http::Url;
use crate::memory;
use crate::pacing::{Pacer, Schedule};
use crate::progress::say;
use crate::server_cpu::ServerCpu;
use client::Depth;
use crowd::{Crowd, Shared, Task};
pub use report::{Report, Slice};

/// Clients whose latency is observed, on a thread that the others don't keep busy.
const OBSERVERS: usize = 20;
/// How long messages that are on their way may take after the end.
const DRAIN: Duration = Duration::from_secs(5);

/// A server under test.
#[derive(Clone, Debug)]
pub struct Server {
    /// How the report calls it.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Where WebSockets are opened.
    pub url: Url,
    /// It speaks no Socket.IO: only idle WebSockets can be measured.
    pub bare: bool,
}

impl FromStr for Server {
    type Err = String;

    /// Reads `NAME=PID=URL`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write NAME=PID=URL, such as node=4711=http://127.0.0.1:3000".to_owned();
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (pid, url) = rest.split_once('=').ok_or_else(wrong)?;
        let pid = pid.parse().map_err(|_| wrong())?;
        let mut url: Url = url.parse()?;
        if name.is_empty() {
            return Err(wrong());
        }
        if url.path == "/" {
            url = url.at("/socket.io/?EIO=4&transport=websocket");
        }
        Ok(Self { name: name.to_owned(), pid, url, bare: false })
    }
}

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// A few of them send the next message when their own copy of one comes back: finds out how much the server can do.
    Saturate {
        /// How many send.
        senders: usize,
        /// Messages that each has on their way.
        in_flight: usize,
    },
    /// One sends at a steady rate, whatever becomes of the messages: finds out how long they take.
    Paced {
        /// Copies delivered a second, over all clients.
        deliveries: f64,
    },
    /// Nothing but answer pings: finds out what a socket takes in memory.
    Idle,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order of the first round.
    pub servers: Vec<Server>,
    /// What the clients do.
    pub mode: Mode,
    /// Clients, all in one room.
    pub clients: usize,
    /// Length of a message's content.
    pub bytes: usize,
    /// Before anything is counted, in each turn.
    pub warm_up: Duration,
    /// Of each turn, without the warm-up.
    pub duration: Duration,
    /// Rounds; each has a turn of every server.
    pub rounds: u32,
}

/// Measures all servers in turns, each round in the order opposite to that of the one before.
///
/// # Errors
/// When a process is not there, or a server does not speak as it has to. Connections lost in a turn are counted.
pub async fn run(plan: &Plan, stop: &CancellationToken) -> Result<Report, Error> {
    if plan.servers.iter().any(|server| server.bare) && !matches!(plan.mode, Mode::Idle) {
        return Err(Error::Usage("a --bare server has no rooms: measure it with --idle".to_owned()));
    }
    let mut resident_before = Vec::new();
    for server in &plan.servers {
        let resident = memory::resident_kib(server.pid);
        let missing = || Error::Usage(format!("{}: no process {} in /proc", server.name, server.pid));
        resident_before.push(resident.ok_or_else(missing)?);
    }
    let mut report = Report::new(plan);
    say(report::HEADING);
    for round in 1..=plan.rounds {
        let mut turns: Vec<_> = plan.servers.iter().zip(&resident_before).collect();
        if round % 2 == 0 {
            turns.reverse();
        }
        for (server, before) in turns {
            if let Some(slice) = turn(plan, server, *before, round, stop).await? {
                say(&slice.to_string());
                report.slices.push(slice);
            }
            if stop.is_cancelled() {
                return if report.slices.is_empty() { Err(Error::Interrupted) } else { Ok(report) };
            }
        }
    }
    Ok(report)
}

/// One server under load for a while; `None` if it was interrupted.
async fn turn(
    plan: &Plan,
    server: &Server,
    resident_before: u64,
    round: u32,
    stop: &CancellationToken,
) -> Result<Option<Slice>, Error> {
    let shared = Arc::new(Shared::new(plan.bytes));
    let depth = match plan.mode {
        Mode::Idle if server.bare => Depth::Bare,
        Mode::Idle => Depth::Connected,
        Mode::Saturate { .. } | Mode::Paced { .. } => Depth::Joined,
    };
    let senders = match plan.mode {
        Mode::Saturate { senders, .. } => senders,
        Mode::Paced { .. } => 1,
        Mode::Idle => 0,
    };
    let watching = plan.clients.min(OBSERVERS.max(senders));
    let failed = |error: String| Error::Failed(format!("{}: {error}", server.name));
    let _end = shared.end.clone().drop_guard();
    let mut thread = Crowd::on_its_thread(&server.url, depth, plan.clients - watching, &shared)?;
    // Among the others, not before or after them: a server may go through a room in the order of arrival.
    let among = Crowd::connect_among(&server.url, depth, watching, plan.clients - watching, &shared);
    let ((), mut crowd) = tokio::try_join!(thread.ready(), among).map_err(failed)?;

    let start = Instant::now();
    let mut pacer = None;
    match plan.mode {
        Mode::Saturate { in_flight, .. } => crowd.start(|index| {
            if index < senders { Task::KeepSending { sender: index as u64, in_flight } } else { Task::Listen }
        }),
        Mode::Paced { deliveries } => {
            let schedule = Schedule::new(deliveries / plan.clients as f64, plan.warm_up + plan.duration);
            let paced = Pacer::start(schedule, start).map_err(Error::io("no thread for the pacing"))?;
            let permits = paced.permits();
            pacer = Some(paced);
            let first = schedule.due(plan.warm_up);
            let mut task = Some(Task::SendPaced { permits, total: schedule.total() });
            crowd.start(|_| task.take().unwrap_or(Task::Observe { schedule, start, first }));
        }
        Mode::Idle => crowd.start(|_| Task::Listen),
    }

    wait(plan.warm_up, stop).await;
    let cpu = ServerCpu::start(&[server.pid])?;
    let (began, before) = (Instant::now(), shared.deliveries());
    shared.record(true);
    wait(plan.duration, stop).await;
    shared.record(false);
    let (elapsed, deliveries, cpu) = (began.elapsed(), shared.deliveries() - before, cpu.used());
    let resident = memory::resident_kib(server.pid).unwrap_or_default();
    let mut missing = 0;
    if let Mode::Paced { deliveries } = plan.mode {
        let schedule = Schedule::new(deliveries / plan.clients as f64, plan.warm_up + plan.duration);
        let expected = schedule.total() * plan.clients as u64;
        let until = Instant::now() + DRAIN;
        while shared.deliveries() < expected && Instant::now() < until && !stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        missing = expected.saturating_sub(shared.deliveries());
    }
    drop(pacer);
    let lost = shared.lost();
    shared.end.cancel();
    crowd.finish().await;
    thread.join();
    if stop.is_cancelled() {
        return Ok(None);
    }
    Ok(Some(Slice::new(
        round,
        &server.name,
        report::Measured {
            deliveries,
            elapsed,
            cpu,
            latency: shared.latency(),
            resident_kib: resident,
            resident_kib_per_socket: (resident as f64 - resident_before as f64) / plan.clients as f64,
            lost,
            missing,
        },
    )))
}

async fn wait(duration: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_name_a_process_and_an_address() {
        let server: Server = "souk=47=http://127.0.0.1:3000".parse().unwrap();
        assert_eq!((server.name.as_str(), server.pid), ("souk", 47));
        assert_eq!(server.url.path, "/socket.io/?EIO=4&transport=websocket");
        let server: Server = "a=1=http://127.0.0.1:3000/ws?b=c".parse().unwrap();
        assert_eq!(server.url.path, "/ws?b=c");
        for bad in ["", "a", "a=b=http://127.0.0.1", "=1=http://127.0.0.1", "a=1", "a=1=https://127.0.0.1"] {
            assert!(bad.parse::<Server>().is_err(), "{bad:?}");
        }
    }
}
