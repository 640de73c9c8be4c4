//! What this service does: one use case per file, and the ports ([`ports`]) they need.

pub mod acknowledge;
pub mod audit;
pub mod cause;
pub mod chat;
pub mod deliver_emails;
pub mod error;
pub mod forget_contact;
pub mod forget_old;
pub mod mail_signal;
pub mod mark_read;
pub mod metrics;
pub mod ports;
pub mod preferences;
pub mod queries;
pub mod record_order_event;

pub use cause::Cause;
pub use error::NotificationError;
pub use mail_signal::MailSignal;
