//! One actix worker's share of the server: its sockets, their rooms, its timers.
//!
//! Everything here belongs to one thread and needs no lock. A broadcast is one [`Op`] in the mailbox of each worker,
//! which walks the room and hands the same bytes to each socket.

mod delivery;
mod table;

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::BinaryHeap,
    future::Future as _,
    pin::pin,
    rc::{Rc, Weak as RcWeak},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Offset, Room,
    adapter::{SocketInfo, Target},
    engine::conn::{Conn, Heartbeat, Pushed},
    events,
    hub::Hub,
    id::Id,
    reason::DisconnectReason,
    socket::{Acker, Connect, Inner, Phase, Released},
};

use self::table::Table;
pub(crate) use self::{
    delivery::{AckRequest, Delivery, Tally},
    table::Resident,
};

/// Which of the process's workers.
pub(crate) type WorkerIndex = u32;

/// Batches of operations done in one go before other tasks get their turn.
const BATCHES_PER_TURN: usize = 8;

/// A sweep over fewer sockets than this never makes the next one wait.
const WIDE_SWEEP: usize = 64;
/// The timer knows whole milliseconds: a pause that is shorter would be longer.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// What a worker is told to do.
pub(crate) enum Op {
    Deliver(Arc<Delivery>),
    Send {
        socket: Arc<Inner>,
        frames: Bytes,
        volatile: bool,
    },
    /// A socket comes in. With frames, it is connected by them; without, it keeps what comes until it is released.
    /// The offset up to which the worker had delivered goes to `added`.
    Add {
        socket: Arc<Inner>,
        connect: Option<Connect>,
        added: Option<oneshot::Sender<Offset>>,
    },
    Release(Box<Released>),
    Remove(Arc<Inner>),
    Join {
        socket: Arc<Inner>,
        rooms: Vec<Room>,
    },
    Leave {
        socket: Arc<Inner>,
        rooms: Vec<Room>,
    },
    Disconnect {
        socket: Arc<Inner>,
        close: bool,
    },
    /// The connection ends, since the server is being drained.
    Drain(Arc<Conn>),
    JoinAll {
        namespace: Option<usize>,
        target: Arc<Target>,
        rooms: Arc<[Room]>,
    },
    LeaveAll {
        namespace: Option<usize>,
        target: Arc<Target>,
        rooms: Arc<[Room]>,
    },
    DisconnectAll {
        namespace: Option<usize>,
        target: Arc<Target>,
        close: bool,
    },
    Fetch {
        namespace: Option<usize>,
        target: Arc<Target>,
        to: mpsc::UnboundedSender<Vec<SocketInfo>>,
    },
    Supersede {
        namespace: Option<usize>,
        pid: Id,
        epoch: u64,
    },
    /// The connection's WebSocket is at another worker.
    MoveOut {
        conn: Arc<Conn>,
        to: WorkerIndex,
    },
    MoveIn {
        conn: Arc<Conn>,
        residents: Vec<Resident>,
    },
    Run(Box<dyn FnOnce() + Send>),
}

/// `quietly`: the caller has it sent, see [`Conn::push_quietly`].
fn push(socket: &Arc<Inner>, frames: Bytes, volatile: bool, stands_at: Option<Offset>, quietly: bool) -> Pushed {
    match socket.phase() {
        Phase::Live if quietly => socket.conn.push_quietly(frames, volatile),
        Phase::Live => socket.conn.push(frames, volatile),
        Phase::Buffering => {
            socket.hold(stands_at, frames);
            Pushed::Queued
        }
        Phase::Pending | Phase::Closed => Pushed::Gone,
    }
}

fn send(socket: &Arc<Inner>, frames: Bytes, volatile: bool, offset: Option<Offset>) {
    match push(socket, frames, volatile, offset, false) {
        Pushed::Overflow => socket.conn.close(DisconnectReason::SlowConsumer),
        Pushed::Queued | Pushed::Asleep => socket.conn.hub.stats.messages_queued.one(),
        Pushed::Dropped | Pushed::Gone => {}
    }
}

fn disconnect(socket: &Arc<Inner>, close: bool) {
    match socket.phase() {
        Phase::Live => send(socket, socket.namespace.disconnect_frame.clone(), false, None),
        // Its client waits for the namespace, and learns by this that it won't have it.
        Phase::Buffering => drop(socket.conn.push(socket.namespace.disconnect_frame.clone(), false)),
        // Only a middleware knows it yet, whose word is its result.
        Phase::Pending if !close => return,
        Phase::Pending | Phase::Closed => {}
    }
    socket.finish(DisconnectReason::ServerNamespaceDisconnect);
    if close {
        // The others of the connection are told, too.
        let others = socket.conn.client.lock().sockets().to_vec();
        for other in others {
            disconnect(&other, false);
        }
        socket.conn.close(DisconnectReason::ForcedServerClose);
    }
}

fn release(released: Released) {
    let Released { socket, connect, missed, up_to } = released;
    let Some(held) = socket.release() else { return };
    events::connected(&socket, connect.auth);
    send(&socket, connect.frames, false, None);
    for frames in missed {
        send(&socket, frames, false, None);
    }
    for (offset, frames) in held {
        if offset.is_none_or(|offset| offset > up_to) {
            send(&socket, frames, false, None);
        }
    }
}

struct Timer {
    at: Instant,
    conn: Weak<Conn>,
    what: Due,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Heartbeat,
    /// A namespace has to be joined by now.
    Connect,
    /// A connection that has ended has been kept long enough for its client to hear of it.
    Forget,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Timer {}
impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

thread_local! {
    static WORKERS: RefCell<Vec<Rc<Worker>>> = const { RefCell::new(Vec::new()) };
}

/// This thread's part of a server.
pub(crate) struct Worker {
    hub: Weak<Hub>,
    hub_number: usize,
    index: WorkerIndex,
    pending: Arc<AtomicBool>,
    busy: Cell<bool>,
    tables: RefCell<Vec<Table>>,
    timers: RefCell<BinaryHeap<Reverse<Timer>>>,
    waker: RefCell<Option<Waker>>,
    spare: RefCell<Vec<Op>>,
    /// Connections that are to be given to other workers.
    leaving: RefCell<Vec<(Arc<Conn>, WorkerIndex)>>,
    /// Connections with broadcasts in their queues that nobody sends before the next sweep.
    asleep: RefCell<Vec<Arc<Conn>>>,
    /// When the next sweep may begin.
    sweep_from: Cell<Instant>,
    /// Not all sockets of the last sweep have had their turn.
    sweeping: Cell<bool>,
    this: RcWeak<Self>,
}

/// Operations are being done, as long as this is there.
struct Busy<'a>(&'a Cell<bool>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.unregister(self.index);
        }
    }
}

impl Worker {
    /// This thread's worker of the server, if it has one.
    pub(crate) fn current(hub: &Hub) -> Option<Rc<Self>> {
        WORKERS
            .try_with(|workers| workers.borrow().iter().find(|worker| worker.hub_number == hub.number).cloned())
            .ok()
            .flatten()
    }

    /// This thread's worker of the server; it is made, and its task begun, if there is none.
    pub(crate) fn of(hub: &Arc<Hub>) -> Rc<Self> {
        if let Some(found) = Self::current(hub) {
            return found;
        }
        let (index, pending) = hub.register();
        let worker = Rc::new_cyclic(|this| Self {
            hub: Arc::downgrade(hub),
            hub_number: hub.number,
            index,
            pending,
            busy: Cell::new(false),
            tables: RefCell::default(),
            timers: RefCell::default(),
            waker: RefCell::default(),
            spare: RefCell::default(),
            leaving: RefCell::default(),
            asleep: RefCell::default(),
            sweep_from: Cell::new(Instant::now()),
            sweeping: Cell::new(false),
            this: this.clone(),
        });
        WORKERS.with(|workers| {
            let mut workers = workers.borrow_mut();
            // Those of servers that are gone.
            workers.retain(|worker| worker.hub.strong_count() > 0);
            workers.push(worker.clone());
        });
        actix_rt::spawn(run(Rc::downgrade(&worker)));
        worker
    }

    pub(crate) fn index(&self) -> WorkerIndex {
        self.index
    }

    /// Whether operations may be done now; not from within another one.
    pub(crate) fn is_idle(&self) -> bool {
        !self.busy.get()
    }

    /// Does all that lies in the mailbox.
    pub(crate) fn drain(&self) {
        if !self.pending.load(Ordering::Acquire) || self.busy.replace(true) {
            return;
        }
        let _busy = Busy(&self.busy);
        if let Some(hub) = self.hub.upgrade() {
            let mut ops = self.spare.take();
            // What is posted faster than it can be done must not keep the sockets from sending.
            for _ in 0..BATCHES_PER_TURN {
                hub.take(self.index, &mut ops);
                if ops.is_empty() {
                    break;
                }
                for op in ops.drain(..) {
                    self.apply(&hub, op);
                }
                // If more lies in the mailbox by now, after that.
                let mut leaving = self.leaving.borrow_mut();
                if !leaving.is_empty() {
                    hub.hand_over(self.index, &mut leaving, |conn| self.take_out(conn));
                }
            }
            self.spare.replace(ops);
        }
    }

    /// The sockets of a connection, which leave the tables.
    fn take_out(&self, conn: &Conn) -> Vec<Resident> {
        let client = conn.client.lock();
        let sockets = client.sockets().iter();
        sockets.filter_map(|socket| self.with_table(socket.namespace.index(), |table| table.remove(socket))).collect()
    }

    /// Does one operation now. The mailbox has been drained.
    pub(crate) fn apply_now(&self, op: Op) {
        self.busy.set(true);
        {
            let _busy = Busy(&self.busy);
            if let Some(hub) = self.hub.upgrade() {
                self.apply(&hub, op);
            }
        }
        // What the operation itself asked for.
        self.drain();
    }

    /// A namespace that is not open has no sockets.
    fn with_table<T: Default>(&self, namespace: Option<usize>, use_it: impl FnOnce(&mut Table) -> T) -> T {
        let Some(namespace) = namespace else { return T::default() };
        let mut tables = self.tables.borrow_mut();
        if tables.len() <= namespace {
            tables.resize_with(namespace + 1, Table::new);
        }
        use_it(&mut tables[namespace])
    }

    fn apply(&self, hub: &Arc<Hub>, op: Op) {
        match op {
            Op::Deliver(delivery) => self.deliver(hub, &delivery),
            Op::Send { socket, frames, volatile } => send(&socket, frames, volatile, None),
            Op::Add { socket, connect, added } => self.add(&socket, connect, added),
            Op::Release(released) => release(*released),
            Op::Remove(socket) => drop(self.with_table(socket.namespace.index(), |table| table.remove(&socket))),
            Op::Join { socket, rooms } => {
                self.with_table(socket.namespace.index(), |table| table.join(&socket, &rooms));
            }
            Op::Leave { socket, rooms } => {
                self.with_table(socket.namespace.index(), |table| table.leave(&socket, &rooms));
            }
            Op::Disconnect { socket, close } => disconnect(&socket, close),
            Op::Drain(conn) => {
                if !conn.is_closed() {
                    hub.stats.drained.one();
                    conn.close(DisconnectReason::ServerShuttingDown);
                }
            }
            Op::JoinAll { namespace, target, rooms } => self.with_table(namespace, |table| {
                for socket in table.selected(&target) {
                    table.join(&socket, &socket.add_rooms(&rooms));
                }
            }),
            Op::LeaveAll { namespace, target, rooms } => self.with_table(namespace, |table| {
                for socket in table.selected(&target) {
                    table.leave(&socket, &socket.remove_rooms(&rooms));
                }
            }),
            Op::DisconnectAll { namespace, target, close } => {
                for socket in self.with_table(namespace, |table| table.selected(&target)) {
                    disconnect(&socket, close);
                }
            }
            Op::Fetch { namespace, target, to } => {
                let found = self.with_table(namespace, |table| table.selected(&target));
                let infos = found.iter().filter(|socket| socket.is_live()).map(|socket| socket.info()).collect();
                // Nobody may wait for the answer any more.
                let _ = to.send(infos);
            }
            Op::Supersede { namespace, pid, epoch } => {
                let found = self.with_table(namespace, |table| {
                    table.by_pid.get(&pid).map(|&slot| table.sockets[slot as usize].socket.clone())
                });
                if let Some(socket) = found.filter(|socket| socket.epoch() < epoch) {
                    socket.supersede();
                }
            }
            Op::MoveOut { conn, to } => self.leaving.borrow_mut().push((conn, to)),
            Op::MoveIn { conn, residents } => {
                for Resident { socket, rooms } in residents {
                    // The end of one that has ended meanwhile may have gone by already.
                    if socket.phase() != Phase::Closed {
                        self.with_table(socket.namespace.index(), |table| table.insert(&socket, &rooms));
                    }
                }
                self.watch_heartbeat(&conn);
            }
            Op::Run(task) => task(),
        }
    }

    fn deliver(&self, hub: &Arc<Hub>, delivery: &Delivery) {
        let mut overflown = Vec::new();
        let mut asleep = self.asleep.borrow_mut();
        let mut queued = 0;
        let mut found = 0;
        self.with_table(delivery.namespace, |table| {
            if let Some(offset) = delivery.offset {
                table.position = offset;
            }
            table.select(&delivery.target, |socket| {
                if let Some(request) = &delivery.acks {
                    if !socket.is_live() {
                        return;
                    }
                    found += 1;
                    socket
                        .expect_ack(request.id, Acker::Broadcast { to: request.to.clone(), expires: request.expires });
                }
                match push(socket, delivery.frames.clone(), delivery.volatile, delivery.stands_at, true) {
                    Pushed::Queued => queued += 1,
                    Pushed::Asleep => {
                        queued += 1;
                        asleep.push(socket.conn.clone());
                    }
                    Pushed::Overflow => overflown.push(socket.clone()),
                    Pushed::Dropped | Pushed::Gone => {}
                }
            });
        });
        drop(asleep);
        self.sweep_or_wait();
        hub.stats.messages_queued.add(queued);
        for socket in overflown {
            socket.conn.close(DisconnectReason::SlowConsumer);
        }
        if let Some(request) = &delivery.acks {
            request.found.change(-1, found, &request.to);
        }
    }

    fn add(&self, socket: &Arc<Inner>, connect: Option<Connect>, added: Option<oneshot::Sender<Offset>>) {
        if socket.phase() == Phase::Closed {
            return;
        }
        if connect.is_none() {
            socket.begin_holding();
        }
        let position = self.with_table(socket.namespace.index(), |table| {
            table.insert(socket, &socket.rooms());
            table.position
        });
        if let Some(connect) = connect
            && socket.go_live()
        {
            events::connected(socket, connect.auth);
            send(socket, connect.frames, false, None);
        }
        if let Some(added) = added {
            // Who asked may be gone with the connection.
            let _ = added.send(position);
        }
    }

    // --- sweeps ------------------------------------------------------------------------------------

    /// Has the sockets send their broadcasts; but a sweep over many begins no sooner after the one before than that took,
    /// and what comes meanwhile is written along with it.
    ///
    /// A write costs the kernel the same for one message or ten, and at saturation that is most of what a broadcast costs.
    /// A socket that is sent something on its own does not wait. The sender of a broadcast does: if it had its own copy at
    /// once, one that sends again when it has that would outrun all others.
    fn sweep_or_wait(&self) {
        if self.asleep.borrow().is_empty() || self.sweeping.get() {
            return;
        }
        let now = Instant::now();
        if self.sweep_from.get() <= now {
            self.sweep(now);
        } else {
            self.sleep_anew();
        }
    }

    /// Sweeps if there is reason to, or tells when it will be time.
    fn sweep_if_due(&self, now: Instant) -> Option<Instant> {
        if self.asleep.borrow().is_empty() || self.sweeping.get() {
            return None;
        }
        let from = self.sweep_from.get();
        if from > now {
            return Some(from);
        }
        self.sweep(now);
        None
    }

    fn sweep(&self, began: Instant) {
        let mut asleep = self.asleep.borrow_mut();
        let wide = asleep.len() >= WIDE_SWEEP;
        for conn in asleep.drain(..) {
            conn.rouse();
        }
        if wide && let Some(this) = self.this.upgrade() {
            self.sweeping.set(true);
            // Tasks have their turns in the order in which they were woken: this one comes after the sockets.
            actix_rt::spawn(async move { this.swept(began) });
        }
    }

    fn swept(&self, began: Instant) {
        let now = Instant::now();
        let took = now - began;
        let pause = if took < SHORTEST_PAUSE { Duration::ZERO } else { took.min(LONGEST_PAUSE) };
        self.sweep_from.set(now + pause);
        self.sweeping.set(false);
        if !self.asleep.borrow().is_empty() {
            self.sleep_anew();
        }
    }

    /// Has the worker's task look again at what is next.
    fn sleep_anew(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    // --- timers ------------------------------------------------------------------------------------

    /// Begins to keep the time for a new connection.
    pub(crate) fn watch(&self, conn: &Arc<Conn>) {
        self.watch_heartbeat(conn);
        if conn.hub.namespaces().is_some() {
            let at = Instant::now() + conn.hub.config.connect_timeout;
            self.add_timer(Timer { at, conn: Arc::downgrade(conn), what: Due::Connect });
        }
    }

    fn watch_heartbeat(&self, conn: &Arc<Conn>) {
        // It sends no ping before that is due, and tells when to look again.
        if let Heartbeat::At(at) = conn.heartbeat(Instant::now()) {
            self.add_timer(Timer { at, conn: Arc::downgrade(conn), what: Due::Heartbeat });
        } else {
            self.add_timer(Timer { at: Instant::now(), conn: Arc::downgrade(conn), what: Due::Heartbeat });
        }
    }

    fn add_timer(&self, timer: Timer) {
        let mut timers = self.timers.borrow_mut();
        let sooner = timers.peek().is_none_or(|Reverse(first)| timer.at < first.at);
        timers.push(Reverse(timer));
        if sooner {
            self.sleep_anew();
        }
    }

    /// Does what is due, and tells when the next thing is.
    fn fire(&self, now: Instant) -> Option<Instant> {
        loop {
            let timer = {
                let mut timers = self.timers.borrow_mut();
                match timers.peek() {
                    Some(Reverse(first)) if first.at <= now => timers.pop().map(|Reverse(timer)| timer),
                    first => return first.map(|Reverse(timer)| timer.at),
                }
            };
            let Some(timer) = timer else { continue };
            let Some(conn) = timer.conn.upgrade() else { continue };
            match timer.what {
                Due::Heartbeat => match conn.heartbeat(now) {
                    // It moved to another worker, which keeps its time now.
                    Heartbeat::At(_) if conn.home() != self.index => {}
                    Heartbeat::At(at) => self.add_timer(Timer { at, conn: timer.conn, what: Due::Heartbeat }),
                    Heartbeat::Expired => conn.close(DisconnectReason::PingTimeout),
                    Heartbeat::Gone => {
                        // Time for a polling client to hear of it by its next request.
                        let at = now + Duration::from_secs(30);
                        self.add_timer(Timer { at, conn: timer.conn, what: Due::Forget });
                    }
                },
                Due::Connect => {
                    // A middleware that takes that long is no excuse.
                    if !conn.client.lock().is_welcome() && !conn.is_closed() {
                        conn.hub.stats.connect_timeouts.one();
                        conn.close(DisconnectReason::ForcedServerClose);
                    }
                }
                Due::Forget => conn.hub.polled(&conn),
            }
        }
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// The worker's task: empties the mailbox, keeps the time.
async fn run(worker: RcWeak<Worker>) {
    let mut sleep = pin!(tokio::time::sleep(Duration::from_hours(24)));
    std::future::poll_fn(move |cx: &mut Context<'_>| {
        let Some(worker) = worker.upgrade() else { return Poll::Ready(()) };
        for _ in 0..BATCHES_PER_TURN {
            worker.drain();
            worker.waker.replace(Some(cx.waker().clone()));
            let now = Instant::now();
            let next = earliest(worker.fire(now), worker.sweep_if_due(now));
            let Some(hub) = worker.hub.upgrade() else { return Poll::Ready(()) };
            if !hub.wait(worker.index, cx.waker()) {
                continue;
            }
            let Some(next) = next else { return Poll::Pending };
            sleep.as_mut().reset(next.into());
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
