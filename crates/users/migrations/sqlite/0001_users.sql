-- Accounts. Times are milliseconds since the Unix epoch.
CREATE TABLE users (
    id                TEXT PRIMARY KEY,
    email             TEXT NOT NULL UNIQUE,            -- trimmed and in lower case
    name              TEXT NOT NULL,
    search_text       TEXT NOT NULL,                   -- name and email in lower case (SQLite folds ASCII alone)
    password_hash     TEXT NOT NULL,                   -- PHC string
    roles             TEXT NOT NULL,                   -- comma-separated: customer,support,admin
    ban_reason        TEXT,
    version           INTEGER NOT NULL,
    seeded            INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    tokens_not_before INTEGER NOT NULL                 -- access tokens issued before are void
) STRICT, WITHOUT ROWID;
CREATE INDEX users_by_registration ON users (created_at, id);
CREATE INDEX users_seeded ON users (id) WHERE seeded = 1;

-- A sign-in and everything refreshed from it.
CREATE TABLE sessions (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Every refresh token of a session, the used ones too: presenting one again ends the session.
CREATE TABLE refresh_tokens (
    hash       BLOB PRIMARY KEY,                       -- SHA-256
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

-- Access tokens that are void before they expire.
CREATE TABLE revocations (
    id         INTEGER PRIMARY KEY,
    user_id    TEXT NOT NULL,
    session_id TEXT,                                   -- NULL: all sessions of the user
    not_before INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_end ON revocations (expires_at);

-- The keys that sign access tokens.
CREATE TABLE signing_keys (
    kid        TEXT PRIMARY KEY,
    pkcs8      BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;
