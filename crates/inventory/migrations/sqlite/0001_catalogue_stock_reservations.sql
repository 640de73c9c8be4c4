CREATE TABLE products (
    sku         TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    price_minor INTEGER NOT NULL CHECK (price_minor >= 0),
    currency    TEXT NOT NULL,
    image_url   TEXT NOT NULL,
    -- JSON array of texts, in the order given; product_tags is its index.
    tags        TEXT NOT NULL,
    -- Name, sku and description in lower case: SQLite itself folds only ASCII.
    search_text TEXT NOT NULL,
    version     INTEGER NOT NULL CHECK (version >= 1),
    updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE product_tags (
    tag TEXT NOT NULL,
    sku TEXT NOT NULL REFERENCES products (sku),
    PRIMARY KEY (tag, sku)
) STRICT, WITHOUT ROWID;
CREATE INDEX product_tags_by_sku ON product_tags (sku);

-- Apart from products: a checkout rewrites a few bytes, not a description.
CREATE TABLE stock (
    sku      TEXT PRIMARY KEY REFERENCES products (sku),
    on_hand  INTEGER NOT NULL CHECK (on_hand >= 0),
    reserved INTEGER NOT NULL CHECK (reserved BETWEEN 0 AND on_hand)
) STRICT, WITHOUT ROWID;

-- The ledger: for every product the sum of quantity is what is on hand.
CREATE TABLE stock_movements (
    position INTEGER PRIMARY KEY,
    sku      TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('counted', 'committed', 'returned')),
    -- Units that came (above zero) or went (below).
    quantity INTEGER NOT NULL CHECK (quantity <> 0),
    order_id TEXT CHECK ((order_id IS NULL) = (kind = 'counted')),
    reason   TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE TRIGGER stock_movements_are_not_changed BEFORE UPDATE ON stock_movements
BEGIN SELECT raise(ABORT, 'stock_movements is append-only'); END;
CREATE TRIGGER stock_movements_are_not_deleted BEFORE DELETE ON stock_movements
BEGIN SELECT raise(ABORT, 'stock_movements is append-only'); END;

CREATE TABLE reservations (
    order_id      TEXT PRIMARY KEY,
    status        TEXT NOT NULL CHECK (status IN ('held', 'pinned', 'committed', 'released', 'returned')),
    release_cause TEXT CHECK (release_cause IN ('verdict', 'expired')),
    expires_at    INTEGER,
    -- JSON array of {"sku","quantity"}: read and written as a whole. See the view reservation_lines.
    lines         TEXT NOT NULL,
    version       INTEGER NOT NULL CHECK (version >= 0),
    updated_at    INTEGER NOT NULL,
    CHECK ((expires_at IS NOT NULL) = (status = 'held')),
    CHECK ((release_cause IS NOT NULL) = (status = 'released'))
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_by_expiry ON reservations (expires_at) WHERE status = 'held';

-- For audits: what each order has reserved, got or had.
CREATE VIEW reservation_lines AS
SELECT order_id, status, line.value ->> 'sku' AS sku, line.value ->> 'quantity' AS quantity
FROM reservations, json_each(lines) AS line;
