-- What is remembered of requests by which apps had tasks made through a drop-in, so that a repeat is not paid twice, and polls are answered
-- faithfully. leased: the caller waits for its answer. taken: it was sent. Neither: the caller is gone. seen_at: when the caller came, or
-- was last heard of. rejoins: how often a repeat took the place of one that was gone.

BEGIN IMMEDIATE;

CREATE TABLE calls (
    task_id TEXT NOT NULL CONSTRAINT calls_key PRIMARY KEY CONSTRAINT calls_task REFERENCES tasks (id),
    fingerprint TEXT NOT NULL,
    native TEXT NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0 CONSTRAINT calls_taken_flag CHECK (taken = 0 OR taken = 1),
    rejoins INTEGER NOT NULL DEFAULT 0,
    seen_at INTEGER NOT NULL,
    leased INTEGER NOT NULL DEFAULT 1 CONSTRAINT calls_leased_flag CHECK (leased = 0 OR leased = 1),
    CONSTRAINT calls_attached_until_taken CHECK (leased = 0 OR taken = 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX calls_sought ON calls (fingerprint, seen_at);
CREATE INDEX calls_leased ON calls (leased) WHERE leased = 1;

-- The provider in whose place a drop-in was asked for it; null: none was.
ALTER TABLE tasks ADD COLUMN dropin TEXT;

-- Drop-in -> the provider that makes its pictures for this key, as JSON; null: as the settings say.
ALTER TABLE keys ADD COLUMN via TEXT;

INSERT INTO migrations (number, name) VALUES (3, '0003_dropins');

COMMIT;
