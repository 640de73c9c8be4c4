-- A contact is forgotten when an event says that it changed, and asked for when it is needed. The version stays: an answer
-- that is older than it is not kept.
CREATE TABLE contacts_by_version (
    user_id TEXT    PRIMARY KEY,
    email   TEXT,             -- NULL until the users service was asked
    name    TEXT,             -- NULL with it
    version INTEGER NOT NULL, -- of the account: the newest that was told
    CHECK ((email IS NULL) = (name IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO contacts_by_version SELECT user_id, email, name, version FROM contacts;
DROP TABLE contacts;
ALTER TABLE contacts_by_version RENAME TO contacts;
