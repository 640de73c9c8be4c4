//! Souk in one process, and the operator's command line.
