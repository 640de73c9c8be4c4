//! Logs, request ids, metrics and health: one call per service.
