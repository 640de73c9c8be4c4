//! Souk in one process, and the operator's command line: what of it others may use as a library.

pub mod reconcile;
