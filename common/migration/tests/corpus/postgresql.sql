-- Cases of the lint for PostgreSQL. Each begins with a line '--- PHASE: RULES', where RULES are those that its statements
-- break, or 'safe'; an override in it takes its rule away. What stands before the first case is the folder's first migration.
CREATE TABLE users (id bigint PRIMARY KEY, email varchar(100), name text, age integer, price numeric(10, 2), note varchar(20), data jsonb, active boolean, seen timestamp(3), team_id bigint);
CREATE TABLE posts (id bigint PRIMARY KEY, user_id bigint, title text);
CREATE TABLE teams (id bigint PRIMARY KEY, name text);
CREATE TABLE events (id bigint, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE events_2026 (id bigint, at timestamptz);
CREATE TABLE events_2027 (id bigint, at timestamptz);
--- expand: safe
ALTER TABLE users ADD COLUMN city text;
--- expand: safe
ALTER TABLE users ADD COLUMN city text NOT NULL DEFAULT 'Kiel';
--- expand: safe
ALTER TABLE users ADD COLUMN made timestamptz NOT NULL DEFAULT now();
--- expand: add-computed
ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid();
--- expand: safe
ALTER TABLE users ADD COLUMN token uuid;
ALTER TABLE users ALTER COLUMN token SET DEFAULT gen_random_uuid();
--- expand: add-computed
ALTER TABLE users ADD COLUMN number bigserial;
--- expand: add-computed
ALTER TABLE users ADD COLUMN whole text GENERATED ALWAYS AS (name || email) STORED;
--- expand: add-required
ALTER TABLE users ADD COLUMN city text NOT NULL;
--- expand: json
ALTER TABLE users ADD COLUMN extra json;
--- expand: safe
ALTER TABLE users ADD COLUMN extra jsonb;
--- expand: foreign-key
ALTER TABLE users ADD COLUMN boss bigint REFERENCES users (id);
--- expand: index
CREATE INDEX by_email ON users (email);
--- expand: index
CREATE UNIQUE INDEX by_email ON users (email);
--- expand: safe
-- cutover: transaction=off
CREATE INDEX CONCURRENTLY by_email ON users (email);
--- expand: safe
-- cutover: transaction=off
CREATE UNIQUE INDEX CONCURRENTLY by_email ON users (lower(email)) WHERE active;
--- contract: drop-index
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX by_email;
--- contract: safe
-- cutover: transaction=off
DROP INDEX CONCURRENTLY by_email;
--- expand: reindex
REINDEX TABLE users;
--- expand: safe
-- cutover: transaction=off
REINDEX TABLE CONCURRENTLY users;
--- expand: unique
ALTER TABLE users ADD CONSTRAINT one_email UNIQUE (email);
--- expand: unique
ALTER TABLE events_2026 ADD PRIMARY KEY (id);
--- expand: safe
ALTER TABLE users ADD CONSTRAINT one_email UNIQUE USING INDEX by_email;
--- expand: unique
ALTER TABLE users ADD CONSTRAINT apart EXCLUDE USING gist (name WITH =);
--- expand: foreign-key
ALTER TABLE posts ADD CONSTRAINT posts_user FOREIGN KEY (user_id) REFERENCES users (id);
--- expand: safe
ALTER TABLE posts ADD CONSTRAINT posts_user FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
-- cutover: part
ALTER TABLE posts VALIDATE CONSTRAINT posts_user;
--- expand: validate
ALTER TABLE posts ADD CONSTRAINT posts_user FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
ALTER TABLE posts VALIDATE CONSTRAINT posts_user;
--- expand: foreign-keys after-lock
ALTER TABLE posts ADD COLUMN a bigint, ADD CONSTRAINT a FOREIGN KEY (a) REFERENCES users (id) NOT VALID;
ALTER TABLE users ADD CONSTRAINT b FOREIGN KEY (team_id) REFERENCES teams (id) NOT VALID;
--- expand: foreign-keys
ALTER TABLE posts ADD CONSTRAINT a FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
ALTER TABLE users ADD CONSTRAINT b FOREIGN KEY (team_id) REFERENCES teams (id) NOT VALID;
--- expand: safe
ALTER TABLE posts ADD CONSTRAINT a FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
-- cutover: part
ALTER TABLE users ADD CONSTRAINT b FOREIGN KEY (team_id) REFERENCES teams (id) NOT VALID;
--- expand: check
ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 17);
--- expand: safe
ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 17) NOT VALID;
-- cutover: part
ALTER TABLE users VALIDATE CONSTRAINT grown;
--- expand: not-null not-null-scan
ALTER TABLE users ALTER COLUMN email SET NOT NULL;
--- contract: not-null-scan
ALTER TABLE users ALTER COLUMN email SET NOT NULL;
--- contract: safe
ALTER TABLE users ADD CONSTRAINT has_email CHECK (email IS NOT NULL) NOT VALID;
-- cutover: part
ALTER TABLE users VALIDATE CONSTRAINT has_email;
-- cutover: part
ALTER TABLE users ALTER COLUMN email SET NOT NULL;
ALTER TABLE users DROP CONSTRAINT has_email;
--- expand: safe
ALTER TABLE users ALTER COLUMN email DROP NOT NULL;
--- expand: safe
ALTER TABLE users ALTER COLUMN note TYPE varchar(40);
--- expand: safe
ALTER TABLE users ALTER COLUMN note TYPE text;
--- expand: safe
ALTER TABLE users ALTER COLUMN note TYPE text USING note::text;
--- expand: safe
ALTER TABLE users ALTER COLUMN price TYPE numeric(12, 2);
--- expand: safe
ALTER TABLE users ALTER COLUMN seen TYPE timestamp(6);
--- expand: change-type
ALTER TABLE users ALTER COLUMN price TYPE numeric(12, 3);
--- expand: change-type
ALTER TABLE users ALTER COLUMN note TYPE varchar(10);
--- expand: change-type
ALTER TABLE users ALTER COLUMN age TYPE bigint;
--- expand: change-type
ALTER TABLE users ALTER COLUMN note TYPE text USING upper(note);
--- expand: change-type-unknown
ALTER TABLE users ALTER COLUMN unheard_of TYPE text;
--- expand: rename
ALTER TABLE users RENAME COLUMN name TO full_name;
--- expand: rename
ALTER TABLE users RENAME TO people;
--- contract: safe
DROP VIEW people;
ALTER TABLE users RENAME TO people;
--- expand: drop-column
ALTER TABLE users DROP COLUMN name;
--- contract: safe
ALTER TABLE users DROP COLUMN name;
--- expand: safe
-- cutover: allow=drop-column reason="no version has ever read it"
ALTER TABLE users DROP COLUMN name;
--- expand: drop-table
DROP TABLE posts;
--- contract: safe
DROP TABLE posts;
--- expand: drop
DROP VIEW old_users;
--- expand: drop
DROP FUNCTION f();
--- expand: drop
DROP TRIGGER t ON users;
--- expand: drop
DROP TYPE mood;
--- expand: drop
ALTER TABLE users DROP CONSTRAINT grown;
--- contract: drop-database
DROP DATABASE shop;
--- contract: truncate
TRUNCATE users;
--- expand: change-default
ALTER TABLE users ALTER COLUMN active SET DEFAULT true;
--- contract: safe
ALTER TABLE users ALTER COLUMN active SET DEFAULT true;
--- expand: set-schema
ALTER TABLE users SET SCHEMA app;
--- expand: revoke
REVOKE SELECT ON users FROM shop;
--- expand: unbounded
UPDATE users SET active = true;
--- expand: unbounded
UPDATE users SET active = true WHERE active IS NULL;
--- expand: unbounded
DELETE FROM posts USING users WHERE users.id = posts.user_id;
--- expand: unbounded
DELETE FROM users WHERE id = 7 OR active;
--- expand: safe
UPDATE teams SET name = 'Core' WHERE id = 7;
--- expand: safe
DELETE FROM teams WHERE teams.id IN (1, 2, 3) AND name <> 'Core';
--- expand: mixed
ALTER TABLE teams ADD COLUMN city text;
UPDATE teams SET city = 'Kiel' WHERE id = 1;
--- expand: mixed
INSERT INTO teams VALUES (1, 'Core');
ALTER TABLE users ADD COLUMN city text;
--- expand: safe
ALTER TABLE teams ADD COLUMN city text;
-- cutover: part
UPDATE teams SET city = 'Kiel' WHERE id = 1;
--- expand: after-lock
ALTER TABLE users ADD COLUMN city text;
ALTER TABLE posts ADD COLUMN city text;
--- expand: safe
ALTER TABLE users ADD COLUMN city text;
ALTER TABLE users ADD COLUMN street text;
--- expand: vacuum-full
VACUUM FULL users;
--- expand: vacuum-full
VACUUM (FULL, ANALYZE) users;
--- expand: cluster
CLUSTER users USING users_pkey;
--- expand: move
ALTER TABLE users SET TABLESPACE fast;
--- expand: move
ALTER TABLE users SET LOGGED;
--- expand: move
ALTER INDEX users_pkey SET TABLESPACE fast;
--- expand: lock
LOCK TABLE users IN ACCESS EXCLUSIVE MODE;
--- expand: timeout
SET LOCAL lock_timeout = 0;
--- expand: unbounded
WITH gone AS (DELETE FROM posts RETURNING id) SELECT count(*) FROM gone;
--- expand: safe
SELECT setval('users_id_seq', 1000);
--- expand: check
ALTER TABLE users ADD COLUMN height integer CHECK (height > 0);
--- expand: unique
ALTER TABLE users ADD COLUMN number integer UNIQUE;
--- expand: code
EXECUTE fill;
--- expand: refresh
REFRESH MATERIALIZED VIEW totals;
--- expand: safe
REFRESH MATERIALIZED VIEW CONCURRENTLY totals;
--- expand: attach
ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
--- expand: safe
ALTER TABLE events_2027 ADD CONSTRAINT bounds CHECK (at >= '2027-01-01' AND at < '2028-01-01') NOT VALID;
-- cutover: part
ALTER TABLE events_2027 VALIDATE CONSTRAINT bounds;
-- cutover: part
ALTER TABLE events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
--- expand: safe
CREATE TABLE events_2028 (id bigint, at timestamptz);
ALTER TABLE events ATTACH PARTITION events_2028 FOR VALUES FROM ('2028-01-01') TO ('2029-01-01');
--- contract: detach
ALTER TABLE events DETACH PARTITION events_2026;
--- expand: trigger
CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();
--- expand: disable-trigger
ALTER TABLE users DISABLE TRIGGER t;
--- expand: domain
ALTER DOMAIN mail ADD CONSTRAINT has_at CHECK (value LIKE '%@%');
--- expand: code
DO $$ BEGIN UPDATE users SET active = true; END $$;
--- expand: code
CALL fill_users();
--- expand: safe
CREATE TABLE notes (id bigint PRIMARY KEY, body json, user_id bigint REFERENCES users (id));
CREATE INDEX by_user ON notes (user_id);
ALTER TABLE notes ALTER COLUMN body SET NOT NULL;
INSERT INTO notes VALUES (1, '{}', NULL);
UPDATE notes SET body = '[]';
--- expand: safe
CREATE TYPE mood AS ENUM ('good', 'bad');
ALTER TYPE mood ADD VALUE 'fine' BEFORE 'bad';
--- expand: safe
CREATE VIEW active_users AS SELECT * FROM users WHERE active;
COMMENT ON TABLE users IS 'People.';
GRANT SELECT ON active_users TO shop;
--- expand: unread
ALTER TABEL users ADD COLUMN city text;
--- expand: unbounded drop-column index
CREATE SCHEMA archive;
CREATE TABLE archive.users (LIKE public.users);
DELETE FROM public.users;
-- cutover: part
CREATE INDEX by_note ON users (note);
-- cutover: part
ALTER TABLE public.users DROP COLUMN note;
--- expand: safe
CREATE TABLE archive.users (id bigint, note text);
CREATE INDEX by_note ON archive.users (note);
ALTER TABLE ONLY archive . users DROP COLUMN note;
--- expand: drop-column index
CREATE TABLE IF NOT EXISTS users (id bigint, name text);
CREATE INDEX by_name ON users (name);
-- cutover: part
ALTER TABLE users DROP COLUMN name;
--- expand: unbounded
CREATE TABLE IF NOT EXISTS users AS SELECT 1 AS id;
DELETE FROM users;
--- expand: not-null not-null-scan
ALTER TABLE users ADD COLUMN IF NOT EXISTS name text;
ALTER TABLE users ALTER COLUMN name SET NOT NULL;
--- expand: unbounded
WITH d AS (DELETE FROM posts WHERE id < 100000 RETURNING *) INSERT INTO teams SELECT id, title FROM d;
--- expand: unbounded
WITH d AS (WITH a AS (SELECT 1) DELETE FROM posts RETURNING *) SELECT * FROM d;
--- expand: unbounded
CREATE TABLE gone AS WITH d AS (DELETE FROM posts RETURNING *) SELECT * FROM d;
--- expand: unbounded
CREATE TABLE gone (id bigint);
WITH d AS (DELETE FROM posts RETURNING *) UPDATE gone SET id = 1;
--- expand: unbounded
WITH d AS (DELETE FROM posts RETURNING *) UPDATE users SET age = 1 WHERE id = 1;
--- expand: unbounded
COPY (DELETE FROM posts RETURNING *) TO '/tmp/posts';
--- expand: unbounded
EXPLAIN ANALYZE DELETE FROM users;
--- expand: unbounded
EXPLAIN (ANALYZE, VERBOSE) UPDATE users SET age = 1;
--- expand: safe
EXPLAIN DELETE FROM users;
EXPLAIN ANALYZE SELECT * FROM users;
INSERT INTO teams VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET name = 'a';
--- expand: timeout
RESET ALL;
--- expand: timeout
RESET lock_timeout;
--- expand: timeout
SET "lock_timeout" TO 0;
--- expand: timeout
SELECT pg_catalog.set_config('lock_timeout', '0', false);
--- expand: timeout
SELECT set_config('lock_' || 'timeout', '0', false);
--- expand: safe
SELECT pg_catalog.set_config('search_path', '', false);
SET statement_timeout = '5s';
RESET statement_timeout;
