-- What the change of a subscription's status makes of its deliveries, where they are too many for one transaction: they follow in small
-- steps. Until then the row stands here, nothing of the subscription is claimed, and deliveries_shown tells them as if they had followed.
-- hold: pending ones become held, but those asked for by hand since. send: held ones become pending, due `at`. cancel: both are cancelled.

BEGIN;

CREATE TABLE moves (
    subscription_id text COLLATE "C" NOT NULL CONSTRAINT moves_key PRIMARY KEY
        CONSTRAINT moves_subscription REFERENCES subscriptions (id) ON DELETE CASCADE,
    kind text COLLATE "C" NOT NULL CONSTRAINT moves_kind_known CHECK (kind = 'hold' OR kind = 'send' OR kind = 'cancel'),
    at bigint NOT NULL
);

CREATE VIEW deliveries_moved AS SELECT deliveries.*, moves.at AS moved_at, CASE
        WHEN kind = 'hold' AND status = 'pending' AND NOT (manual AND next_attempt_at > at) THEN 'held'
        WHEN kind = 'send' AND status = 'held' THEN 'pending'
        WHEN kind = 'cancel' AND (status = 'pending' OR status = 'held') THEN 'cancelled'
    END AS moved_to
    FROM deliveries LEFT JOIN moves ON moves.subscription_id = deliveries.subscription_id;

CREATE VIEW deliveries_shown AS SELECT seq, id, account_id, event_id, event_type, subscription_id, task_id,
    coalesce(moved_to, status) AS status, attempts, manual,
    CASE WHEN moved_to IS NULL THEN next_attempt_at WHEN moved_to = 'pending' THEN moved_at END AS next_attempt_at,
    created_at, CASE WHEN moved_to = 'cancelled' THEN moved_at ELSE completed_at END AS completed_at, holder, behind, replay_id
    FROM deliveries_moved;

INSERT INTO migrations (number, name) VALUES (2, '0002_moves');

COMMIT;
