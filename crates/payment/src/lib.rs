//! Payment ledger and payment providers.
