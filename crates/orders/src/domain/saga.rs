//! The checkout saga: what is still owed to an order, elsewhere.

use contracts::ids::{OrderId, RefundId};
use contracts::{Sku, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a checkout stands: `priced → reserving → charging → confirming → committing → done`; on refusal `releasing → done`;
/// when money must go back `refunding → done`, by way of `releasing` if the goods go back too.
///
/// Source: docs/adr/0007-checkout-saga.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SagaState {
    /// The order is priced, nothing was asked of anyone.
    Priced,
    /// Stock may be held.
    Reserving,
    /// Stock is pinned; the card may be charged.
    Charging,
    /// The payment is captured, the order not yet confirmed.
    Confirming,
    /// The order is confirmed; the goods may not yet have left the shelf.
    Committing,
    /// The order will not be fulfilled; stock may still be reserved.
    Releasing,
    /// Money must be given back.
    Refunding,
    /// Nothing is owed.
    Done,
}

impl SagaState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Priced,
        Self::Reserving,
        Self::Charging,
        Self::Confirming,
        Self::Committing,
        Self::Releasing,
        Self::Refunding,
        Self::Done,
    ];

    /// The name in stores and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Priced => "priced",
            Self::Reserving => "reserving",
            Self::Charging => "charging",
            Self::Confirming => "confirming",
            Self::Committing => "committing",
            Self::Releasing => "releasing",
            Self::Refunding => "refunding",
            Self::Done => "done",
        }
    }

    /// What is done in this state, for telemetry.
    pub const fn step(self) -> &'static str {
        match self {
            Self::Priced | Self::Reserving => "reserve",
            Self::Charging => "charge",
            Self::Confirming => "confirm",
            Self::Committing => "commit",
            Self::Releasing => "release",
            Self::Refunding => "refund",
            Self::Done => "done",
        }
    }

    /// Finds a state by its name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the saga may go from this state to `next` (staying is not going).
    const fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Priced, Self::Reserving)
                | (Self::Reserving, Self::Charging | Self::Releasing | Self::Done)
                | (Self::Charging, Self::Confirming | Self::Releasing)
                | (Self::Confirming, Self::Committing | Self::Refunding)
                // A confirmed order can be cancelled or refunded before its goods left the shelf, and after.
                | (Self::Committing, Self::Done | Self::Refunding)
                | (Self::Refunding, Self::Releasing | Self::Done)
                | (Self::Releasing, Self::Done)
                | (Self::Done, Self::Refunding)
        )
    }
}

/// A product of which there was too little.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingItem {
    /// What.
    pub sku: Sku,
    /// Units wanted.
    pub requested: u64,
    /// Units there were.
    pub available: u64,
}

/// Why a checkout was refused; kept, so that repeating the request gives the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Refused {
    /// Too little stock.
    OutOfStock {
        /// Of what.
        missing: Vec<MissingItem>,
    },
    /// The card was declined.
    Declined {
        /// In the provider's words.
        reason: String,
    },
}

/// What a saga is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaParts {
    /// Whose saga.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: SagaState,
    /// How the customer pays.
    pub payment_method: String,
    /// Whether the payment's outcome was asked for and not told.
    pub payment_unknown: bool,
    /// Set when someone asked for the order to be cancelled before it was decided.
    pub cancel_reason: Option<String>,
    /// The refund in progress or made.
    pub refund_id: Option<RefundId>,
    /// Why the money goes back.
    pub refund_reason: Option<String>,
    /// Whether the order becomes `refunded` when the money is back.
    pub refund_marks_order: bool,
    /// Whether the goods go back to the shelf after the money.
    pub return_stock: bool,
    /// Why the checkout was refused.
    pub refused: Option<Refused>,
    /// Failed attempts at the present step.
    pub attempts: u32,
    /// Who works on it: another owner means that it was taken over.
    pub owner: String,
    /// When anyone may take it up: the end of the owner's lease, or the next attempt. `None` when done.
    pub due_at: Option<Timestamp>,
    /// Grows with every write; a stale one is refused.
    pub version: u64,
}

/// The saga of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saga(SagaParts);

/// A step that the saga's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a saga that is {} can't become {}", .from.as_str(), .to.as_str())]
pub struct IllegalStep {
    /// Where it stands.
    pub from: SagaState,
    /// Where it was to go.
    pub to: SagaState,
}

impl Saga {
    /// The saga of an order just priced, owned by `owner` until `due_at`.
    pub fn new(order_id: OrderId, payment_method: String, owner: String, due_at: Timestamp) -> Self {
        Self(SagaParts {
            order_id,
            state: SagaState::Priced,
            payment_method,
            payment_unknown: false,
            cancel_reason: None,
            refund_id: None,
            refund_reason: None,
            refund_marks_order: false,
            return_stock: false,
            refused: None,
            attempts: 0,
            owner,
            due_at: Some(due_at),
            version: 1,
        })
    }

    /// From what a store holds.
    pub fn from_parts(parts: SagaParts) -> Self {
        Self(parts)
    }

    /// What it is made of.
    pub fn parts(&self) -> &SagaParts {
        &self.0
    }

    /// Where it stands.
    pub fn state(&self) -> SagaState {
        self.0.state
    }

    /// Goes to the next state; failed attempts start over.
    ///
    /// # Errors
    /// [`IllegalStep`].
    pub fn advance(&mut self, to: SagaState) -> Result<(), IllegalStep> {
        if !self.0.state.leads_to(to) {
            return Err(IllegalStep { from: self.0.state, to });
        }
        self.0.state = to;
        self.0.attempts = 0;
        if to == SagaState::Done {
            self.0.due_at = None;
        }
        Ok(())
    }

    /// Keeps the saga for its owner until `due_at`, unless it is done.
    pub fn lease_until(&mut self, due_at: Timestamp) {
        if self.0.state != SagaState::Done {
            self.0.due_at = Some(due_at);
        }
    }

    /// The step did not succeed: anyone may try again at `due_at`. A saga that is done stays so.
    pub fn retry_at(&mut self, due_at: Timestamp) {
        if self.0.state != SagaState::Done {
            self.0.attempts = self.0.attempts.saturating_add(1);
            self.0.due_at = Some(due_at);
        }
    }

    /// The payment's outcome was asked for and not told.
    pub fn payment_is_unknown(&mut self) {
        self.0.payment_unknown = true;
    }

    /// The checkout is refused.
    pub fn refuse(&mut self, refused: Refused) {
        self.0.refused = Some(refused);
    }

    /// Someone wants the order cancelled; the first reason stands.
    pub fn request_cancel(&mut self, reason: String) {
        self.0.cancel_reason.get_or_insert(reason);
    }

    /// Money must go back: `confirming | committing | done → refunding`. Starting again what was started changes nothing.
    ///
    /// # Errors
    /// [`IllegalStep`].
    pub fn start_refund(
        &mut self,
        refund_id: RefundId,
        reason: String,
        marks_order: bool,
        return_stock: bool,
    ) -> Result<(), IllegalStep> {
        self.advance(SagaState::Refunding)?;
        self.0.refund_id = Some(refund_id);
        self.0.refund_reason = Some(reason);
        self.0.refund_marks_order = marks_order;
        self.0.return_stock = return_stock;
        Ok(())
    }

    /// Taken over by another owner, until `due_at`.
    pub fn take_over(&mut self, owner: String, due_at: Timestamp) {
        self.0.owner = owner;
        self.lease_until(due_at);
    }

    /// The version that the next write makes: called once before each write.
    pub fn next_version(&mut self) {
        self.0.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn saga() -> Saga {
        Saga::new(
            OrderId::from_uuid(Uuid::from_u128(1)),
            "card_ok".to_owned(),
            "me".to_owned(),
            Timestamp::from_unix_ms(9),
        )
    }

    #[test]
    fn the_happy_way_and_both_ways_out_lead_to_done() {
        use SagaState::*;
        for way in [
            &[Reserving, Charging, Confirming, Committing, Done][..],
            &[Reserving, Done],
            &[Reserving, Releasing, Done],
            &[Reserving, Charging, Releasing, Done],
            &[Reserving, Charging, Confirming, Refunding, Releasing, Done],
            &[Reserving, Charging, Confirming, Committing, Done, Refunding, Done],
        ] {
            let mut saga = saga();
            for state in way {
                saga.advance(*state).unwrap();
            }
            assert_eq!((saga.state(), saga.parts().due_at), (Done, None));
        }
    }

    #[test]
    fn an_order_is_never_confirmed_without_a_charge_nor_charged_without_a_reservation() {
        use SagaState::*;
        for (from, to) in [
            (Priced, Charging),
            (Reserving, Confirming),
            (Reserving, Committing),
            (Charging, Committing),
            (Charging, Done),
            (Releasing, Charging),
        ] {
            assert!(!from.leads_to(to), "{from:?} {to:?}");
        }
    }

    proptest! {
        #[test]
        fn any_walk_stays_legal_and_a_saga_is_due_unless_done(states in prop::collection::vec(prop::sample::select(SagaState::ALL.to_vec()), 0..30)) {
            let mut saga = saga();
            for state in states {
                let before = saga.clone();
                if saga.advance(state).is_err() {
                    prop_assert_eq!(&saga, &before);
                }
                saga.lease_until(Timestamp::from_unix_ms(10));
                saga.retry_at(Timestamp::from_unix_ms(11));
                prop_assert_eq!(saga.parts().due_at.is_none(), saga.state() == SagaState::Done);
                prop_assert_eq!(SagaState::find(saga.state().as_str()), Some(saga.state()));
            }
        }
    }
}
