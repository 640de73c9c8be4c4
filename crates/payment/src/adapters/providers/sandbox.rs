//! A provider that moves no money and behaves like one that does.
//!
//! It keeps books of its own ([`SandboxBooks`]), so that Souk's are not all there is to compare with: what was asked for is
//! known here after Souk was killed, and an answer that was lost can be asked for again. Replicas share the books.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::ids::OrderId;
use contracts::{Clock, IdGenerator};

use super::sandbox_books::{ChargeRow, SandboxBooks};
use crate::application::ports::{
    ChargeInstruction, ChargeOutcome, FoundCharge, PaymentProvider, ProviderError, UnknownMethod,
};
use crate::domain::{PaymentMethod, RefundInstruction};

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
    books: Arc<dyn SandboxBooks>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    timing: SandboxTiming,
}

impl SandboxProvider {
    /// Its name in settings.
    pub const NAME: &str = "sandbox";

    /// A provider that keeps these books.
    pub fn new(
        books: Arc<dyn SandboxBooks>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
        timing: SandboxTiming,
    ) -> Self {
        Self { books, clock, ids, timing }
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
        let charge = self.books.record_charge(new).await?;
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
        match self.books.find_charge(idempotency_key).await? {
            None => Ok(None),
            Some(charge) if charge.settle_at > self.clock.now() => Ok(Some(FoundCharge::Processing)),
            Some(charge) => Ok(Some(FoundCharge::Settled(charge.outcome()?))),
        }
    }

    async fn refund(&self, instruction: RefundInstruction) -> Result<(), ProviderError> {
        self.books.record_refund(instruction, self.clock.now()).await
    }

    async fn ping(&self) -> Result<(), ProviderError> {
        self.books.ping().await
    }
}
