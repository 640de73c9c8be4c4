-- One row per order. Undecided charges (pending, unknown) carry the moment of the next look.
-- Moments are milliseconds since 1970, as everywhere in Souk.
CREATE TABLE payments (
    order_id           UUID PRIMARY KEY,
    id                 UUID NOT NULL UNIQUE,
    user_id            UUID NOT NULL,
    status             TEXT NOT NULL
        CHECK (status IN ('pending', 'unknown', 'captured', 'declined', 'partially_refunded', 'refunded')),
    amount_minor       BIGINT NOT NULL CHECK (amount_minor > 0),
    refunded_minor     BIGINT NOT NULL CHECK (refunded_minor BETWEEN 0 AND amount_minor),
    currency           TEXT NOT NULL,
    method             TEXT NOT NULL,
    provider_reference TEXT,
    decline_reason     TEXT,
    version            BIGINT NOT NULL,
    looks              BIGINT NOT NULL,
    next_check_at      BIGINT,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    CHECK ((status IN ('pending', 'unknown')) = (next_check_at IS NOT NULL))
);
CREATE INDEX payments_due ON payments (next_check_at) WHERE next_check_at IS NOT NULL;

-- One row per refund id over all orders. A pending refund carries the moment of the next try.
CREATE TABLE refunds (
    id              UUID PRIMARY KEY,
    order_id        UUID NOT NULL REFERENCES payments (order_id),
    position        BIGINT NOT NULL,
    amount_minor    BIGINT NOT NULL CHECK (amount_minor > 0),
    currency        TEXT NOT NULL,
    reason          TEXT NOT NULL,
    looks           BIGINT NOT NULL,
    next_attempt_at BIGINT,
    UNIQUE (order_id, position)
);
CREATE INDEX refunds_due ON refunds (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- Movements of money: written once, never changed.
CREATE TABLE ledger (
    id           UUID PRIMARY KEY,
    order_id     UUID NOT NULL REFERENCES payments (order_id),
    kind         TEXT NOT NULL CHECK (kind IN ('capture', 'refund')),
    refund_id    UUID CHECK ((kind = 'refund') = (refund_id IS NOT NULL)),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency     TEXT NOT NULL,
    at           BIGINT NOT NULL
);
CREATE UNIQUE INDEX ledger_one_capture_per_order ON ledger (order_id) WHERE kind = 'capture';
CREATE UNIQUE INDEX ledger_one_entry_per_refund ON ledger (refund_id) WHERE kind = 'refund';
CREATE INDEX ledger_by_order ON ledger (order_id, at, id);

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;
CREATE TRIGGER ledger_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
