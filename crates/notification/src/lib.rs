//! Per-user inbox, notifications and email.
