//! A provider that moves no money and behaves like one that does.
//!
//! It keeps books of its own, in its own file, so that Souk's are not all there is to compare with: what was asked for is
//! known here after Souk was killed, and an answer that was lost can be asked for again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::ids::OrderId;
use contracts::{Clock, IdGenerator};
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};

use super::sandbox_books::{self as books, ChargeRow};
use crate::application::ports::{
    ChargeInstruction, ChargeOutcome, FoundCharge, PaymentProvider, ProviderError, UnknownMethod,
};
use crate::domain::{PaymentMethod, RefundInstruction};

const SCHEMA: &[Migration] =
    &[Migration { component: "sandbox", version: 1, sql: include_str!("../../../migrations/sqlite/sandbox_0001.sql") }];

/// How the sandbox behaves in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxTiming {
    /// How long `card_slow` takes. The provider keeps the line open meanwhile, so that the time-out does not apply.
    pub slow_answer: Duration,
    /// How long a silent provider is waited for.
    pub answer_timeout: Duration,
    /// How long after it was asked the outcome of `card_timeout_*` is settled at the provider.
    pub late_settlement: Duration,
}

impl Default for SandboxTiming {
    /// 2 s, 1.5 s, 3 s.
    fn default() -> Self {
        Self {
            slow_answer: Duration::from_secs(2),
            answer_timeout: Duration::from_millis(1500),
            late_settlement: Duration::from_secs(3),
        }
    }
}

/// What the documented methods stand for (proto: ChargeRequest.method).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Card {
    Ok,
    Declined,
    InsufficientFunds,
    Slow,
    TimeoutCaptured,
    TimeoutDeclined,
}

impl Card {
    const ALL: [Self; 6] =
        [Self::Ok, Self::Declined, Self::InsufficientFunds, Self::Slow, Self::TimeoutCaptured, Self::TimeoutDeclined];

    const fn method(self) -> &'static str {
        match self {
            Self::Ok => "card_ok",
            Self::Declined => "card_declined",
            Self::InsufficientFunds => "card_insufficient_funds",
            Self::Slow => "card_slow",
            Self::TimeoutCaptured => "card_timeout_captured",
            Self::TimeoutDeclined => "card_timeout_declined",
        }
    }

    fn find(method: &PaymentMethod) -> Option<Self> {
        Self::ALL.into_iter().find(|card| card.method() == method.as_str())
    }

    const fn decline_reason(self) -> Option<&'static str> {
        match self {
            Self::Ok | Self::Slow | Self::TimeoutCaptured => None,
            Self::Declined | Self::TimeoutDeclined => Some("the card was declined"),
            Self::InsufficientFunds => Some("insufficient funds"),
        }
    }

    /// From being asked to being settled.
    const fn settles_after(self, timing: &SandboxTiming) -> Duration {
        match self {
            Self::Ok | Self::Declined | Self::InsufficientFunds => Duration::ZERO,
            Self::Slow => timing.slow_answer,
            Self::TimeoutCaptured | Self::TimeoutDeclined => timing.late_settlement,
        }
    }

    /// The longest it is waited for.
    const fn patience(self, timing: &SandboxTiming) -> Duration {
        match self {
            Self::Slow => Duration::MAX,
            Self::Ok | Self::Declined | Self::InsufficientFunds | Self::TimeoutCaptured | Self::TimeoutDeclined => {
                timing.answer_timeout
            }
        }
    }
}

/// The adapter.
pub struct SandboxProvider {
    database: Database,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    timing: SandboxTiming,
}

impl SandboxProvider {
    /// Its name in settings.
    pub const NAME: &str = "sandbox";

    /// Opens the provider's books, making them if need be.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        url: &SqliteUrl,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
        timing: SandboxTiming,
    ) -> Result<Self, OpenError> {
        Ok(Self { database: Database::open(url, Durability::Full, SCHEMA)?, clock, ids, timing })
    }
}

/// What the closures of this adapter fail with.
pub(super) enum Failure {
    Refused(String),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(why) => Self::Refused(why),
            Failure::Store(error) => Self::Unavailable(Box::new(error)),
        }
    }
}

#[async_trait]
impl PaymentProvider for SandboxProvider {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn check_method(&self, method: &PaymentMethod) -> Result<(), UnknownMethod> {
        match Card::find(method) {
            Some(_) => Ok(()),
            None => Err(UnknownMethod { expected: format!("one of {}", Card::ALL.map(Card::method).join(", ")) }),
        }
    }

    async fn charge(&self, instruction: ChargeInstruction) -> Result<ChargeOutcome, ProviderError> {
        let card = Card::find(&instruction.method)
            .ok_or_else(|| ProviderError::Refused("the payment method is unknown".to_owned()))?;
        let asked_at = self.clock.now();
        let new = ChargeRow {
            idempotency_key: instruction.idempotency_key,
            reference: format!("sandbox_ch_{}", self.ids.new_uuid().simple()),
            amount: instruction.amount,
            method: card.method().to_owned(),
            decline_reason: card.decline_reason().map(str::to_owned),
            asked_at,
            settle_at: asked_at.plus(card.settles_after(&self.timing)),
        };
        let charge = self
            .database
            .write(move |connection| books::record_charge(connection, &new))
            .await
            .map_err(ProviderError::from)?;
        let wait = charge.settle_at.since(asked_at);
        let patience = card.patience(&self.timing);
        // A sleep of nothing would still cost a tick of the timer.
        if !wait.is_zero() {
            tokio::time::sleep(wait.min(patience)).await;
        }
        if wait > patience {
            return Err(ProviderError::Timeout);
        }
        charge.outcome()
    }

    async fn find_charge(&self, idempotency_key: OrderId) -> Result<Option<FoundCharge>, ProviderError> {
        let charge = self
            .database
            .read(move |connection| books::find_charge(connection, idempotency_key).map_err(Failure::from))
            .await
            .map_err(ProviderError::from)?;
        match charge {
            None => Ok(None),
            Some(charge) if charge.settle_at > self.clock.now() => Ok(Some(FoundCharge::Processing)),
            Some(charge) => Ok(Some(FoundCharge::Settled(charge.outcome()?))),
        }
    }

    async fn refund(&self, instruction: RefundInstruction) -> Result<(), ProviderError> {
        let now = self.clock.now();
        self.database
            .write(move |connection| books::record_refund(connection, &instruction, now))
            .await
            .map_err(ProviderError::from)
    }

    async fn ping(&self) -> Result<(), ProviderError> {
        self.database.ping().await.map_err(|error| Failure::Store(error).into())
    }
}
