-- Whose order it is: support rooms are for its customer. Known of orders used from now on, and of those that an inbox shows.
ALTER TABLE order_versions ADD COLUMN user_id TEXT;
UPDATE order_versions SET user_id = (SELECT user_id FROM notifications WHERE order_id = order_versions.order_id);
UPDATE order_versions SET user_id = shown.user_id
FROM (SELECT data ->> 'id' AS order_id, user_id FROM inbox_entries WHERE event IN ('order_created', 'order_updated')) shown
WHERE shown.order_id = order_versions.order_id AND order_versions.user_id IS NULL;

CREATE TABLE chat_rooms (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    visibility TEXT    NOT NULL,
    order_id   TEXT    UNIQUE,             -- of a support room: one for each order
    owner_id   TEXT    NOT NULL,           -- who made it; of a support room, whose order it is
    created_at INTEGER NOT NULL,           -- Unix ms
    last_seq   INTEGER NOT NULL DEFAULT 0, -- of its newest message
    version    INTEGER NOT NULL DEFAULT 0  -- its events so far
) STRICT, WITHOUT ROWID;

CREATE INDEX chat_rooms_public ON chat_rooms (id) WHERE visibility = 'public';

CREATE TABLE chat_members (
    room_id   TEXT    NOT NULL,
    user_id   TEXT    NOT NULL,
    joined_at INTEGER NOT NULL, -- Unix ms
    read_seq  INTEGER NOT NULL,
    own_after INTEGER NOT NULL, -- messages of their own after read_seq
    PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX chat_members_by_user ON chat_members (user_id, room_id);

-- What was said in each room: append-only, seq gapless from 1 for each room.
CREATE TABLE chat_messages (
    room_id    TEXT    NOT NULL,
    seq        INTEGER NOT NULL CHECK (seq > 0),
    id         TEXT    NOT NULL UNIQUE,
    user_id    TEXT    NOT NULL,
    content    TEXT    NOT NULL,
    client_id  TEXT,
    created_at INTEGER NOT NULL, -- Unix ms
    PRIMARY KEY (room_id, seq)
) STRICT, WITHOUT ROWID;

-- The sender's own name for a message: the same one again is the same message.
CREATE UNIQUE INDEX chat_messages_by_client_id ON chat_messages (room_id, user_id, client_id) WHERE client_id IS NOT NULL;
