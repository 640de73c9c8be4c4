//! Who moves the money.

pub mod sandbox;
pub mod sandbox_books;
