//! Gathers what is wrong with the fields of a request, so that all of it is told at once.

use std::fmt::Display;

use contracts::Refusal;

use super::invalid_request;

/// Most fields named in one refusal: it travels in headers, which are bounded.
const MAX_FAULTS: usize = 16;

/// The fields found at fault so far.
pub(super) struct Faults(Refusal);

impl Faults {
    pub(super) fn none() -> Self {
        Self(invalid_request())
    }

    /// The value, or `None` after noting why the field has none.
    pub(super) fn take<T, E: Display>(&mut self, field: impl Into<String>, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(message) => {
                self.add(field, message);
                None
            }
        }
    }

    pub(super) fn add(&mut self, field: impl Into<String>, message: impl Display) {
        if self.0.fields.len() < MAX_FAULTS {
            self.0 = std::mem::replace(&mut self.0, invalid_request()).with_field(field, message);
        }
    }

    /// The values, or the refusal that names every field at fault. `values` is `None` only after a fault was noted.
    pub(super) fn finish<T>(self, values: Option<T>) -> Result<T, Refusal> {
        match values {
            Some(values) if self.0.fields.is_empty() => Ok(values),
            _ => Err(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_up_to_a_bound() {
        let mut faults = Faults::none();
        assert_eq!(faults.take("/a", Ok::<_, String>(1)), Some(1));
        for n in 0..MAX_FAULTS + 5 {
            assert_eq!(faults.take(format!("/{n}"), Err::<u8, _>("is odd")), None);
        }
        let refusal = faults.finish(Some(())).unwrap_err();
        assert_eq!(refusal.fields.len(), MAX_FAULTS);
        assert_eq!((refusal.fields[1].field.as_str(), refusal.fields[1].message.as_str()), ("/1", "is odd"));
        assert_eq!(Faults::none().finish(Some(7)), Ok(7));
    }
}
