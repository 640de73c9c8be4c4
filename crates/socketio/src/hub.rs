//! What all workers of one server share: connections by id, namespaces, and the one order of operations.
//!
//! Sockets and rooms live in tables of the worker that holds them ([`crate::worker`]), without locks. Whatever changes
//! or uses those tables is an [`Op`], posted under one lock to the mailboxes it concerns: so every worker sees the same
//! order, a broadcast is one message per worker, and a connection can change workers between two operations without
//! missing or doubling one.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Instant,
};

use crate::{
    adapter::{Adapter, SystemClock},
    config::Config,
    engine::{Transport, conn::Conn},
    id::Id,
    namespace::{Namespace, Runtime},
    reason::DisconnectReason,
    stats::Stats,
    sync::Mutex,
    worker::{Op, Resident, Worker, WorkerIndex},
};

const SHARDS: usize = 16;

/// One server, shared by all workers of the process.
pub(crate) struct Hub {
    /// Tells the servers of one process apart.
    pub(crate) number: usize,
    pub(crate) config: Config,
    pub(crate) protocol: Protocol,
    pub(crate) stats: Stats,
    pub(crate) clock: SystemClock,
    started: Instant,
    conns: [Mutex<HashMap<Id, Arc<Conn>>>; SHARDS],
    per_ip: Mutex<HashMap<IpAddr, u32>>,
    mailboxes: Mutex<Vec<Mailbox>>,
    behind: Behind,
    closing: AtomicBool,
    /// How many are draining the server, or have drained it.
    draining: AtomicUsize,
}

/// What is spoken over the connections.
pub(crate) enum Protocol {
    SocketIo(Namespaces),
    /// Engine.IO alone: messages go to one function.
    Bare(Box<dyn Fn(crate::bare::Connection, crate::bare::Message) + Send + Sync>),
}

/// The namespaces of a server, and what was said about those that may come to be.
pub(crate) struct Namespaces {
    pub(crate) adapter: Arc<dyn Adapter>,
    open: RwLock<HashMap<Arc<str>, Arc<Runtime>>>,
    dynamic: Vec<Arc<Namespace>>,
    dynamic_open: AtomicUsize,
}

#[derive(Default)]
struct Mailbox {
    /// No worker reads a mailbox that is not alive; another worker may take it over.
    alive: bool,
    ops: Vec<Op>,
    waker: Option<Waker>,
    pending: Arc<AtomicBool>,
}

/// Mailboxes in which more lies than their workers should have to do at once.
struct Behind {
    most: usize,
    mailboxes: AtomicUsize,
}

impl Behind {
    /// All was taken from a mailbox in which so much lay.
    fn emptied(&self, lay: usize) {
        if lay >= self.most {
            self.mailboxes.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Mailbox {
    fn put(&mut self, op: Op, behind: &Behind) -> Option<Waker> {
        if !self.alive {
            return None;
        }
        self.ops.push(op);
        if self.ops.len() == behind.most {
            behind.mailboxes.fetch_add(1, Ordering::Relaxed);
        }
        self.pending.store(true, Ordering::Release);
        self.waker.take()
    }
}

impl Namespaces {
    pub(crate) fn new(adapter: Arc<dyn Adapter>, namespaces: Vec<Namespace>) -> Self {
        let mut open = HashMap::new();
        let mut dynamic = Vec::new();
        for namespace in namespaces {
            let namespace = Arc::new(namespace);
            match namespace.name() {
                Some(name) => {
                    let name: Arc<str> = name.into();
                    let runtime = Runtime::planned(name.clone(), namespace);
                    runtime.open_at(open.len());
                    open.insert(name, Arc::new(runtime));
                }
                None => dynamic.push(namespace),
            }
        }
        Self { adapter, open: RwLock::new(open), dynamic, dynamic_open: AtomicUsize::new(0) }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Arc<str>, Arc<Runtime>>> {
        self.open.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells the adapter of the namespaces that are there from the start.
    pub(crate) fn announce(&self) {
        let names: Vec<_> = self.read().keys().cloned().collect();
        for name in names {
            self.adapter.open(&name);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Runtime>> {
        self.read().values().cloned().collect()
    }

    /// A namespace that is there.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Runtime>> {
        self.read().get(name).cloned()
    }

    /// A namespace that is there, or would come to be because a rule allows it.
    pub(crate) fn find_or_plan(&self, name: &str) -> Option<Arc<Runtime>> {
        if let Some(found) = self.find(name) {
            return Some(found);
        }
        let rule = self.dynamic.iter().find(|rule| rule.allows(name))?;
        Some(Arc::new(Runtime::planned(name.into(), rule.clone())))
    }

    /// Opens a planned namespace, now that somebody may enter; gives the one of its name that is open, which is another if
    /// two clients came at once. None if there are as many as allowed.
    pub(crate) fn open(&self, planned: &Arc<Runtime>, most: usize) -> Option<Arc<Runtime>> {
        if planned.index().is_some() {
            return Some(planned.clone());
        }
        let mut open = self.open.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let index = open.len();
        match open.entry(planned.name.clone()) {
            Entry::Occupied(found) => return Some(found.get().clone()),
            Entry::Vacant(free) => {
                if self.dynamic_open.fetch_add(1, Ordering::Relaxed) >= most {
                    self.dynamic_open.fetch_sub(1, Ordering::Relaxed);
                    tracing::warn!(namespace = &*planned.name, most, "too many dynamic namespaces: refused");
                    return None;
                }
                planned.open_at(index);
                free.insert(planned.clone());
            }
        }
        drop(open);
        self.adapter.open(&planned.name);
        Some(planned.clone())
    }
}

impl Hub {
    pub(crate) fn new(config: Config, protocol: Protocol) -> Arc<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let behind = Behind { most: config.limits.posted_operations.max(1), mailboxes: AtomicUsize::new(0) };
        Arc::new(Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            config,
            protocol,
            stats: Stats::default(),
            clock: SystemClock::new(),
            started: Instant::now(),
            conns: std::array::from_fn(|_| Mutex::default()),
            per_ip: Mutex::default(),
            mailboxes: Mutex::default(),
            behind,
            closing: AtomicBool::new(false),
            draining: AtomicUsize::new(0),
        })
    }

    pub(crate) fn namespaces(&self) -> Option<&Namespaces> {
        match &self.protocol {
            Protocol::SocketIo(namespaces) => Some(namespaces),
            Protocol::Bare(_) => None,
        }
    }

    /// Whether no new connections are taken any more, or for now.
    pub(crate) fn is_stopping(&self) -> bool {
        self.closing.load(Ordering::SeqCst) || self.draining.load(Ordering::SeqCst) > 0
    }

    /// New connections are refused from now on.
    pub(crate) fn begin_draining(&self) {
        self.draining.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes back [`Self::begin_draining`].
    pub(crate) fn cancel_draining(&self) {
        self.draining.fetch_sub(1, Ordering::SeqCst);
    }

    /// Milliseconds since the server started.
    pub(crate) fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    // --- connections -------------------------------------------------------------------------------

    fn shard(&self, id: Id) -> &Mutex<HashMap<Id, Arc<Conn>>> {
        &self.conns[usize::from(id.as_str().as_bytes()[0]) % SHARDS]
    }

    pub(crate) fn find(&self, id: Id) -> Option<Arc<Conn>> {
        self.shard(id).lock().get(&id).cloned()
    }

    pub(crate) fn remember(&self, conn: &Arc<Conn>) {
        self.shard(conn.id).lock().insert(conn.id, conn.clone());
        self.stats.opened.one();
        self.count_connection(conn.transport(), 1);
    }

    pub(crate) fn count_connection(&self, transport: Transport, change: i64) {
        match transport {
            Transport::Polling => self.stats.polling_connections.add(change),
            Transport::WebSocket => self.stats.websocket_connections.add(change),
        }
    }

    /// The connection has ended. `told_later`: its client polls, and learns it by its next request.
    pub(crate) fn forget(&self, conn: &Arc<Conn>, told_later: bool) {
        if !told_later {
            self.shard(conn.id).lock().remove(&conn.id);
        }
        if self.config.limits.connections_per_ip.is_some()
            && let Some(ip) = conn.ip
            && let Entry::Occupied(mut count) = self.per_ip.lock().entry(ip)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// A polling request was answered: a connection that has ended needs no further one.
    pub(crate) fn polled(&self, conn: &Arc<Conn>) {
        if conn.is_closed() {
            self.shard(conn.id).lock().remove(&conn.id);
        }
    }

    /// Counts a connection of this address in; false if there are as many as allowed.
    pub(crate) fn admit(&self, ip: Option<IpAddr>) -> bool {
        let (Some(most), Some(ip)) = (self.config.limits.connections_per_ip, ip) else { return true };
        let mut per_ip = self.per_ip.lock();
        let count = per_ip.entry(ip).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    /// All connections, as of now.
    pub(crate) fn connections(&self) -> Vec<Arc<Conn>> {
        self.conns.iter().flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Ends all connections; no new ones are let in.
    pub(crate) fn close_all(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for conn in self.connections() {
            conn.close(DisconnectReason::ServerShuttingDown);
        }
    }

    /// A WebSocket took over from polling; the connection is to move to the worker that holds it, this one.
    pub(crate) fn upgraded(self: &Arc<Self>, conn: &Arc<Conn>) {
        self.stats.upgraded.one();
        self.count_connection(Transport::Polling, -1);
        self.count_connection(Transport::WebSocket, 1);
        let to = self.worker().index();
        if conn.home() != to {
            self.post(conn, Op::MoveOut { conn: conn.clone(), to });
        }
    }

    /// Gives connections to other workers, with the sockets that `take_out` takes out of this worker's tables.
    ///
    /// Only while this worker has done all that was posted to it: then everything before is done, and all that comes after
    /// finds the connections at their new home, in the order in which it is posted. Until that moment they stay as they are.
    pub(crate) fn hand_over(
        &self,
        from: WorkerIndex,
        leaving: &mut Vec<(Arc<Conn>, WorkerIndex)>,
        mut take_out: impl FnMut(&Conn) -> Vec<Resident>,
    ) {
        let mut wakers = Vec::new();
        // Dropped after the lock: a connection may take others' values along.
        let mut gone = Vec::new();
        let mut mailboxes = self.mailboxes.lock();
        if mailboxes[from as usize].ops.is_empty() {
            for (conn, to) in leaving.drain(..) {
                if mailboxes[to as usize].alive {
                    let residents = take_out(&conn);
                    conn.set_home(to);
                    wakers.extend(mailboxes[to as usize].put(Op::MoveIn { conn, residents }, &self.behind));
                } else {
                    gone.push(conn);
                }
            }
        }
        drop(mailboxes);
        wakers.into_iter().for_each(Waker::wake);
    }

    // --- workers and their mailboxes ---------------------------------------------------------------

    /// This thread's worker; it is made if there is none. To be called where actix runs handlers.
    pub(crate) fn worker(self: &Arc<Self>) -> Rc<Worker> {
        Worker::of(self)
    }

    /// A mailbox for a new worker, and the flag that says whether something lies in it.
    pub(crate) fn register(&self) -> (WorkerIndex, Arc<AtomicBool>) {
        let mut mailboxes = self.mailboxes.lock();
        let index = mailboxes.iter().position(|mailbox| !mailbox.alive).unwrap_or_else(|| {
            mailboxes.push(Mailbox::default());
            mailboxes.len() - 1
        });
        let mailbox = &mut mailboxes[index];
        *mailbox = Mailbox { alive: true, ..Mailbox::default() };
        (WorkerIndex::try_from(index).expect("a process has fewer workers"), mailbox.pending.clone())
    }

    /// The worker's thread ends.
    pub(crate) fn unregister(&self, index: WorkerIndex) {
        let left = {
            let mut mailboxes = self.mailboxes.lock();
            self.behind.emptied(mailboxes[index as usize].ops.len());
            std::mem::take(&mut mailboxes[index as usize])
        };
        // Only now that the lock is free: what an operation holds may end connections when it is dropped.
        drop(left);
        // Nobody would serve them any more, or keep their time.
        for conn in self.connections() {
            if conn.home() == index {
                conn.close(DisconnectReason::ServerShuttingDown);
                self.polled(&conn);
            }
        }
    }

    /// Takes what lies in a worker's mailbox, giving an empty vector for it.
    pub(crate) fn take(&self, index: WorkerIndex, ops: &mut Vec<Op>) {
        let mut mailboxes = self.mailboxes.lock();
        let mailbox = &mut mailboxes[index as usize];
        mailbox.pending.store(false, Ordering::Release);
        self.behind.emptied(mailbox.ops.len());
        std::mem::swap(&mut mailbox.ops, ops);
    }

    /// Whether a worker has more to do than it should: clients are not to be read from until it has caught up.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.mailboxes.load(Ordering::Relaxed) > 0
    }

    /// Leaves a waker with the mailbox, to be woken by the next operation; false if one lies there already.
    pub(crate) fn wait(&self, index: WorkerIndex, waker: &Waker) -> bool {
        let mut mailboxes = self.mailboxes.lock();
        let mailbox = &mut mailboxes[index as usize];
        if !mailbox.ops.is_empty() {
            return false;
        }
        mailbox.waker = Some(waker.clone());
        true
    }

    /// Has an operation done by the worker that holds this connection: at once if that is this thread.
    pub(crate) fn dispatch(&self, conn: &Conn, op: Op) {
        if let Some(worker) = Worker::current(self)
            && worker.index() == conn.home()
            && worker.is_idle()
        {
            worker.drain();
            // What lay in the mailbox may have taken the connection elsewhere.
            if worker.index() == conn.home() {
                worker.apply_now(op);
                return;
            }
        }
        self.post(conn, op);
    }

    /// Has an operation done by the worker that holds this connection, after all that was posted before.
    pub(crate) fn post(&self, conn: &Conn, op: Op) {
        let waker = self.mailboxes.lock()[conn.home() as usize].put(op, &self.behind);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has an operation done by every worker, in one order with all others. Gives the number of workers.
    pub(crate) fn post_all(&self, op: impl Fn() -> Op) -> usize {
        let mut wakers = Vec::new();
        let mut workers = 0;
        for mailbox in self.mailboxes.lock().iter_mut().filter(|mailbox| mailbox.alive) {
            workers += 1;
            wakers.extend(mailbox.put(op(), &self.behind));
        }
        wakers.into_iter().for_each(Waker::wake);
        workers
    }

    /// Does what this thread's own worker has to do before the caller goes on: who emits to a room and then to a socket
    /// reaches that socket in this order.
    ///
    /// Not a part of [`Self::post_all`]: adapters call that while they hold their own order still, and what is done here
    /// may call them.
    pub(crate) fn catch_up(&self) {
        if let Some(worker) = Worker::current(self)
            && worker.is_idle()
        {
            worker.drain();
        }
    }

    /// Runs something on any worker: none in particular, but where handlers may run.
    pub(crate) fn run(&self, preferred: WorkerIndex, task: Box<dyn FnOnce() + Send>) {
        let waker = {
            let mut mailboxes = self.mailboxes.lock();
            let alive = mailboxes.get(preferred as usize).is_some_and(|mailbox| mailbox.alive);
            let chosen =
                if alive { Some(preferred as usize) } else { mailboxes.iter().position(|mailbox| mailbox.alive) };
            chosen.and_then(|index| mailboxes[index].put(Op::Run(task), &self.behind))
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
