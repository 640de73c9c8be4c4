//! Accounts, tokens, signing keys, roles and bans.
