//! The payment of an order: the aggregate root.

use contracts::ids::{OrderId, PaymentId, RefundId, UserId};
use contracts::{Money, Timestamp};

use super::error::{IllegalTransition, OtherCharge, RefundRefused};
use super::refund::{Refund, RefundInstruction, RefundProgress};
use super::schedule::{Retry, RetrySchedule};
use super::values::{PaymentMethod, PositiveAmount, ProviderReference};

/// The states of a payment; the moves between them are in the README of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// Written down; the provider may or may not have heard of it.
    Pending,
    /// The provider was asked and did not say in time.
    Unknown,
    /// The money is ours.
    Captured,
    /// The provider said no.
    Declined,
    /// A part was given back.
    PartiallyRefunded,
    /// All was given back.
    Refunded,
}

impl PaymentStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Unknown, Self::Captured, Self::Declined, Self::PartiallyRefunded, Self::Refunded];

    /// The name on every wire and in every store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Captured => "captured",
            Self::Declined => "declined",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
        }
    }

    /// Finds a status by its name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What happened to a payment; each is told to the other services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentHappened {
    /// The money was taken.
    Captured,
    /// The provider said no.
    Declined,
    /// Money was given back.
    Refunded {
        /// By which refund.
        refund_id: RefundId,
        /// How much.
        amount: Money,
    },
}

/// What holds of the charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    Pending(Retry),
    Unknown(Retry),
    Captured(ProviderReference),
    Declined(String),
}

/// How a refund stands that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundStanding {
    /// It is new.
    Begun,
    /// It was asked for before and is not done yet.
    Pending,
    /// It was done before.
    Done,
}

/// The payment of one order: one charge and its refunds.
///
/// `version` grows by one with each change but the moving of a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub(super) id: PaymentId,
    pub(super) order_id: OrderId,
    pub(super) user_id: UserId,
    pub(super) amount: PositiveAmount,
    pub(super) method: PaymentMethod,
    pub(super) charge: Charge,
    /// Not empty only if captured; together at most `amount`, in its currency.
    pub(super) refunds: Vec<Refund>,
    pub(super) version: u64,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// What is to be charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeDetails {
    /// The order; the provider's idempotency key.
    pub order_id: OrderId,
    /// Who pays.
    pub user_id: UserId,
    /// How much.
    pub amount: PositiveAmount,
    /// How.
    pub method: PaymentMethod,
}

impl Payment {
    /// The intent to charge.
    pub fn open(id: PaymentId, details: ChargeDetails, now: Timestamp, schedule: &RetrySchedule) -> Self {
        Self {
            id,
            order_id: details.order_id,
            user_id: details.user_id,
            amount: details.amount,
            method: details.method,
            charge: Charge::Pending(Retry::after_grace(now, schedule)),
            refunds: Vec::new(),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether a charge asked for again is the one that this payment is.
    ///
    /// # Errors
    /// [`OtherCharge`] names the first difference.
    pub fn check_same_charge(&self, details: &ChargeDetails) -> Result<(), OtherCharge> {
        let differs = |field| Err(OtherCharge { field });
        if self.order_id != details.order_id {
            return differs("order");
        }
        if self.amount != details.amount {
            return differs("amount");
        }
        if self.user_id != details.user_id {
            return differs("user");
        }
        if self.method != details.method {
            return differs("method");
        }
        Ok(())
    }

    /// The provider took the money: `pending` or `unknown` → `captured`.
    ///
    /// # Errors
    /// [`IllegalTransition`] from any other state.
    pub fn capture(
        &mut self,
        reference: ProviderReference,
        now: Timestamp,
    ) -> Result<PaymentHappened, IllegalTransition> {
        self.require_undecided("be captured")?;
        self.charge = Charge::Captured(reference);
        self.changed(now);
        Ok(PaymentHappened::Captured)
    }

    /// The provider said no: `pending` or `unknown` → `declined`. `reason` is for the customer's eyes.
    ///
    /// # Errors
    /// [`IllegalTransition`] from any other state.
    pub fn decline(&mut self, reason: impl Into<String>, now: Timestamp) -> Result<PaymentHappened, IllegalTransition> {
        self.require_undecided("be declined")?;
        self.charge = Charge::Declined(reason.into());
        self.changed(now);
        Ok(PaymentHappened::Declined)
    }

    /// The provider did not say in time: `pending` → `unknown`, to be looked at soon.
    ///
    /// # Errors
    /// [`IllegalTransition`] from any other state.
    pub fn mark_unknown(&mut self, now: Timestamp, schedule: &RetrySchedule) -> Result<(), IllegalTransition> {
        match self.charge {
            Charge::Pending(retry) => {
                self.charge = Charge::Unknown(retry.next(now, schedule));
                self.changed(now);
                Ok(())
            }
            Charge::Unknown(_) | Charge::Captured(_) | Charge::Declined(_) => Err(self.illegal("become unknown")),
        }
    }

    /// A look decided nothing: the next one comes later.
    ///
    /// # Errors
    /// [`IllegalTransition`] unless `pending` or `unknown`.
    pub fn postpone_check(&mut self, now: Timestamp, schedule: &RetrySchedule) -> Result<(), IllegalTransition> {
        match &mut self.charge {
            Charge::Pending(retry) | Charge::Unknown(retry) => {
                *retry = retry.next(now, schedule);
                Ok(())
            }
            Charge::Captured(_) | Charge::Declined(_) => Err(self.illegal("be checked later")),
        }
    }

    /// The intent to give `amount` back, once per `refund_id`.
    ///
    /// # Errors
    /// [`RefundRefused`]; nothing is changed then.
    pub fn begin_refund(
        &mut self,
        refund_id: RefundId,
        amount: PositiveAmount,
        reason: String,
        now: Timestamp,
        schedule: &RetrySchedule,
    ) -> Result<RefundStanding, RefundRefused> {
        if let Some(refund) = self.refunds.iter().find(|refund| refund.id == refund_id) {
            return match refund.progress {
                _ if refund.amount != amount => Err(RefundRefused::OtherRefund),
                RefundProgress::Pending(_) => Ok(RefundStanding::Pending),
                RefundProgress::Done => Ok(RefundStanding::Done),
            };
        }
        if !matches!(self.charge, Charge::Captured(_)) {
            return Err(RefundRefused::NotCaptured { status: self.status() });
        }
        let captured = self.amount();
        if amount.money().currency() != captured.currency() {
            return Err(RefundRefused::OtherCurrency { captured });
        }
        let left = captured.amount_minor() - self.sum_of_refunds(|_| true);
        if amount.money().amount_minor() > left {
            let left = Money::new(left, captured.currency()).unwrap_or(Money::zero(captured.currency()));
            return Err(RefundRefused::ExceedsCapture { left });
        }
        let progress = RefundProgress::Pending(Retry::after_grace(now, schedule));
        self.refunds.push(Refund { id: refund_id, amount, reason, progress });
        self.changed(now);
        Ok(RefundStanding::Begun)
    }

    /// The provider gave the money of a pending refund back: `captured` → `partially_refunded` → `refunded`.
    ///
    /// # Errors
    /// [`IllegalTransition`] unless there is such a refund and it is pending.
    pub fn complete_refund(
        &mut self,
        refund_id: RefundId,
        now: Timestamp,
    ) -> Result<PaymentHappened, IllegalTransition> {
        let illegal = self.illegal("complete a refund that is not pending");
        let refund = self.pending_refund_mut(refund_id).ok_or(illegal)?;
        refund.progress = RefundProgress::Done;
        let amount = refund.amount();
        self.changed(now);
        Ok(PaymentHappened::Refunded { refund_id, amount })
    }

    /// A refund could not be done yet: the next try comes later.
    ///
    /// # Errors
    /// [`IllegalTransition`] unless there is such a refund and it is pending.
    pub fn postpone_refund(
        &mut self,
        refund_id: RefundId,
        now: Timestamp,
        schedule: &RetrySchedule,
    ) -> Result<(), IllegalTransition> {
        let illegal = self.illegal("postpone a refund that is not pending");
        let refund = self.pending_refund_mut(refund_id).ok_or(illegal)?;
        if let RefundProgress::Pending(retry) = &mut refund.progress {
            *retry = retry.next(now, schedule);
        }
        Ok(())
    }

    /// What the provider is to be told about a refund that is pending.
    pub fn pending_refund(&self, refund_id: RefundId) -> Option<RefundInstruction> {
        let refund = self.refunds.iter().find(|refund| refund.id == refund_id && !refund.is_done())?;
        let reference = self.provider_reference()?.clone();
        Some(RefundInstruction { refund_id, reference, amount: refund.amount() })
    }

    /// Its state.
    pub fn status(&self) -> PaymentStatus {
        match self.charge {
            Charge::Pending(_) => PaymentStatus::Pending,
            Charge::Unknown(_) => PaymentStatus::Unknown,
            Charge::Declined(_) => PaymentStatus::Declined,
            Charge::Captured(_) => match self.refunded().amount_minor() {
                0 => PaymentStatus::Captured,
                given if given == self.amount().amount_minor() => PaymentStatus::Refunded,
                _ => PaymentStatus::PartiallyRefunded,
            },
        }
    }

    /// Whether it is known what became of the charge.
    pub fn is_decided(&self) -> bool {
        matches!(self.charge, Charge::Captured(_) | Charge::Declined(_))
    }

    /// Its id.
    pub const fn id(&self) -> PaymentId {
        self.id
    }

    /// The order paid for.
    pub const fn order_id(&self) -> OrderId {
        self.order_id
    }

    /// Who pays.
    pub const fn user_id(&self) -> UserId {
        self.user_id
    }

    /// What is charged.
    pub const fn amount(&self) -> Money {
        self.amount.money()
    }

    /// What was given back; refunds under way don't count.
    pub fn refunded(&self) -> Money {
        let currency = self.amount().currency();
        Money::new(self.sum_of_refunds(Refund::is_done), currency).unwrap_or(Money::zero(currency))
    }

    /// How it is paid.
    pub const fn method(&self) -> &PaymentMethod {
        &self.method
    }

    /// Why it was declined, in words for the customer.
    pub fn decline_reason(&self) -> Option<&str> {
        match &self.charge {
            Charge::Declined(reason) => Some(reason),
            Charge::Pending(_) | Charge::Unknown(_) | Charge::Captured(_) => None,
        }
    }

    /// The provider's id of the capture.
    pub const fn provider_reference(&self) -> Option<&ProviderReference> {
        match &self.charge {
            Charge::Captured(reference) => Some(reference),
            Charge::Pending(_) | Charge::Unknown(_) | Charge::Declined(_) => None,
        }
    }

    /// When an undecided charge is looked at again.
    pub const fn next_check(&self) -> Option<Retry> {
        match self.charge {
            Charge::Pending(retry) | Charge::Unknown(retry) => Some(retry),
            Charge::Captured(_) | Charge::Declined(_) => None,
        }
    }

    /// Its refunds, in the order they were asked for.
    pub fn refunds(&self) -> &[Refund] {
        &self.refunds
    }

    /// See [`Payment`].
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// When it was opened.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When its version last grew.
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    fn require_undecided(&self, verb: &'static str) -> Result<(), IllegalTransition> {
        if self.is_decided() { Err(self.illegal(verb)) } else { Ok(()) }
    }

    fn illegal(&self, verb: &'static str) -> IllegalTransition {
        IllegalTransition { from: self.status(), verb }
    }

    fn pending_refund_mut(&mut self, refund_id: RefundId) -> Option<&mut Refund> {
        self.refunds.iter_mut().find(|refund| refund.id == refund_id && !refund.is_done())
    }

    /// Each is part of a capture of at most 2^53 − 1 and together they don't exceed it: the sum fits.
    fn sum_of_refunds(&self, wanted: impl Fn(&Refund) -> bool) -> i64 {
        self.refunds.iter().filter(|refund| wanted(refund)).map(|refund| refund.amount().amount_minor()).sum()
    }

    fn changed(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = now;
    }
}
