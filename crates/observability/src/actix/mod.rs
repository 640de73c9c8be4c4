//! Middleware for actix-web (feature `actix`).

pub mod request;
