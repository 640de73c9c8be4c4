//! The rules of this service: no I/O, no runtime, no clock.

pub mod chat;
pub mod contact;
pub mod email;
pub mod email_content;
pub mod inbox;
pub mod kind;
pub mod message;
pub mod money_text;
pub mod notification;
pub mod ordering;
pub mod preference;
pub mod template;
