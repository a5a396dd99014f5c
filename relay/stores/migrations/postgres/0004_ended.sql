-- PostgreSQL's trigger asks first already.

BEGIN;

INSERT INTO migrations (number, name) VALUES (4, '0004_ended');

COMMIT;
