//! Rooms, who is in them, and what was said there.

pub mod member;
pub mod message;
pub mod room;

/// Whether a character may stand in a text for people: line breaks and tabs may, other control characters may not.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}
