//! Amounts.

use contracts::grpc::types;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BadAnswer, whole_number};

/// An exact amount of money.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount_minor": 1999, "currency": "USD"}))]
pub struct Money {
    /// Whole minor units of the currency, such as cents; at most 2^53 − 1 either way.
    #[serde(deserialize_with = "whole_number::amount_minor")]
    pub amount_minor: i64,
    /// ISO 4217 code.
    #[schema(min_length = 3, max_length = 3)]
    pub currency: String,
}

impl TryFrom<Option<types::Money>> for Money {
    type Error = BadAnswer;

    fn try_from(money: Option<types::Money>) -> Result<Self, BadAnswer> {
        let types::Money { amount_minor, currency } = money.ok_or(BadAnswer("no amount where there must be one"))?;
        Ok(Self { amount_minor, currency })
    }
}

impl From<Money> for types::Money {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency }
    }
}
