-- The inbox of every user: append-only, seq gapless from 1 for each user.
CREATE TABLE inbox_entries (
    user_id    TEXT    NOT NULL,
    seq        INTEGER NOT NULL CHECK (seq > 0),
    event      TEXT    NOT NULL,
    data       TEXT    NOT NULL, -- JSON object
    event_id   TEXT    NOT NULL, -- what caused the entry: unique, so that nothing is entered twice
    created_at INTEGER NOT NULL, -- Unix ms
    PRIMARY KEY (user_id, seq),
    UNIQUE (user_id, event_id)
) STRICT, WITHOUT ROWID;

-- The newest version used of each order: the inbox never goes back.
CREATE TABLE order_versions (
    order_id TEXT    PRIMARY KEY,
    version  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notifications (
    user_id    TEXT    NOT NULL,
    seq        INTEGER NOT NULL, -- of its inbox entry
    id         TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL,
    title      TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    order_id   TEXT    NOT NULL,
    read_at    INTEGER,          -- Unix ms; NULL while unread
    created_at INTEGER NOT NULL, -- Unix ms
    PRIMARY KEY (user_id, seq),
    UNIQUE (order_id, kind)      -- an outcome is notified once
) STRICT, WITHOUT ROWID;

CREATE INDEX notifications_unread ON notifications (user_id, seq) WHERE read_at IS NULL;

-- What users chose; a kind that was never chosen is sent by email.
CREATE TABLE preferences (
    user_id TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    email   INTEGER NOT NULL,
    PRIMARY KEY (user_id, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE contacts (
    user_id TEXT    PRIMARY KEY,
    email   TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL -- of the account: the newest wins
) STRICT, WITHOUT ROWID;

CREATE TABLE emails (
    notification_id TEXT    PRIMARY KEY,
    user_id         TEXT    NOT NULL,
    subject         TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    request_id      TEXT,
    traceparent     TEXT,
    created_at      INTEGER NOT NULL, -- Unix ms
    attempts        INTEGER NOT NULL DEFAULT 0, -- that failed
    next_attempt_at INTEGER,          -- Unix ms; NULL once sent or given up
    sent_at         INTEGER           -- Unix ms; NULL unless sent
) STRICT, WITHOUT ROWID;

CREATE INDEX emails_waiting ON emails (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX emails_finished ON emails (created_at) WHERE next_attempt_at IS NULL;
