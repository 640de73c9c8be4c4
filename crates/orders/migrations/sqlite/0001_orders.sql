CREATE TABLE orders (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL,
    status     TEXT NOT NULL,
    version    INTEGER NOT NULL,
    -- The whole order (contracts::event_data::OrderData); the columns beside it are what is searched for.
    body       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- Ids are ordered by time, so that "newest first" is "greatest id first".
CREATE INDEX orders_by_user ON orders (user_id, id);

CREATE TABLE sagas (
    order_id           TEXT NOT NULL PRIMARY KEY REFERENCES orders (id),
    state              TEXT NOT NULL,
    payment_method     TEXT NOT NULL,
    payment_unknown    INTEGER NOT NULL,
    cancel_reason      TEXT,
    refund_id          TEXT,
    refund_reason      TEXT,
    refund_marks_order INTEGER NOT NULL,
    return_stock       INTEGER NOT NULL,
    refused            TEXT,
    attempts           INTEGER NOT NULL,
    owner              TEXT NOT NULL,
    due_at             INTEGER,
    version            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sagas_by_due ON sagas (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE idempotency_keys (
    user_id     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    order_id    TEXT NOT NULL REFERENCES orders (id),
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
