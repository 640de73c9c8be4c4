//! Exact amounts of money.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::grpc;

/// The largest magnitude of an amount: 2^53 − 1, so that every JSON reader keeps it exact (RFC 8259 §6).
pub const MAX_AMOUNT_MINOR: i64 = (1 << 53) - 1;

/// An ISO 4217 alphabetic currency code: three upper-case ASCII letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// US dollar.
    pub const USD: Self = Self(*b"USD");

    /// Parses a code.
    ///
    /// # Errors
    /// [`MoneyError::InvalidCurrency`] unless it is three upper-case ASCII letters.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        match code.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::InvalidCurrency),
        }
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an amount could not be made or computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not three upper-case letters.
    #[error("a currency is three upper-case letters (ISO 4217)")]
    InvalidCurrency,
    /// Beyond ±(2^53 − 1) minor units.
    #[error("an amount is at most 2^53 - 1 minor units")]
    OutOfRange,
    /// Two currencies in one computation.
    #[error("{0} and {1} can't be mixed")]
    MixedCurrencies(Currency, Currency),
}

/// Whole minor units of one currency; arithmetic is checked and never mixes currencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "MoneyJson", into = "MoneyJson")]
pub struct Money {
    amount_minor: i64,
    currency: Currency,
}

/// Unknown fields are ignored: a newer publisher's event must stay readable. The gateway is strict by itself.
#[derive(Serialize, Deserialize)]
struct MoneyJson {
    amount_minor: i64,
    currency: String,
}

impl TryFrom<MoneyJson> for Money {
    type Error = MoneyError;
    fn try_from(json: MoneyJson) -> Result<Self, MoneyError> {
        Self::new(json.amount_minor, Currency::parse(&json.currency)?)
    }
}

impl From<Money> for MoneyJson {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency.to_string() }
    }
}

impl Money {
    /// An amount of minor units.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] beyond ±[`MAX_AMOUNT_MINOR`].
    pub fn new(amount_minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        if amount_minor.unsigned_abs() > MAX_AMOUNT_MINOR.unsigned_abs() {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self { amount_minor, currency })
    }

    /// Nothing, in a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self { amount_minor: 0, currency }
    }

    /// Whole minor units.
    pub const fn amount_minor(self) -> i64 {
        self.amount_minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::MixedCurrencies`]; [`MoneyError::OutOfRange`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::MixedCurrencies`]; [`MoneyError::OutOfRange`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// This amount, `quantity` times.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn checked_mul(self, quantity: u32) -> Result<Self, MoneyError> {
        let amount = self.amount_minor.checked_mul(i64::from(quantity)).ok_or(MoneyError::OutOfRange)?;
        Self::new(amount, self.currency)
    }

    fn combine(self, other: Self, operation: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies(self.currency, other.currency));
        }
        let amount = operation(self.amount_minor, other.amount_minor).ok_or(MoneyError::OutOfRange)?;
        Self::new(amount, self.currency)
    }
}

impl fmt::Display for Money {
    /// `1999 USD (minor units)`: for messages; clients format money for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (minor units)", self.amount_minor, self.currency)
    }
}

impl From<Money> for grpc::types::Money {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency.to_string() }
    }
}

impl TryFrom<grpc::types::Money> for Money {
    type Error = MoneyError;
    fn try_from(money: grpc::types::Money) -> Result<Self, MoneyError> {
        Self::new(money.amount_minor, Currency::parse(&money.currency)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_money() -> impl Strategy<Value = Money> {
        (-MAX_AMOUNT_MINOR..=MAX_AMOUNT_MINOR, prop_oneof![Just("USD"), Just("EUR")])
            .prop_map(|(amount, code)| Money::new(amount, Currency::parse(code).unwrap()).unwrap())
    }

    proptest! {
        #[test]
        fn adding_then_subtracting_returns_the_first_amount(a in any_money(), b in any_money()) {
            if let Ok(sum) = a.checked_add(b) {
                prop_assert_eq!(sum.checked_sub(b), Ok(a));
            }
        }

        #[test]
        fn no_operation_leaves_the_range_or_mixes_currencies(a in any_money(), b in any_money(), n in any::<u32>()) {
            for result in [a.checked_add(b), a.checked_sub(b), a.checked_mul(n)].into_iter().flatten() {
                prop_assert!(result.amount_minor().abs() <= MAX_AMOUNT_MINOR);
                prop_assert_eq!(result.currency(), a.currency());
            }
            prop_assert_eq!(a.currency() != b.currency(), matches!(a.checked_add(b), Err(MoneyError::MixedCurrencies(..))));
        }

        #[test]
        fn json_keeps_every_amount_exactly(a in any_money()) {
            let json = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), a);
        }
    }

    #[test]
    fn amounts_beyond_two_to_the_53_are_refused() {
        assert_eq!(Money::new(MAX_AMOUNT_MINOR + 1, Currency::USD), Err(MoneyError::OutOfRange));
        assert_eq!(Money::new(i64::MIN, Currency::USD), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn currencies_are_three_upper_case_letters() {
        for bad in ["", "usd", "US", "USDX", "U$D", "ÄÖ"] {
            assert_eq!(Currency::parse(bad), Err(MoneyError::InvalidCurrency), "{bad}");
        }
    }
}
