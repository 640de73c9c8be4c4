//! The payment and its rules. Pure: no I/O, no clock, no framework.

pub mod error;
pub mod payment;
pub mod refund;
pub mod schedule;
pub mod snapshot;
pub mod values;

pub use error::{IllegalTransition, OtherCharge, RefundRefused};
pub use payment::{Payment, PaymentHappened, PaymentStatus};
pub use refund::{Refund, RefundInstruction, RefundProgress};
pub use schedule::{Retry, RetrySchedule};
pub use snapshot::{InvalidSnapshot, PaymentSnapshot};
pub use values::{PaymentMethod, PositiveAmount, ProviderReference};

#[cfg(test)]
mod tests;
