-- Times are microseconds since 1970 in UTC. JSON is text. `seq` is the order of recording.
-- `leased` is 1 while the process works on the row; a row that is leased is never claimed.
-- Indexes that end in seq do so by themselves: it is the row's key.
-- The checks are written with OR: SQLite builds a list of IN anew for every row, a quarter of the time of a write.

BEGIN IMMEDIATE;

CREATE TABLE accounts (
    seq INTEGER CONSTRAINT accounts_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT accounts_id_unique UNIQUE,
    name TEXT NOT NULL CONSTRAINT accounts_name_unique UNIQUE,
    created_at INTEGER NOT NULL,
    retention REAL
) STRICT;

CREATE TABLE keys (
    seq INTEGER CONSTRAINT keys_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT keys_id_unique UNIQUE,
    account_id TEXT NOT NULL CONSTRAINT keys_account REFERENCES accounts (id),
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE UNIQUE INDEX keys_in_force ON keys (hash) WHERE revoked_at IS NULL;
CREATE INDEX keys_listed ON keys (account_id, id) WHERE revoked_at IS NULL;

-- due_at: when a queued task is to be sent; when an open one is to be looked at, at its deadline at the latest. Null for one
-- whose submission was started and never answered, until somebody schedules it.
CREATE TABLE tasks (
    seq INTEGER CONSTRAINT tasks_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT tasks_id_unique UNIQUE,
    account_id TEXT NOT NULL CONSTRAINT tasks_account REFERENCES accounts (id),
    provider TEXT NOT NULL,
    model TEXT,
    prompt TEXT,
    input TEXT NOT NULL,
    status TEXT NOT NULL CONSTRAINT tasks_status_known
        CHECK (status = 'queued' OR status = 'submitted' OR status = 'processing' OR status = 'succeeded' OR status = 'failed'),
    progress INTEGER,
    images TEXT NOT NULL,
    error TEXT,
    provider_task_id TEXT,
    via TEXT CONSTRAINT tasks_via_known CHECK (via = 'callback' OR via = 'poll' OR via = 'response'),
    cost REAL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    submitted_at INTEGER,
    completed_at INTEGER,
    accepted INTEGER NOT NULL CONSTRAINT tasks_accepted_flag CHECK (accepted = 0 OR accepted = 1),
    watched INTEGER NOT NULL CONSTRAINT tasks_watched_flag CHECK (watched = 0 OR watched = 1),
    sends INTEGER NOT NULL,
    polls INTEGER NOT NULL,
    deadline_at INTEGER,
    due_at INTEGER,
    leased INTEGER NOT NULL DEFAULT 0 CONSTRAINT tasks_leased_flag CHECK (leased = 0 OR leased = 1),
    erased_at INTEGER,
    CONSTRAINT tasks_end_is_final CHECK (completed_at IS NULL OR status = 'succeeded' OR status = 'failed'),
    CONSTRAINT tasks_final_rest CHECK ((status <> 'succeeded' AND status <> 'failed') OR (leased = 0 AND due_at IS NULL))
) STRICT;

CREATE INDEX tasks_listed ON tasks (account_id, created_at);
CREATE INDEX tasks_queued ON tasks (provider, created_at, seq, due_at) WHERE status = 'queued';
CREATE INDEX tasks_queued_due ON tasks (provider, due_at) WHERE status = 'queued';
CREATE INDEX tasks_running ON tasks (provider, status, watched) WHERE status IN ('submitted', 'processing');
CREATE INDEX tasks_sent ON tasks (provider, submitted_at) WHERE sends > 0 AND submitted_at IS NOT NULL;
CREATE INDEX tasks_polled ON tasks (provider, due_at) WHERE status IN ('submitted', 'processing') AND leased = 0 AND due_at IS NOT NULL;
CREATE INDEX tasks_doubtful ON tasks (provider) WHERE status = 'submitted' AND accepted = 0 AND leased = 0 AND due_at IS NULL;

CREATE TABLE idempotency (
    account_id TEXT NOT NULL CONSTRAINT idempotency_account REFERENCES accounts (id),
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    task_id TEXT NOT NULL CONSTRAINT idempotency_task REFERENCES tasks (id),
    CONSTRAINT idempotency_key PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_of_task ON idempotency (task_id);

CREATE TABLE notes (
    seq INTEGER CONSTRAINT notes_key PRIMARY KEY,
    task_id TEXT NOT NULL CONSTRAINT notes_task REFERENCES tasks (id),
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE INDEX notes_of_task ON notes (task_id);

CREATE TABLE callbacks (
    seq INTEGER CONSTRAINT callbacks_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT callbacks_id_unique UNIQUE,
    task_id TEXT NOT NULL CONSTRAINT callbacks_task REFERENCES tasks (id),
    account_id TEXT NOT NULL CONSTRAINT callbacks_account REFERENCES accounts (id),
    provider TEXT NOT NULL,
    verdict TEXT NOT NULL CONSTRAINT callbacks_verdict_known
        CHECK (verdict = 'applied' OR verdict = 'duplicate' OR verdict = 'late'
            OR verdict = 'unreadable' OR verdict = 'mismatched' OR verdict = 'unconfirmed'),
    headers TEXT NOT NULL,
    body TEXT NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

CREATE INDEX callbacks_listed ON callbacks (account_id);
CREATE INDEX callbacks_of_task ON callbacks (task_id);

CREATE TABLE events (
    seq INTEGER CONSTRAINT events_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT events_id_unique UNIQUE,
    account_id TEXT NOT NULL CONSTRAINT events_account REFERENCES accounts (id),
    type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    task_id TEXT,
    provider TEXT,
    metadata TEXT NOT NULL,
    subscription_id TEXT,
    about_id TEXT
) STRICT;

CREATE INDEX events_listed ON events (account_id);
CREATE INDEX events_of_task ON events (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX events_of_no_task ON events (account_id, created_at) WHERE task_id IS NULL;

-- troubled: its owner was told of a failure, and not yet of a success.
CREATE TABLE subscriptions (
    seq INTEGER CONSTRAINT subscriptions_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT subscriptions_id_unique UNIQUE,
    account_id TEXT NOT NULL CONSTRAINT subscriptions_account REFERENCES accounts (id),
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    providers TEXT,
    metadata TEXT,
    format TEXT NOT NULL,
    description TEXT,
    sealed_headers TEXT,
    rate_per_second REAL,
    max_concurrent INTEGER,
    ordered INTEGER NOT NULL CONSTRAINT subscriptions_ordered_flag CHECK (ordered = 0 OR ordered = 1),
    retry_schedule TEXT,
    signatures TEXT NOT NULL,
    template TEXT,
    verify TEXT,
    allow_cidrs TEXT,
    sealed_secret TEXT NOT NULL,
    previous_sealed_secret TEXT,
    public_key TEXT,
    sealed_private_key TEXT,
    previous_sealed_private_key TEXT,
    previous_secret_until INTEGER,
    sealed_callback_secret TEXT,
    task_id TEXT CONSTRAINT subscriptions_task REFERENCES tasks (id),
    status TEXT NOT NULL CONSTRAINT subscriptions_status_known CHECK (status = 'active' OR status = 'paused' OR status = 'disabled'),
    disabled_reason TEXT CONSTRAINT subscriptions_reason_known CHECK (disabled_reason = 'gone' OR disabled_reason = 'failing'),
    failing_since INTEGER,
    slowness INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER,
    identity TEXT,
    troubled INTEGER NOT NULL DEFAULT 0 CONSTRAINT subscriptions_troubled_flag CHECK (troubled = 0 OR troubled = 1),
    CONSTRAINT subscriptions_disabled_why CHECK ((status = 'disabled') = (disabled_reason IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX subscriptions_identity ON subscriptions (account_id, identity) WHERE deleted_at IS NULL AND identity IS NOT NULL;
CREATE INDEX subscriptions_standing ON subscriptions (account_id, id) WHERE deleted_at IS NULL AND task_id IS NULL;
CREATE INDEX subscriptions_of_task ON subscriptions (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX subscriptions_deleted ON subscriptions (account_id, deleted_at) WHERE deleted_at IS NOT NULL;

-- When owners were told last of something, so that they are not told of it all the time.
CREATE TABLE alarms (
    account_id TEXT NOT NULL CONSTRAINT alarms_account REFERENCES accounts (id),
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    told_at INTEGER NOT NULL,
    CONSTRAINT alarms_key PRIMARY KEY (account_id, type, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX alarms_told ON alarms (told_at);

-- at_seq: the last event that was looked at.
CREATE TABLE replays (
    seq INTEGER CONSTRAINT replays_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT replays_id_unique UNIQUE,
    account_id TEXT NOT NULL CONSTRAINT replays_account REFERENCES accounts (id),
    subscription_id TEXT NOT NULL CONSTRAINT replays_subscription REFERENCES subscriptions (id),
    since INTEGER,
    until INTEGER NOT NULL,
    delivery_status TEXT CONSTRAINT replays_delivery_status_known CHECK (delivery_status = 'delivered'
        OR delivery_status = 'exhausted' OR delivery_status = 'held' OR delivery_status = 'cancelled'),
    types TEXT,
    status TEXT NOT NULL CONSTRAINT replays_status_known CHECK (status = 'running' OR status = 'done' OR status = 'cancelled'),
    total INTEGER,
    made INTEGER NOT NULL DEFAULT 0,
    at_seq INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    completed_at INTEGER,
    CONSTRAINT replays_end_is_dated CHECK ((status = 'running') = (completed_at IS NULL))
) STRICT;

CREATE INDEX replays_listed ON replays (account_id, id);
CREATE INDEX replays_of_subscription ON replays (subscription_id, id);
CREATE INDEX replays_running ON replays (subscription_id, seq) WHERE status = 'running';
CREATE INDEX replays_ended ON replays (account_id, completed_at) WHERE completed_at IS NOT NULL;

-- behind: 1 for a pending delivery of an ordered subscription that waits for an earlier one of the same task. It is set by a claim that
-- meets it, and taken back by the trigger below: too often does no harm.
CREATE TABLE deliveries (
    seq INTEGER CONSTRAINT deliveries_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT deliveries_id_unique UNIQUE,
    account_id TEXT NOT NULL CONSTRAINT deliveries_account REFERENCES accounts (id),
    event_id TEXT NOT NULL CONSTRAINT deliveries_event REFERENCES events (id),
    event_type TEXT NOT NULL,
    subscription_id TEXT NOT NULL CONSTRAINT deliveries_subscription REFERENCES subscriptions (id),
    task_id TEXT,
    status TEXT NOT NULL CONSTRAINT deliveries_status_known
        CHECK (status = 'pending' OR status = 'delivered' OR status = 'exhausted' OR status = 'held' OR status = 'cancelled'),
    attempts INTEGER NOT NULL,
    manual INTEGER NOT NULL CONSTRAINT deliveries_manual_flag CHECK (manual = 0 OR manual = 1),
    next_attempt_at INTEGER,
    created_at INTEGER NOT NULL,
    completed_at INTEGER,
    leased INTEGER NOT NULL DEFAULT 0 CONSTRAINT deliveries_leased_flag CHECK (leased = 0 OR leased = 1),
    behind INTEGER NOT NULL DEFAULT 0 CONSTRAINT deliveries_behind_flag CHECK (behind = 0 OR behind = 1),
    replay_id TEXT,
    CONSTRAINT deliveries_pending_when CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;

CREATE INDEX deliveries_listed ON deliveries (account_id, created_at);
CREATE INDEX deliveries_of_subscription ON deliveries (subscription_id, created_at);
CREATE INDEX deliveries_of_task ON deliveries (task_id, created_at) WHERE task_id IS NOT NULL;
CREATE INDEX deliveries_due ON deliveries (subscription_id, next_attempt_at) WHERE status = 'pending' AND leased = 0 AND behind = 0;
CREATE INDEX deliveries_pending ON deliveries (subscription_id, task_id) WHERE status = 'pending';
CREATE INDEX deliveries_behind ON deliveries (subscription_id, task_id) WHERE behind = 1;
CREATE INDEX deliveries_held ON deliveries (subscription_id) WHERE status = 'held';
CREATE INDEX deliveries_leased ON deliveries (leased) WHERE leased = 1;

-- The subscriptions for which something waits: each once, however much that is, so that a claim walks past a backlog in one step.
-- due_at: when its next delivery may be due, never later than it is. It may be earlier: whoever claims sets it right.
CREATE TABLE lanes (
    subscription_id TEXT NOT NULL CONSTRAINT lanes_key PRIMARY KEY CONSTRAINT lanes_subscription REFERENCES subscriptions (id),
    due_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX lanes_due ON lanes (due_at);

-- Triggers, since a delivery becomes pending, or ceases to be, at many places, and one that forgot this would lose deliveries.
CREATE TRIGGER deliveries_made AFTER INSERT ON deliveries WHEN NEW.status = 'pending' AND NEW.leased = 0
BEGIN
    INSERT INTO lanes (subscription_id, due_at) VALUES (NEW.subscription_id, NEW.next_attempt_at)
    ON CONFLICT (subscription_id) DO UPDATE SET due_at = excluded.due_at WHERE excluded.due_at < due_at;
END;

CREATE TRIGGER deliveries_freed AFTER UPDATE OF status, next_attempt_at, leased, behind ON deliveries
WHEN NEW.status = 'pending' AND NEW.leased = 0 AND NEW.behind = 0
BEGIN
    INSERT INTO lanes (subscription_id, due_at) VALUES (NEW.subscription_id, NEW.next_attempt_at)
    ON CONFLICT (subscription_id) DO UPDATE SET due_at = excluded.due_at WHERE excluded.due_at < due_at;
END;

-- The head of a task's deliveries is out of the way. (The order of triggers is not defined, and does not matter here.)
CREATE TRIGGER deliveries_ended AFTER UPDATE OF status ON deliveries
WHEN OLD.status = 'pending' AND NEW.status <> 'pending' AND NEW.task_id IS NOT NULL
BEGIN
    UPDATE deliveries SET behind = 0 WHERE subscription_id = NEW.subscription_id AND task_id = NEW.task_id AND behind = 1;
END;

CREATE TRIGGER subscriptions_unordered AFTER UPDATE OF ordered ON subscriptions WHEN OLD.ordered = 1 AND NEW.ordered = 0
BEGIN
    UPDATE deliveries SET behind = 0 WHERE subscription_id = NEW.id AND behind = 1;
END;
CREATE INDEX deliveries_of_event ON deliveries (event_id, subscription_id);
CREATE INDEX deliveries_replayed ON deliveries (replay_id, status, attempts) WHERE replay_id IS NOT NULL;

-- A replay with how many of its deliveries were never attempted.
CREATE VIEW replays_shown AS SELECT replays.*, CASE WHEN status = 'done' THEN 0 ELSE (SELECT count(*) FROM deliveries
    WHERE replay_id = replays.id AND deliveries.status IN ('pending', 'held', 'cancelled') AND attempts = 0) END AS untried
    FROM replays;

CREATE TABLE attempts (
    seq INTEGER CONSTRAINT attempts_key PRIMARY KEY,
    id TEXT NOT NULL CONSTRAINT attempts_id_unique UNIQUE,
    delivery_id TEXT NOT NULL CONSTRAINT attempts_delivery REFERENCES deliveries (id),
    number INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    duration_ms REAL NOT NULL,
    status_code INTEGER,
    error TEXT,
    response_body TEXT
) STRICT;

CREATE INDEX attempts_of_delivery ON attempts (delivery_id);

-- Tasks that were pruned. day: since 1970.
CREATE TABLE counts (
    account_id TEXT NOT NULL CONSTRAINT counts_account REFERENCES accounts (id),
    day INTEGER NOT NULL,
    provider TEXT NOT NULL,
    status TEXT NOT NULL,
    count INTEGER NOT NULL,
    CONSTRAINT counts_key PRIMARY KEY (account_id, day, provider, status)
) STRICT, WITHOUT ROWID;

-- A row to write to, for whoever asks whether a write can be committed now.
CREATE TABLE probe (count INTEGER NOT NULL) STRICT;
INSERT INTO probe (count) VALUES (0);

INSERT INTO migrations (number, name) VALUES (1, '0001_tables');

COMMIT;
