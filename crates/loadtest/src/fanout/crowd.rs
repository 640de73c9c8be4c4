//! Many clients on one thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Depth, message};
use crate::error::Error;
use crate::http::Url;
use crate::latency::Latency;
use crate::pacing::Schedule;

/// Handshakes at a time.
const HANDSHAKES: usize = 32;
/// How often a look is taken at how many are connected.
const LOOK: Duration = Duration::from_millis(1);
/// Numbers of messages that one sender has for itself.
const NUMBERS: u64 = 1_000_000_000_000;

/// What all clients of a turn have in common.
pub(super) struct Shared {
    deliveries: AtomicU64,
    connected: AtomicUsize,
    lost: AtomicU64,
    recording: AtomicBool,
    latency: Mutex<Latency>,
    bytes: usize,
    pub(super) end: CancellationToken,
}

impl Shared {
    /// `bytes` is the length of a message's content.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            deliveries: AtomicU64::new(0),
            connected: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            recording: AtomicBool::new(false),
            latency: Mutex::default(),
            bytes,
            end: CancellationToken::new(),
        }
    }

    /// Messages that came, to all clients.
    pub(super) fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Connections that ended by themselves.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether latencies of a closed loop are kept from now on.
    pub(super) fn record(&self, recording: bool) {
        self.recording.store(recording, Ordering::Relaxed);
    }

    /// All latencies that were kept.
    pub(super) fn latency(&self) -> Latency {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn took(&self, since: Instant, now: Instant) {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).record(now.saturating_duration_since(since));
    }
}

/// What a client does besides counting.
pub(super) enum Task {
    Listen,
    /// Sends a message whenever one of its own has come back.
    KeepSending {
        sender: u64,
        in_flight: usize,
    },
    /// Sends a message for each permit.
    SendPaced {
        permits: Arc<Semaphore>,
        total: u64,
    },
    /// Records how long messages took from when they were to be sent, from number `first` on.
    Observe {
        schedule: Schedule,
        start: Instant,
        first: u64,
    },
}

/// Clients that are ready.
pub(super) struct Crowd {
    clients: Vec<Client>,
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

/// A crowd of listeners with a thread to itself.
pub(super) struct Thread {
    ready: Option<oneshot::Receiver<Result<(), String>>>,
    thread: thread::JoinHandle<()>,
}

impl Thread {
    /// Waits for all handshakes.
    pub(super) async fn ready(&mut self) -> Result<(), String> {
        match self.ready.take() {
            Some(ready) => ready.await.unwrap_or_else(|_| Err("the clients' thread ended".to_owned())),
            None => Ok(()),
        }
    }

    /// To be called when the turn has ended.
    pub(super) fn join(self) {
        // It has told on standard error why it panicked.
        let _ = self.thread.join();
    }
}

impl Crowd {
    /// Connects so many clients.
    pub(super) async fn connect(url: &Url, depth: Depth, count: usize, shared: &Arc<Shared>) -> Result<Self, String> {
        let mut clients = Vec::with_capacity(count);
        let mut handshakes = JoinSet::new();
        for started in 0..count {
            let url = url.clone();
            handshakes.spawn(async move { Client::connect(&url, depth).await });
            if started >= HANDSHAKES
                && let Some(connected) = handshakes.join_next().await
            {
                clients.push(connected.map_err(|error| error.to_string())??);
                shared.connected.store(clients.len(), Ordering::Relaxed);
            }
        }
        while let Some(connected) = handshakes.join_next().await {
            clients.push(connected.map_err(|error| error.to_string())??);
            shared.connected.store(clients.len(), Ordering::Relaxed);
        }
        Ok(Self { clients, tasks: JoinSet::new(), shared: Arc::clone(shared) })
    }

    /// Connects so many clients, evenly among `others` that another thread connects meanwhile.
    pub(super) async fn connect_among(
        url: &Url,
        depth: Depth,
        count: usize,
        others: usize,
        shared: &Arc<Shared>,
    ) -> Result<Self, String> {
        let mut clients = Vec::with_capacity(count);
        for place in 0..count {
            while shared.connected.load(Ordering::Relaxed) < (2 * place + 1) * others / (2 * count) {
                tokio::time::sleep(LOOK).await;
            }
            clients.push(Client::connect(url, depth).await?);
        }
        Ok(Self { clients, tasks: JoinSet::new(), shared: Arc::clone(shared) })
    }

    /// Connects so many clients on another thread, where they listen until the turn ends.
    pub(super) fn on_its_thread(url: &Url, depth: Depth, count: usize, shared: &Arc<Shared>) -> Result<Thread, Error> {
        let (url, shared) = (url.clone(), Arc::clone(shared));
        let (tell, ready) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("the clients' runtime could not be started"))?;
        let listen = async move {
            let connected = tokio::select! {
                connected = Self::connect(&url, depth, count, &shared) => connected,
                () = shared.end.cancelled() => return,
            };
            match connected {
                Ok(mut crowd) => {
                    crowd.start(|_| Task::Listen);
                    // Nobody waits any more when the run was ended.
                    let _ = tell.send(Ok(()));
                    shared.end.cancelled().await;
                    crowd.finish().await;
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        };
        let thread = thread::Builder::new().name("clients".to_owned()).spawn(move || runtime.block_on(listen));
        Ok(Thread { ready: Some(ready), thread: thread.map_err(Error::io("no thread for the clients"))? })
    }

    /// Gives each client, by its place, something to do.
    pub(super) fn start(&mut self, mut task: impl FnMut(usize) -> Task) {
        for (place, client) in self.clients.drain(..).enumerate() {
            let (task, shared) = (task(place), Arc::clone(&self.shared));
            self.tasks.spawn(async move {
                if run(client, task, &shared).await.is_err() && !shared.end.is_cancelled() {
                    shared.lost.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }

    /// Closes all connections.
    pub(super) async fn finish(&mut self) {
        self.tasks.shutdown().await;
    }
}

async fn run(mut client: Client, task: Task, shared: &Shared) -> std::io::Result<()> {
    match task {
        Task::Listen => loop {
            let mut count = 0;
            client.receive(|_, _| count += 1).await?;
            shared.deliveries.fetch_add(count, Ordering::Relaxed);
        },
        Task::KeepSending { sender, in_flight } => keep_sending(client, sender, in_flight, shared).await,
        Task::SendPaced { permits, total } => {
            let mut sent = 0;
            loop {
                let mut count = 0;
                tokio::select! {
                    permit = permits.acquire(), if sent < total => {
                        permit.map_err(std::io::Error::other)?.forget();
                        client.send(&message(sent, shared.bytes)).await?;
                        sent += 1;
                    }
                    received = client.receive(|_, _| count += 1) => {
                        received?;
                        shared.deliveries.fetch_add(count, Ordering::Relaxed);
                    }
                }
            }
        }
        Task::Observe { schedule, start, first } => loop {
            let mut count = 0;
            client
                .receive(|delivery, _| {
                    count += 1;
                    if let Some(number) = delivery.number().filter(|number| *number >= first) {
                        shared.took(start + schedule.intended(number), Instant::now());
                    }
                })
                .await?;
            shared.deliveries.fetch_add(count, Ordering::Relaxed);
        },
    }
}

async fn keep_sending(mut client: Client, sender: u64, in_flight: usize, shared: &Shared) -> std::io::Result<()> {
    let mut sent = VecDeque::with_capacity(in_flight);
    let mut next = sender * NUMBERS;
    for _ in 0..in_flight {
        client.send(&message(next, shared.bytes)).await?;
        sent.push_back(Instant::now());
        next += 1;
    }
    loop {
        let mut count = 0;
        client
            .receive(|delivery, out| {
                count += 1;
                if delivery.number().is_some_and(|number| number / NUMBERS == sender) {
                    let now = Instant::now();
                    if let Some(sent) = sent.pop_front()
                        && shared.recording.load(Ordering::Relaxed)
                    {
                        shared.took(sent, now);
                    }
                    out.extend_from_slice(&message(next, shared.bytes));
                    sent.push_back(now);
                    next += 1;
                }
            })
            .await?;
        shared.deliveries.fetch_add(count, Ordering::Relaxed);
    }
}
