-- The sandbox provider's own books, as an outside provider would keep them: in a schema of their own.
CREATE TABLE charges (
    idempotency_key UUID PRIMARY KEY,
    reference       TEXT NOT NULL UNIQUE,
    amount_minor    BIGINT NOT NULL,
    currency        TEXT NOT NULL,
    method          TEXT NOT NULL,
    outcome         TEXT NOT NULL CHECK (outcome IN ('captured', 'declined')),
    decline_reason  TEXT CHECK ((outcome = 'declined') = (decline_reason IS NOT NULL)),
    times_asked     BIGINT NOT NULL,
    asked_at        BIGINT NOT NULL,
    -- The outcome is told from this moment on.
    settle_at       BIGINT NOT NULL
);

CREATE TABLE refunds (
    refund_id    UUID PRIMARY KEY,
    reference    TEXT NOT NULL REFERENCES charges (reference),
    amount_minor BIGINT NOT NULL,
    currency     TEXT NOT NULL,
    times_asked  BIGINT NOT NULL,
    at           BIGINT NOT NULL
);
CREATE INDEX refunds_by_charge ON refunds (reference);
