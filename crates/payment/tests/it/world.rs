//! The use cases over a real store and a sandbox whose line can be cut, with a clock that the test moves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contracts::ids::{OrderId, RefundId, UserId, UuidV7Generator};
use contracts::money::Currency;
use contracts::timestamp::ManualClock;
use contracts::{Event, IdGenerator as _, Money, Timestamp};
use payment::adapters::persistence::sqlite::SqlitePaymentRepository;
use payment::adapters::providers::sandbox::{SandboxProvider, SandboxTiming};
use payment::adapters::providers::sandbox_books::sqlite::SqliteSandboxBooks;
use payment::application::charge::ChargeOrder;
use payment::application::outcomes::OutcomeRecorder;
use payment::application::ports::{LedgerEntry, PaymentRepository as _};
use payment::application::reconcile::ReconcilePayments;
use payment::application::refund::{RefundPayment, RefundRequested};
use payment::application::wake::WakeSignal;
use payment::domain::payment::ChargeDetails;
use payment::domain::{Payment, PositiveAmount, RetrySchedule};
use rusqlite::Connection;
use sqlite::SqliteUrl;
use tempfile::TempDir;

use crate::flaky_provider::FlakyProvider;

/// Long enough for anything that happens at all.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// No test waits for the sandbox: what takes time there takes it on the manual clock.
pub(crate) const TIMING: SandboxTiming = SandboxTiming {
    slow_answer: Duration::from_millis(1),
    answer_timeout: Duration::from_millis(1),
    late_settlement: Duration::from_secs(3),
};

pub(crate) fn start_of_time() -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000)
}

pub(crate) fn usd(minor: i64) -> PositiveAmount {
    money(minor, "USD")
}

pub(crate) fn money(minor: i64, currency: &str) -> PositiveAmount {
    Money::new(minor, Currency::parse(currency).unwrap()).unwrap().try_into().unwrap()
}

pub(crate) fn new_order() -> OrderId {
    OrderId::from_uuid(UuidV7Generator.new_uuid())
}

pub(crate) fn new_user() -> UserId {
    UserId::from_uuid(UuidV7Generator.new_uuid())
}

pub(crate) fn new_refund() -> RefundId {
    RefundId::from_uuid(UuidV7Generator.new_uuid())
}

pub(crate) fn details(method: &str) -> ChargeDetails {
    ChargeDetails { order_id: new_order(), user_id: new_user(), amount: usd(1000), method: method.parse().unwrap() }
}

pub(crate) fn give_back(order_id: OrderId, minor: i64) -> RefundRequested {
    RefundRequested { order_id, refund_id: new_refund(), amount: usd(minor), reason: "changed their mind".to_owned() }
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) repository: SqlitePaymentRepository,
    pub(crate) provider: Arc<FlakyProvider>,
    pub(crate) wake: WakeSignal,
    pub(crate) charge: ChargeOrder,
    pub(crate) refund: RefundPayment,
    pub(crate) reconcile: ReconcilePayments,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::over(TempDir::new().unwrap(), ManualClock::starting_at(start_of_time()))
    }

    fn over(folder: TempDir, clock: ManualClock) -> Self {
        let file = |name| SqliteUrl::of(folder.path().join(name));
        let repository = SqlitePaymentRepository::open_file(&file("payment.db")).unwrap();
        let books = Arc::new(SqliteSandboxBooks::open(&file("sandbox.db")).unwrap());
        let sandbox = SandboxProvider::new(books, Arc::new(clock.clone()), Arc::new(UuidV7Generator), TIMING);
        let provider = Arc::new(FlakyProvider::new(sandbox));
        let wake = WakeSignal::default();
        let outcomes = OutcomeRecorder {
            repository: Arc::new(repository.clone()),
            clock: Arc::new(clock.clone()),
            ids: Arc::new(UuidV7Generator),
            schedule: RetrySchedule::default(),
        };
        Self {
            charge: ChargeOrder { provider: provider.clone(), outcomes: outcomes.clone(), wake: wake.clone() },
            refund: RefundPayment { provider: provider.clone(), outcomes: outcomes.clone(), wake: wake.clone() },
            reconcile: ReconcilePayments { provider: provider.clone(), outcomes },
            folder,
            clock,
            repository,
            provider,
            wake,
        }
    }

    /// The process ends and another begins with what is on disk.
    pub(crate) fn restart(self) -> Self {
        let Self { folder, clock, .. } = self;
        Self::over(folder, clock)
    }

    /// Moves the clock and looks at what is due then.
    pub(crate) async fn after(&self, seconds: u64) -> payment::application::reconcile::Reconciled {
        self.clock.advance(Duration::from_secs(seconds));
        self.reconcile.execute().await.unwrap()
    }

    pub(crate) async fn captured(&self) -> Payment {
        self.charge.execute(details("card_ok")).await.unwrap()
    }

    pub(crate) async fn stored(&self, order_id: OrderId) -> Payment {
        self.repository.find_by_order(order_id).await.unwrap().unwrap()
    }

    pub(crate) async fn ledger(&self, order_id: OrderId) -> Vec<LedgerEntry> {
        self.repository.list_ledger(order_id).await.unwrap()
    }

    /// Everything that was told about an order, oldest first.
    pub(crate) fn events(&self, order_id: OrderId) -> Vec<Event> {
        let connection = self.file("payment.db");
        let mut statement = connection.prepare("SELECT body FROM events WHERE subject = ?1 ORDER BY position").unwrap();
        let bodies = statement.query_map([order_id.to_string()], |row| row.get::<_, String>(0)).unwrap();
        bodies.map(|body| serde_json::from_str(&body.unwrap()).unwrap()).collect()
    }

    pub(crate) fn event_types(&self, order_id: OrderId) -> Vec<String> {
        self.events(order_id).into_iter().map(|event| event.event_type).collect()
    }

    /// How often the provider was asked for the charge; 0 when it never heard of it.
    pub(crate) fn times_asked(&self, order_id: OrderId) -> u32 {
        let sql = "SELECT coalesce(sum(times_asked), 0) FROM charges WHERE idempotency_key = ?1";
        self.file("sandbox.db").query_row(sql, [order_id.to_string()], |row| row.get(0)).unwrap()
    }

    /// What the provider gave back in all: refunds and their sum.
    pub(crate) fn given_back(&self) -> (u32, i64) {
        let sql = "SELECT count(*), coalesce(sum(amount_minor), 0) FROM refunds";
        self.file("sandbox.db").query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> Connection {
        open_beside(&self.folder.path().join(name))
    }
}

/// Opens a database from outside, as an auditor would.
pub(crate) fn open_beside(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(DEADLINE).unwrap();
    connection
}
