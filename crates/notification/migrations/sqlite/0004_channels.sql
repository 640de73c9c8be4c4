-- Whether a kind is told in the inbox, too: it was, until somebody chooses otherwise.
ALTER TABLE preferences ADD COLUMN push INTEGER NOT NULL DEFAULT 1;

-- Outcomes that are told, but not in the inbox, at the user's wish: an outcome is told once, in here or in notifications.
CREATE TABLE muted_outcomes (
    order_id   TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    created_at INTEGER NOT NULL, -- Unix ms
    PRIMARY KEY (order_id, kind)
) STRICT, WITHOUT ROWID;

-- NULL: an email of an earlier build, a text alone.
ALTER TABLE emails ADD COLUMN html TEXT;

-- How far users' devices have their inbox.
CREATE TABLE inbox_acks (
    user_id   TEXT    PRIMARY KEY,
    acked_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
