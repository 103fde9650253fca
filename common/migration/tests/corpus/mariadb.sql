-- Cases of the lint for MySQL and MariaDB, in the form of those for PostgreSQL.
CREATE TABLE users (id bigint PRIMARY KEY, email varchar(100), name text, age int);
CREATE TABLE posts (id bigint PRIMARY KEY, user_id bigint);
--- expand: safe
ALTER TABLE users ADD COLUMN city varchar(20), ALGORITHM=INSTANT;
--- expand: algorithm
ALTER TABLE users ADD COLUMN city varchar(20);
--- expand: add-required
ALTER TABLE users ADD COLUMN city varchar(20) NOT NULL, ALGORITHM=INSTANT;
--- expand: safe
ALTER TABLE users ADD COLUMN city varchar(20) NOT NULL DEFAULT '', ALGORITHM=INSTANT;
--- expand: safe
ALTER TABLE users ADD INDEX by_email (email), ALGORITHM=INPLACE, LOCK=NONE;
--- expand: algorithm
ALTER TABLE users ADD INDEX by_email (email), ALGORITHM=INPLACE;
--- expand: algorithm
CREATE INDEX by_email ON users (email);
--- expand: safe
CREATE INDEX by_email ON users (email) ALGORITHM=INPLACE LOCK=NONE;
--- expand: copy
ALTER TABLE users ADD INDEX by_email (email), ALGORITHM=COPY;
--- expand: copy
ALTER TABLE users ADD FULLTEXT INDEX words (name), ALGORITHM=INPLACE, LOCK=SHARED;
--- contract: algorithm
DROP INDEX by_email ON users;
--- contract: safe
DROP INDEX by_email ON users ALGORITHM=INPLACE LOCK=NONE;
--- expand: drop-column
ALTER TABLE users DROP COLUMN name, ALGORITHM=INSTANT;
--- contract: safe
ALTER TABLE users DROP COLUMN name, ALGORITHM=INSTANT;
--- expand: safe
-- cutover: allow=drop-column reason="no version has ever read it"
ALTER TABLE users DROP COLUMN name, ALGORITHM=INSTANT;
--- expand: drop
ALTER TABLE posts DROP FOREIGN KEY posts_user, ALGORITHM=INPLACE, LOCK=NONE;
--- expand: rename
ALTER TABLE users RENAME COLUMN name TO full_name, ALGORITHM=INSTANT;
--- expand: rename
ALTER TABLE users CHANGE COLUMN name full_name text, ALGORITHM=INSTANT;
--- expand: rename
RENAME TABLE users TO people;
--- expand: not-null
ALTER TABLE users MODIFY COLUMN email varchar(100) NOT NULL, ALGORITHM=INPLACE, LOCK=NONE;
--- contract: safe
ALTER TABLE users MODIFY COLUMN email varchar(100) NOT NULL, ALGORITHM=INPLACE, LOCK=NONE;
--- expand: algorithm
ALTER TABLE users MODIFY COLUMN age bigint;
--- expand: change-default
ALTER TABLE users ALTER COLUMN age SET DEFAULT 7, ALGORITHM=INSTANT;
--- expand: algorithm move
ALTER TABLE users ENGINE=InnoDB;
--- expand: algorithm move
ALTER TABLE users CONVERT TO CHARACTER SET utf8mb4;
--- expand: drop-table
DROP TABLE posts;
--- expand: drop
DROP VIEW people;
--- expand: drop
DROP TRIGGER t;
--- contract: truncate
TRUNCATE TABLE posts;
--- contract: drop-database
DROP DATABASE shop;
--- expand: lock
LOCK TABLES users WRITE;
--- expand: vacuum-full
OPTIMIZE TABLE users;
--- expand: unbounded
UPDATE users SET age = 0;
--- expand: safe
UPDATE users SET age = 0 WHERE id = 7;
--- expand: trigger
CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW BEGIN SET NEW.age = 0; UPDATE posts SET user_id = 1; END;
--- expand: code
CALL fill_users();
--- expand: safe
CREATE TABLE notes (id bigint PRIMARY KEY, body json);
ALTER TABLE notes ADD COLUMN user_id bigint NOT NULL;
CREATE INDEX by_user ON notes (user_id);
--- expand: safe
SET STATEMENT foreign_key_checks = 0 FOR ALTER TABLE posts ADD CONSTRAINT posts_user FOREIGN KEY (user_id) REFERENCES users (id), ALGORITHM=INPLACE, LOCK=NONE;
--- expand: unread
ALTR TABLE users ADD COLUMN city text;
--- expand: algorithm drop-column
CREATE TABLE IF NOT EXISTS users (id bigint, name text);
ALTER TABLE users DROP COLUMN name;
--- expand: algorithm drop-column
CREATE TABLE archive.users (id bigint, name text);
ALTER TABLE users DROP COLUMN name;
--- expand: copy
ALTER TABLE users ADD SYSTEM VERSIONING, ALGORITHM=INPLACE, LOCK=NONE;
--- expand: copy
ALTER TABLE posts ADD PERIOD FOR validity (starts_on, ends_on), ALGORITHM=INSTANT;
--- expand: drop
ALTER TABLE users DROP SYSTEM VERSIONING, ALGORITHM=INPLACE, LOCK=NONE;
--- expand: safe
ALTER TABLE users ADD system varchar(20), ADD period int, ALGORITHM=INSTANT;
