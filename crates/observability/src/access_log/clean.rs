//! What callers sent, made fit for a line.

use std::fmt::Write as _;

/// Longer values are cut: a line must not grow with what a caller sends.
const LIMIT: usize = 2048;

/// Whether a character could end a line, steer a terminal or hide what follows.
fn is_harmful(c: char) -> bool {
    // Line and paragraph separators, and the marks that turn the direction of text around (Unicode TR36 §2.10).
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends a value for a field of its own: harmful characters are escaped, quotes stay.
pub(super) fn push_field(line: &mut String, value: &str) {
    push(line, value, false);
}

/// Appends a value that may stand between quotes in a line: quotes and backslashes are escaped, too, as Apache does
/// (mod_log_config, "Format Notes").
pub(super) fn push_quotable(line: &mut String, value: &str) {
    push(line, value, true);
}

fn push(line: &mut String, value: &str, quotable: bool) {
    for (count, c) in value.chars().enumerate() {
        if count == LIMIT {
            line.push('…');
            break;
        }
        if quotable && matches!(c, '"' | '\\') {
            line.push('\\');
            line.push(c);
        } else if is_harmful(c) {
            let _ = match u32::from(c) {
                code @ 0..=0xff => write!(line, "\\x{code:02x}"),
                code => write!(line, "\\u{{{code:x}}}"),
            };
        } else {
            line.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quotable(value: &str) -> String {
        let mut line = String::new();
        push_quotable(&mut line, value);
        line
    }

    #[test]
    fn what_steers_a_terminal_or_ends_a_line_is_escaped() {
        assert_eq!(quotable("a\r\nb\x1b[31m\"c\\"), r#"a\x0d\x0ab\x1b[31m\"c\\"#);
        assert_eq!(quotable("\u{9b}1m \u{2028} \u{202e}evil"), r"\x9b1m \u{2028} \u{202e}evil");
        assert_eq!(quotable("Grüße 日本"), "Grüße 日本");
    }

    #[test]
    fn a_long_value_is_cut() {
        let line = quotable(&"é".repeat(100_000));
        assert_eq!(line.chars().count(), LIMIT + 1);
        assert!(line.ends_with('…'));
    }

    proptest! {
        #[test]
        fn nothing_harmful_comes_through(value in any::<String>()) {
            let mut line = String::new();
            push_field(&mut line, &value);
            prop_assert!(!line.chars().any(is_harmful));
            let quoted = quotable(&value);
            prop_assert!(!quoted.chars().any(is_harmful));
            // Every quote is preceded by an odd number of backslashes.
            let mut backslashes = 0;
            for c in quoted.chars() {
                prop_assert!(c != '"' || backslashes % 2 == 1);
                backslashes = if c == '\\' { backslashes + 1 } else { 0 };
            }
        }
    }
}
