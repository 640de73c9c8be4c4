//! Values of payments, parsed once.

use std::fmt;
use std::str::FromStr;

use contracts::Money;

/// How the customer pays, as the provider names it; never a card number.
///
/// 1 to 64 of `A-Z a-z 0-9 _ -`. It is shown as `***` in logs: what a client sends in its place may be card data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PaymentMethod(String);

/// The text is no payment method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 letters, digits, '_' or '-'")]
pub struct InvalidPaymentMethod;

impl PaymentMethod {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PaymentMethod {
    type Err = InvalidPaymentMethod;
    fn from_str(text: &str) -> Result<Self, InvalidPaymentMethod> {
        let valid = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidPaymentMethod) }
    }
}

impl fmt::Debug for PaymentMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentMethod(***)")
    }
}

/// The provider's own id of a charge: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProviderReference(String);

/// The text is no provider reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a provider reference is 1 to 255 visible ASCII characters")]
pub struct InvalidProviderReference;

impl ProviderReference {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderReference {
    type Err = InvalidProviderReference;
    fn from_str(text: &str) -> Result<Self, InvalidProviderReference> {
        let valid = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidProviderReference) }
    }
}

impl fmt::Display for ProviderReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Money to be moved: at least one minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PositiveAmount(Money);

/// The amount is zero or negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be at least 1 minor unit")]
pub struct NotPositive;

impl PositiveAmount {
    /// The amount.
    pub const fn money(self) -> Money {
        self.0
    }
}

impl TryFrom<Money> for PositiveAmount {
    type Error = NotPositive;
    fn try_from(money: Money) -> Result<Self, NotPositive> {
        if money.amount_minor() > 0 { Ok(Self(money)) } else { Err(NotPositive) }
    }
}

#[cfg(test)]
mod tests {
    use contracts::money::Currency;

    use super::*;

    #[test]
    fn methods_are_short_names_and_never_shown() {
        let method: PaymentMethod = "card_ok".parse().unwrap();
        assert_eq!(method.as_str(), "card_ok");
        assert_eq!(format!("{method:?}"), "PaymentMethod(***)");
        for bad in ["", "card ok", "card\0", "käse", &"x".repeat(65)] {
            assert_eq!(bad.parse::<PaymentMethod>(), Err(InvalidPaymentMethod), "{bad:?}");
        }
    }

    #[test]
    fn references_are_visible_ascii() {
        assert!("ch_1".parse::<ProviderReference>().is_ok());
        for bad in ["", "ch 1", "ch\n", &"x".repeat(256)] {
            assert_eq!(bad.parse::<ProviderReference>(), Err(InvalidProviderReference), "{bad:?}");
        }
    }

    #[test]
    fn nothing_and_less_than_nothing_are_no_amounts_to_move() {
        for (minor, expected) in [(-1, false), (0, false), (1, true)] {
            let money = Money::new(minor, Currency::USD).unwrap();
            assert_eq!(PositiveAmount::try_from(money).is_ok(), expected, "{minor}");
        }
    }
}
