//! The fields of an event, redacted, as JSON and as text for people.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::Write as _;

use tracing::field::{Field, FieldSet, Visit};

use super::error_chain;
use crate::redact::{self, MASK};

/// Longest message or value, in bytes: one line can't take the memory of thousands.
const MAX_VALUE_BYTES: usize = 32 * 1024;
/// From here on an integer may be a card number (13 digits).
const CARD_LIKE: u64 = 1_000_000_000_000;
/// The field that `tracing` keeps the message in.
const MESSAGE: &str = "message";

/// Writes fields one after the other, each in its own way; the message is kept apart.
pub(super) trait Style {
    fn name(&self, name: &str, out: &mut Vec<u8>);
    fn text(&self, text: &str, out: &mut Vec<u8>);
}

/// Buffers that a thread uses again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) message: String,
    pub(super) fields: Vec<u8>,
    pub(super) line: Vec<u8>,
    /// The request's id.
    pub(super) request: String,
    value: String,
}

impl Scratch {
    /// Ready for the next line. What one long line made large is given back.
    pub(super) fn clear(&mut self) {
        const LARGE: usize = 64 * 1024;
        if self.message.capacity() + self.fields.capacity() + self.line.capacity() + self.value.capacity() > LARGE {
            *self = Self::default();
        }
        self.message.clear();
        self.fields.clear();
    }
}

/// Records an event's fields.
pub(super) struct Fields<'a, S> {
    pub(super) scratch: &'a mut Scratch,
    pub(super) names: &'a FieldSet,
    pub(super) style: S,
}

impl<S: Style> Fields<'_, S> {
    /// Begins a field; `false` when there is nothing more to write of it.
    fn begin(&mut self, field: &Field) -> bool {
        // Of two fields of one name the first holds.
        if self.names.field(field.name()).is_some_and(|first| first != *field) {
            return false;
        }
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.style.name(name, &mut self.scratch.fields);
        if redact::is_secret_name(name) {
            self.style.text(MASK, &mut self.scratch.fields);
            return false;
        }
        true
    }

    /// A value that JSON knows by itself.
    fn bare(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == MESSAGE {
            limited(&mut self.scratch.message, value);
        } else if self.begin(field) {
            // A Vec takes everything.
            let _ = self.scratch.fields.write_fmt(value);
        }
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == MESSAGE {
            limited(&mut self.scratch.message, value);
        } else if self.begin(field) {
            self.scratch.value.clear();
            limited(&mut self.scratch.value, value);
            self.style.text(&redact::text(&self.scratch.value), &mut self.scratch.fields);
        }
    }

    fn integer(&mut self, field: &Field, size: u64, value: fmt::Arguments<'_>) {
        let is_secret = size >= CARD_LIKE && matches!(redact::text(&size.to_string()), Cow::Owned(_));
        if is_secret { self.text(field, value) } else { self.bare(field, value) }
    }
}

impl<S: Style> Visit for Fields<'_, S> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for what is none.
        if value.is_finite() {
            self.bare(field, format_args!("{value:?}"));
        } else {
            self.text(field, format_args!("{value}"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.integer(field, value.unsigned_abs(), format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.integer(field, value, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, format_args!("{}", error_chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

/// Writes a value, cut where it grows too long.
fn limited(text: &mut String, value: fmt::Arguments<'_>) {
    struct Limited<'a>(&'a mut String);

    impl fmt::Write for Limited<'_> {
        fn write_str(&mut self, more: &str) -> fmt::Result {
            let room = MAX_VALUE_BYTES.saturating_sub(self.0.len());
            if more.len() <= room {
                self.0.push_str(more);
                return Ok(());
            }
            self.0.push_str(&more[..more.floor_char_boundary(room)]);
            self.0.push('…');
            // Ends the formatting: nobody would see the rest.
            Err(fmt::Error)
        }
    }

    // An error of the value itself ends it where it stands.
    let _ = fmt::Write::write_fmt(&mut Limited(text), value);
}
