-- One row per order. Undecided charges (pending, unknown) carry the moment of the next look.
CREATE TABLE payments (
    order_id           TEXT PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    user_id            TEXT NOT NULL,
    status             TEXT NOT NULL
        CHECK (status IN ('pending', 'unknown', 'captured', 'declined', 'partially_refunded', 'refunded')),
    amount_minor       INTEGER NOT NULL CHECK (amount_minor > 0),
    refunded_minor     INTEGER NOT NULL CHECK (refunded_minor BETWEEN 0 AND amount_minor),
    currency           TEXT NOT NULL,
    method             TEXT NOT NULL,
    provider_reference TEXT,
    decline_reason     TEXT,
    version            INTEGER NOT NULL,
    looks              INTEGER NOT NULL,
    next_check_at      INTEGER,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    CHECK ((status IN ('pending', 'unknown')) = (next_check_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX payments_due ON payments (next_check_at) WHERE next_check_at IS NOT NULL;

-- One row per refund id over all orders. A pending refund carries the moment of the next try.
CREATE TABLE refunds (
    id              TEXT PRIMARY KEY,
    order_id        TEXT NOT NULL REFERENCES payments (order_id),
    position        INTEGER NOT NULL,
    amount_minor    INTEGER NOT NULL CHECK (amount_minor > 0),
    currency        TEXT NOT NULL,
    reason          TEXT NOT NULL,
    looks           INTEGER NOT NULL,
    next_attempt_at INTEGER,
    UNIQUE (order_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX refunds_due ON refunds (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- Movements of money: written once, never changed.
CREATE TABLE ledger (
    id           TEXT PRIMARY KEY,
    order_id     TEXT NOT NULL REFERENCES payments (order_id),
    kind         TEXT NOT NULL CHECK (kind IN ('capture', 'refund')),
    refund_id    TEXT CHECK ((kind = 'refund') = (refund_id IS NOT NULL)),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency     TEXT NOT NULL,
    at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX ledger_one_capture_per_order ON ledger (order_id) WHERE kind = 'capture';
CREATE UNIQUE INDEX ledger_one_entry_per_refund ON ledger (refund_id) WHERE kind = 'refund';
CREATE INDEX ledger_by_order ON ledger (order_id, at, id);
CREATE TRIGGER ledger_is_not_updated BEFORE UPDATE ON ledger BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_is_not_deleted BEFORE DELETE ON ledger BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
