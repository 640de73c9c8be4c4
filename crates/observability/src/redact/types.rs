//! Wrappers that print what may be seen.

use std::fmt;

use super::MASK;

/// A value that prints as `***`, as `Debug` and as `Display`.
///
/// For values that must be logged as present without being told, and for structs that derive `Debug`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Redacted<T>(pub T);

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// An email address that prints as `***@` and its domain, or as `***` when it has none.
///
/// The domain stays: it is what delivery fails by, and names nobody.
#[derive(Clone, Copy)]
pub struct Email<'a>(pub &'a str);

impl fmt::Display for Email<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rsplit_once('@') {
            Some((_, domain)) => write!(f, "{MASK}@{domain}"),
            None => f.write_str(MASK),
        }
    }
}

impl fmt::Debug for Email<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug alone")]
    struct Login<'a> {
        email: Email<'a>,
        password: Redacted<&'a str>,
    }

    #[test]
    fn wrapped_values_print_nothing_of_themselves() {
        let login = Login { email: Email("jane.doe@example.com"), password: Redacted("hunter2") };
        assert_eq!(format!("{login:?}"), "Login { email: ***@example.com, password: *** }");
        assert_eq!(format!("{} {}", Email("jane"), Redacted(7)), "*** ***");
    }
}
