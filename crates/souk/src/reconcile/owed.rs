//! Whether anything is still under way.

use super::stores::{AuditError, OUTBOXES, Stores, Urls, unreadable};

/// What is not done yet, over all stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Checkouts, cancellations and refunds that are not done.
    pub open_sagas: u64,
    /// Payments whose outcome is not known.
    pub undecided_payments: u64,
    /// Refunds that the provider has not confirmed.
    pub refunds_due: u64,
    /// Events that wait to be published, in all outboxes.
    pub unpublished: u64,
    /// Messages that wait for a consumer, dead letters left out; `None` where the broker does not tell.
    pub undelivered: Option<u64>,
}

impl Owed {
    /// Whether nothing is under way, as far as the stores tell.
    pub fn is_nothing(&self) -> bool {
        *self == Self { undelivered: self.undelivered.filter(|messages| *messages == 0), ..Self::default() }
            && self.undelivered.unwrap_or(0) == 0
    }
}

/// What is under way in the stores at these addresses.
///
/// # Errors
/// [`AuditError`].
pub async fn owed(urls: &Urls) -> Result<Owed, AuditError> {
    Stores::open(urls).await?.owed().await
}

impl Stores {
    /// What is under way.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn owed(&self) -> Result<Owed, AuditError> {
        let payment = unreadable("payment");
        let mut owed = Owed {
            open_sagas: self.orders.count_open_sagas().await.map_err(|error| unreadable("orders")(&error))?,
            undecided_payments: self.payment.count_undecided().await.map_err(|error| payment(&error))?,
            refunds_due: self.payment.count_refunds_due().await.map_err(|error| payment(&error))?,
            ..Owed::default()
        };
        for service in OUTBOXES {
            owed.unpublished += self.backlog(service).await?.waiting;
        }
        let queues = self.list_queues().await?;
        owed.undelivered =
            queues.map(|queues| queues.iter().filter(|queue| !queue.is_dead).map(|queue| queue.messages).sum());
        Ok(owed)
    }
}
