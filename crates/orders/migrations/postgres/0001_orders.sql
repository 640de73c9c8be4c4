CREATE TABLE orders (
    id      UUID PRIMARY KEY,
    user_id UUID NOT NULL,
    status  TEXT NOT NULL,
    version BIGINT NOT NULL,
    -- The whole order (contracts::event_data::OrderData); the columns beside it are what is searched for.
    body    TEXT NOT NULL
);
-- Ids are ordered by time, so that "newest first" is "greatest id first".
CREATE INDEX orders_by_user ON orders (user_id, id);

CREATE TABLE sagas (
    order_id           UUID PRIMARY KEY REFERENCES orders (id),
    state              TEXT NOT NULL,
    payment_method     TEXT NOT NULL,
    payment_unknown    BOOLEAN NOT NULL,
    cancel_reason      TEXT,
    refund_id          UUID,
    refund_reason      TEXT,
    refund_marks_order BOOLEAN NOT NULL,
    return_stock       BOOLEAN NOT NULL,
    refused            TEXT,
    attempts           BIGINT NOT NULL,
    owner              TEXT NOT NULL,
    -- Milliseconds since 1970, as everywhere in Souk: a timestamptz would keep what no other store and no client does.
    due_at             BIGINT,
    version            BIGINT NOT NULL
);
CREATE INDEX sagas_by_due ON sagas (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE idempotency_keys (
    user_id     UUID NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    -- Checked at the commit: the key is taken first, so that of several calls at once the later ones wait for it.
    order_id    UUID NOT NULL REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
