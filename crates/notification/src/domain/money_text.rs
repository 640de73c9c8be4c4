//! Money as people read it.

use contracts::Money;

/// `$1,234.50`, `€12.00`, `¥1,200`, `CHF 12.00`, `-$5.00`.
pub fn format_money(money: Money) -> String {
    let currency = money.currency();
    let digits = minor_digits(currency.as_str());
    let unit = 10_u64.pow(digits);
    let amount = money.amount_minor().unsigned_abs();
    let sign = if money.amount_minor() < 0 { "-" } else { "" };
    let whole = grouped(amount / unit);
    let fraction = match digits {
        0 => String::new(),
        digits => format!(".{:0width$}", amount % unit, width = digits as usize),
    };
    match currency.as_str() {
        "USD" => format!("{sign}${whole}{fraction}"),
        "EUR" => format!("{sign}€{whole}{fraction}"),
        "GBP" => format!("{sign}£{whole}{fraction}"),
        "JPY" => format!("{sign}¥{whole}{fraction}"),
        code => format!("{sign}{code} {whole}{fraction}"),
    }
}

/// Decimal places of the minor unit. Source: ISO 4217 list one, column "minor unit".
fn minor_digits(code: &str) -> u32 {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use contracts::money::{Currency, MAX_AMOUNT_MINOR};
    use proptest::prelude::*;

    use super::*;

    fn text(amount_minor: i64, code: &str) -> String {
        format_money(Money::new(amount_minor, Currency::parse(code).unwrap()).unwrap())
    }

    #[test]
    fn amounts_have_the_currency_s_digits_separators_and_sign() {
        for (amount, code, expected) in [
            (1999, "USD", "$19.99"),
            (5, "USD", "$0.05"),
            (123_456_789, "USD", "$1,234,567.89"),
            (-500, "USD", "-$5.00"),
            (1200, "EUR", "€12.00"),
            (120_000, "JPY", "¥120,000"),
            (1234, "KWD", "KWD 1.234"),
            (0, "CHF", "CHF 0.00"),
            (100_000, "GBP", "£1,000.00"),
        ] {
            assert_eq!(text(amount, code), expected);
        }
    }

    proptest! {
        #[test]
        fn no_digit_is_lost(amount in -MAX_AMOUNT_MINOR..=MAX_AMOUNT_MINOR) {
            let digits: String = text(amount, "USD").chars().filter(char::is_ascii_digit).collect();
            prop_assert_eq!(digits.parse::<u64>().unwrap(), amount.unsigned_abs());
        }
    }
}
