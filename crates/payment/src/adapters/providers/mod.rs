//! Who moves the money.

pub mod sandbox;
mod sandbox_books;
