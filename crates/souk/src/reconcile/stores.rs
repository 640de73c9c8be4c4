//! The stores, opened for reading alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use contracts::audit::{Backlog, Span};
use contracts::ids::{OrderId, UserId};
use futures::future::join_all;
use inventory::application::audit::InventoryAudit;
use messaging::queue_audit::{self, QueueAudit, QueueFacts};
use notification::application::audit::NotificationAudit;
use observability::logs::error_chain;
use orders::application::audit::OrderAudit;
use payment::application::audit::{PaymentAudit, ProviderAudit};
use users::application::audit::UserAudit;

/// How long a store may take to give its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// Orders listed in one step.
const PAGE: usize = 500;

/// Where the stores are.
#[derive(Clone)]
pub struct Urls {
    /// `SOUK_ORDERS_DATABASE_URL`.
    pub orders: String,
    /// `SOUK_PAYMENT_DATABASE_URL`.
    pub payment: String,
    /// `SOUK_INVENTORY_DATABASE_URL`.
    pub inventory: String,
    /// `SOUK_NOTIFICATION_DATABASE_URL`.
    pub notification: String,
    /// `SOUK_USERS_DATABASE_URL`.
    pub users: String,
    /// `SOUK_PAYMENT_SANDBOX_URL`; `None` where another provider moves the money, whose books can't be read.
    pub sandbox: Option<String>,
    /// `SOUK_BROKER_URL`; `None` leaves the queues out.
    pub broker: Option<String>,
}

impl Urls {
    /// The embedded stores of a data folder.
    pub fn of_folder(folder: &std::path::Path) -> Self {
        let url = |name: &str| format!("sqlite://{}", folder.join(format!("{name}.db")).display());
        Self {
            orders: url("orders"),
            payment: url("payment"),
            inventory: url("inventory"),
            notification: url("notification"),
            users: url("users"),
            sandbox: Some(url("sandbox")),
            broker: Some(url("broker")),
        }
    }
}

/// Without the addresses, which may hold passwords.
impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Urls").finish_non_exhaustive()
    }
}

/// A store that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {store} store can't be read: {why}")]
pub struct Unreadable {
    /// Which: `orders`, `payment`, `sandbox`, …
    pub store: &'static str,
    /// Why, in the words of its adapter.
    pub why: String,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct AuditError(pub Vec<Unreadable>);

/// A reading that failed, by its store.
pub(super) fn unreadable(store: &'static str) -> impl Fn(&dyn std::error::Error) -> AuditError {
    move |error| AuditError(vec![Unreadable { store, why: error_chain(error) }])
}

/// The stores of one Souk, for reading.
#[derive(Clone)]
pub struct Stores {
    pub(super) orders: Arc<dyn OrderAudit>,
    pub(super) payment: Arc<dyn PaymentAudit>,
    pub(super) inventory: Arc<dyn InventoryAudit>,
    pub(super) notification: Arc<dyn NotificationAudit>,
    pub(super) users: Arc<dyn UserAudit>,
    pub(super) sandbox: Option<Arc<dyn ProviderAudit>>,
    pub(super) queues: Option<Arc<dyn QueueAudit>>,
}

impl Stores {
    /// Opens all of them and has each answer once, within a few seconds.
    ///
    /// # Errors
    /// [`AuditError`], naming every store that can't be read.
    pub async fn open(urls: &Urls) -> Result<Self, AuditError> {
        let mut failed = Vec::new();
        let orders = kept(&mut failed, "orders", orders::bootstrap::audit(&urls.orders));
        let payment = kept(&mut failed, "payment", payment::bootstrap::audit(&urls.payment));
        let inventory = kept(&mut failed, "inventory", inventory::bootstrap::audit(&urls.inventory));
        let notification = kept(&mut failed, "notification", notification::bootstrap::audit(&urls.notification).await);
        let users = kept(&mut failed, "users", users::bootstrap::audit(&urls.users).await);
        let sandbox = urls.sandbox.as_deref().map(payment::bootstrap::sandbox_audit).transpose();
        let sandbox = kept(&mut failed, "sandbox", sandbox);
        let queues = urls.broker.as_deref().map(queue_audit::open).transpose();
        let queues = kept(&mut failed, "broker", queues);
        let (
            Some(orders),
            Some(payment),
            Some(inventory),
            Some(notification),
            Some(users),
            Some(sandbox),
            Some(queues),
        ) = (orders, payment, inventory, notification, users, sandbox, queues)
        else {
            return Err(AuditError(failed));
        };
        let queues = queues.flatten().map(Arc::from);
        let stores = Self { orders, payment, inventory, notification, users, sandbox, queues };
        stores.answer().await?;
        Ok(stores)
    }

    /// Has every store answer, all at once.
    async fn answer(&self) -> Result<(), AuditError> {
        let mut asked = ["orders", "payment", "inventory", "notification", "users"].map(Some).to_vec();
        asked.extend([self.sandbox.as_ref().map(|_| "sandbox"), self.queues.as_ref().map(|_| "broker")]);
        let answers = join_all(asked.into_iter().flatten().map(|store| async move {
            match tokio::time::timeout(FIRST_ANSWER, self.first_answer(store)).await {
                Ok(answer) => answer,
                Err(_) => Err(AuditError(vec![Unreadable {
                    store,
                    why: format!("it gave no answer within {} s", FIRST_ANSWER.as_secs()),
                }])),
            }
        }));
        let failed: Vec<_> = answers.await.into_iter().filter_map(Result::err).flat_map(|error| error.0).collect();
        if failed.is_empty() { Ok(()) } else { Err(AuditError(failed)) }
    }

    async fn first_answer(&self, store: &'static str) -> Result<(), AuditError> {
        match (store, &self.sandbox) {
            ("sandbox", Some(sandbox)) => {
                sandbox.list_charges(Span::ALL, 1).await.map_err(|error| unreadable(store)(&error))?;
            }
            ("broker", _) => {
                self.list_queues().await?;
            }
            _ => {
                self.backlog(store).await?;
            }
        }
        Ok(())
    }

    /// What waits in one service's outbox.
    pub(super) async fn backlog(&self, service: &'static str) -> Result<Backlog, AuditError> {
        let failed = unreadable(service);
        match service {
            "orders" => self.orders.backlog().await.map_err(|error| failed(&error)),
            "payment" => self.payment.backlog().await.map_err(|error| failed(&error)),
            "inventory" => self.inventory.backlog().await.map_err(|error| failed(&error)),
            "notification" => self.notification.backlog().await.map_err(|error| failed(&error)),
            _ => self.users.backlog().await.map_err(|error| failed(&error)),
        }
    }

    /// What is in the queues; `None` where they can't be looked into without taking something out.
    pub(super) async fn list_queues(&self) -> Result<Option<Vec<QueueFacts>>, AuditError> {
        let Some(queues) = &self.queues else { return Ok(None) };
        queues.list_queues().await.map(Some).map_err(|error| unreadable("broker")(&error))
    }

    pub(super) async fn find_known(&self, users: &BTreeSet<UserId>) -> Result<BTreeSet<UserId>, AuditError> {
        self.users.find_known(users).await.map_err(|error| unreadable("users")(&error))
    }

    /// What every order has come to, by its id. For tests: it holds all of them.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn statuses(&self) -> Result<BTreeMap<OrderId, String>, AuditError> {
        let (mut statuses, mut span) = (BTreeMap::new(), Span::ALL);
        while span.after < span.until {
            let page = self.orders.list_orders(span, PAGE).await.map_err(|error| unreadable("orders")(&error))?;
            span.after = page.complete_to;
            statuses.extend(page.items.into_iter().map(|order| (order.order_id, order.status)));
        }
        Ok(statuses)
    }

    /// The order that each idempotency key made. For tests: it holds all of them.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn orders_by_key(&self) -> Result<BTreeMap<String, OrderId>, AuditError> {
        let keys = self.orders.list_keys(Span::ALL).await.map_err(|error| unreadable("orders")(&error))?;
        Ok(keys.into_iter().map(|(order_id, key)| (key, order_id)).collect())
    }

    /// How often the sandbox provider was asked to charge beyond once for each order: retries that must not have charged again.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn repeated_charges(&self) -> Result<u64, AuditError> {
        let Some(sandbox) = &self.sandbox else { return Ok(0) };
        sandbox.count_repeated_charges().await.map_err(|error| unreadable("sandbox")(&error))
    }
}

/// The services that publish events.
pub(super) const OUTBOXES: [&str; 5] = ["users", "orders", "inventory", "payment", "notification"];

fn kept<T, E: std::error::Error + 'static>(
    failed: &mut Vec<Unreadable>,
    store: &'static str,
    opened: Result<T, E>,
) -> Option<T> {
    opened.map_err(|error| failed.push(Unreadable { store, why: error_chain(&error) })).ok()
}
