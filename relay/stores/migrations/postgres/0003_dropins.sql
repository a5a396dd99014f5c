-- See the step of the same name in the folder beside this one. holder: the process where the caller waits for its answer.

BEGIN;

CREATE TABLE calls (
    task_id text COLLATE "C" NOT NULL CONSTRAINT calls_key PRIMARY KEY CONSTRAINT calls_task REFERENCES tasks (id),
    fingerprint text COLLATE "C" NOT NULL,
    native text COLLATE "C" NOT NULL,
    taken boolean NOT NULL DEFAULT false,
    rejoins bigint NOT NULL DEFAULT 0,
    seen_at bigint NOT NULL,
    holder text COLLATE "C",
    CONSTRAINT calls_attached_until_taken CHECK (holder IS NULL OR NOT taken)
);

CREATE INDEX calls_sought ON calls (fingerprint, seen_at);
CREATE INDEX calls_leased ON calls (holder) WHERE holder IS NOT NULL;

ALTER TABLE tasks ADD COLUMN dropin text COLLATE "C";

ALTER TABLE keys ADD COLUMN via text COLLATE "C";

INSERT INTO migrations (number, name) VALUES (3, '0003_dropins');

COMMIT;
