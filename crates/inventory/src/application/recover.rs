//! Brings the reservations to what orders say, after the store forgot its last changes.
//!
//! Source: docs/adr/0017-rebuilding-stock-from-orders.md.

use std::sync::Arc;
use std::time::Duration;

use contracts::{Clock, Timestamp};
use futures::StreamExt as _;

use super::ports::{ChangeError, OrderClaim, OrderLog, OrderLogError, RepositoryError, ReservationRepository};
use crate::domain::claim::Claim;
use crate::domain::error::ReservationError;
use crate::domain::reservation::ReservationCommand;

/// Orders asked for at once.
const PAGE: usize = 200;
/// Reservations worked on at once.
const PARALLEL: usize = 16;
/// Holds ended at once.
const BATCH: usize = 64;
/// How long an event may take from getting its position to being seen: above the longest transaction that orders' stores let
/// live (10 s idle, 5 s a statement).
pub const SETTLE: Duration = Duration::from_mins(1);

/// Why a recovery did not come to its end; to be begun again.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Orders.
    #[error(transparent)]
    Orders(#[from] OrderLogError),
    /// Orders answered with a page that leads nowhere.
    #[error("orders' pages do not go on after position {0}")]
    Stuck(u64),
    /// The store.
    #[error("the reservations could not be restored")]
    Store(#[from] RepositoryError),
}

/// Brings reservations to what orders say. Safe to repeat, to interrupt anywhere, and to run beside itself.
pub struct Recovery {
    orders: Arc<dyn OrderLog>,
    reservations: Arc<dyn ReservationRepository>,
    clock: Arc<dyn Clock>,
}

/// Sales that are not covered wait until all that is freed is free.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Last,
}

impl Recovery {
    /// A recovery of these reservations from these orders.
    pub fn new(orders: Arc<dyn OrderLog>, reservations: Arc<dyn ReservationRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { orders, reservations, clock }
    }

    /// Goes through the orders whose last event is after `since`; returns how many there were. The store must have all that
    /// was done for the others, and nobody else may take goods meanwhile.
    ///
    /// # Errors
    /// [`RecoveryError`]; what was restored by then stays.
    pub async fn recover(&self, since: u64) -> Result<usize, RecoveryError> {
        // Their goods may have been sold to others, in what was forgotten.
        while self.reservations.release_expired(self.clock.now(), BATCH).await? == BATCH {}
        self.round(since, Round::First).await?;
        self.round(since, Round::Last).await
    }

    /// Up to where all that orders asked of the inventory is answered ([`super::ports::ClaimPage::settled`]).
    ///
    /// # Errors
    /// [`OrderLogError`].
    pub async fn settled(&self) -> Result<u64, OrderLogError> {
        Ok(self.orders.claims(i64::MAX as u64, 1).await?.settled)
    }

    async fn round(&self, since: u64, round: Round) -> Result<usize, RecoveryError> {
        let (mut after, mut seen) = (since, 0);
        loop {
            let claims = self.orders.claims(after, PAGE).await?.claims;
            let Some(last) = claims.last() else { return Ok(seen) };
            if last.position <= after {
                return Err(RecoveryError::Stuck(after));
            }
            after = last.position;
            seen += claims.len();
            let mut restored = futures::stream::iter(claims.into_iter().map(|claim| self.restore(claim, round)))
                .buffer_unordered(PARALLEL);
            while let Some(result) = restored.next().await {
                result?;
            }
        }
    }

    async fn restore(&self, claimed: OrderClaim, round: Round) -> Result<(), RepositoryError> {
        let OrderClaim { order_id, claim, lines, .. } = claimed;
        let Some(claim) = claim else { return Ok(()) };
        if (claim == Claim::Promised && round == Round::First) || (claim == Claim::Free && round == Round::Last) {
            return Ok(());
        }
        let command = ReservationCommand::Restore { claim, lines, cover: round == Round::Last };
        match self.reservations.apply(order_id, command, self.clock.now()).await {
            Ok(_) => {}
            Err(ChangeError::Refused(ReservationError::OutOfStock { .. })) if round == Round::First => {}
            // Should the order be confirmed all the same, its commit books what is missing.
            Err(ChangeError::Refused(refused)) => {
                tracing::error!(order.id = %order_id, error = %refused, "goods that were pinned are not there any more");
            }
            Err(ChangeError::Store(RepositoryError::Corrupt { table, row })) => {
                tracing::error!(order.id = %order_id, table, row, "a reservation can't be restored: a stored row makes no sense");
            }
            Err(ChangeError::Store(error)) => return Err(error),
        }
        Ok(())
    }
}

/// Finds the position that the store may keep with its data as the beginning of the next recovery: that from which on
/// something may be forgotten of what the data has.
#[derive(Debug, Default)]
pub struct SafePoint {
    seen: Option<(Timestamp, u64)>,
}

impl SafePoint {
    /// Takes note of what is settled now; gives a new safe point at most once in [`SETTLE`].
    ///
    /// An event may appear at a position that was passed already, from a transaction that was under way: so the point is what
    /// was settled both when all that is appended to it could not be seen yet, and after.
    pub fn observe(&mut self, now: Timestamp, settled: u64) -> Option<u64> {
        match self.seen {
            Some((at, _)) if now.since(at) < SETTLE => None,
            Some((_, before)) => {
                self.seen = Some((now, settled));
                Some(before.min(settled))
            }
            None => {
                self.seen = Some((now, settled));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_safe_when_it_was_settled_before_and_still_is() {
        let at = |seconds: i64| Timestamp::from_unix_ms(seconds * 1000);
        let mut point = SafePoint::default();
        assert_eq!(point.observe(at(0), 100), None);
        assert_eq!(point.observe(at(59), 200), None);
        assert_eq!(point.observe(at(60), 300), Some(100), "what came within the minute may still grow gaps");
        assert_eq!(point.observe(at(120), 250), Some(250), "an order that is owed something again holds it back");
        assert_eq!(point.observe(at(180), 400), Some(250));
    }
}
