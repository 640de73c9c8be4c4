-- The sandbox provider's own books, as an outside provider would keep them.
CREATE TABLE charges (
    idempotency_key TEXT PRIMARY KEY,
    reference       TEXT NOT NULL UNIQUE,
    amount_minor    INTEGER NOT NULL,
    currency        TEXT NOT NULL,
    method          TEXT NOT NULL,
    outcome         TEXT NOT NULL CHECK (outcome IN ('captured', 'declined')),
    decline_reason  TEXT CHECK ((outcome = 'declined') = (decline_reason IS NOT NULL)),
    times_asked     INTEGER NOT NULL,
    asked_at        INTEGER NOT NULL,
    -- The outcome is told from this moment on.
    settle_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE refunds (
    refund_id    TEXT PRIMARY KEY,
    reference    TEXT NOT NULL REFERENCES charges (reference),
    amount_minor INTEGER NOT NULL,
    currency     TEXT NOT NULL,
    times_asked  INTEGER NOT NULL,
    at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refunds_by_charge ON refunds (reference);
