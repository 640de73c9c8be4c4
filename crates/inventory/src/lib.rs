//! Catalogue, stock and reservations.
