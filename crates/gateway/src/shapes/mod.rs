//! The JSON that the API takes and gives. Requests refuse fields they do not know.
//!
//! Answers are made from the services' messages; a message that makes no sense is a [`BadAnswer`], our fault and not the
//! caller's.

pub mod auth;
pub mod chat;
pub mod live;
pub mod money;
pub mod notification;
pub mod order;
pub mod page;
pub mod payment;
pub mod product;
pub mod user;
mod whole_number;

pub use money::Money;
pub use page::{Page, PageLimit};

use contracts::{Reason, Refusal};

/// A service answered what it must not.
#[derive(Debug, PartialEq, Eq)]
pub struct BadAnswer(pub &'static str);

impl From<BadAnswer> for Refusal {
    fn from(bad: BadAnswer) -> Self {
        Self::new(Reason::Internal, format!("a service answered {}", bad.0))
    }
}

impl From<BadAnswer> for crate::problem::Problem {
    fn from(bad: BadAnswer) -> Self {
        Refusal::from(bad).into()
    }
}

/// `None` for a text that is empty because proto3 has no absent ones.
fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The JSON object in a message, passed on as it is.
fn raw_json(json: String) -> Result<Box<serde_json::value::RawValue>, BadAnswer> {
    serde_json::value::RawValue::from_string(json).map_err(|_| BadAnswer("data that is no JSON"))
}
