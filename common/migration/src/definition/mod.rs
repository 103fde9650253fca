//! What a definition of MySQL's or MariaDB's leaves in the catalog. Such a statement commits by itself, so after a kill the
//! catalog is all that knows whether it was done.

mod alter;
mod reader;
mod words;

use std::fmt;

use cutover_core::Engine;

use crate::statement::statements;
use crate::token::tokens;
use reader::Reader;
use words::Words;

/// A name as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its schema, which is a database; none: that of the session.
    pub schema: Option<String>,
    /// The name in it.
    pub name: String,
}

impl Name {
    /// Reads a name as it stands in SQL: `posts`, `` shop.`posts` ``.
    pub fn read(text: &str) -> Option<Self> {
        let found = tokens(text, Engine::Mysql);
        let mut words = Words(&found);
        words.name().filter(|_| words.is_empty())
    }
}

/// A part of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// A column.
    Column,
    /// An index. That of the primary key is called `PRIMARY`.
    Index,
    /// A constraint: a foreign key, a check, or the one that a unique index is.
    Constraint,
}

/// A thing in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A table or a view.
    Table(Name),
    /// A trigger.
    Trigger(Name),
    /// A function or a procedure.
    Routine(Name),
    /// An event.
    Event(Name),
    /// A part of a table, by its own name.
    Member(Name, Member, String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.schema.iter().try_for_each(|schema| write!(f, "{schema}."))?;
        f.write_str(&self.name)
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(name) => write!(f, "table {name}"),
            Self::Trigger(name) => write!(f, "trigger {name}"),
            Self::Routine(name) => write!(f, "routine {name}"),
            Self::Event(name) => write!(f, "event {name}"),
            Self::Member(table, Member::Column, name) => write!(f, "column {name} of {table}"),
            Self::Member(table, Member::Index, name) => write!(f, "index {name} of {table}"),
            Self::Member(table, Member::Constraint, name) => write!(f, "constraint {name} of {table}"),
        }
    }
}

impl Thing {
    /// The table that it is, or belongs to.
    fn table(&self) -> Option<&Name> {
        match self {
            Self::Table(table) | Self::Member(table, ..) => Some(table),
            Self::Trigger(_) | Self::Routine(_) | Self::Event(_) => None,
        }
    }
}

/// What holds in the catalog once a statement was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What it is about.
    pub thing: Thing,
    /// Whether it is there then.
    pub there: bool,
}

/// A statement after which the server commits by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// The tables that it changes. What it does is seen in what the catalog says of them, or in the marks.
    pub tables: Vec<Name>,
    /// What holds afterwards.
    pub marks: Vec<Mark>,
    /// Whether to do it twice is the same as to do it once.
    pub repeatable: bool,
    /// Whether it may read or write all of a table beside others who use it, and loses all of that when it is ended.
    pub builds: bool,
}

/// What has become of a definition that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is to be done as if it had never been begun.
    Undone,
    /// It was done.
    Done,
    /// It can't be told: of what it does some is there and some isn't, so somebody else has changed it meanwhile.
    Unknown,
}

impl Definition {
    /// What the one statement of `sql` does. None: nothing is known of it.
    pub fn read(sql: &str) -> Option<Self> {
        let statements = statements(sql, Engine::Mysql);
        let [statement] = statements.as_slice() else { return None };
        let mut definition = Reader::of(&statement.tokens).definition()?;
        definition.builds = statement.tokens.iter().any(|token| token.is("INPLACE") || token.is("NOCOPY"));
        Some(definition)
    }

    /// What has become of it. `changed`: whether the catalog says something else of its tables and marks than before it was
    /// begun. `holds`: which of its marks hold now, in their order.
    pub fn outcome(&self, changed: bool, holds: &[bool]) -> Outcome {
        if !changed || self.repeatable {
            Outcome::Undone
        } else if self.marks.is_empty() {
            // Somebody else may have changed it, too.
            Outcome::Unknown
        } else if holds.iter().all(|holds| *holds) {
            Outcome::Done
        } else if holds.iter().any(|holds| *holds) {
            Outcome::Unknown
        } else {
            Outcome::Undone
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        let (schema, name) = text.split_once('.').map_or((None, text), |(schema, name)| (Some(schema), name));
        Name { schema: schema.map(str::to_owned), name: name.to_owned() }
    }

    /// The marks as text: `+` what is there, `-` what isn't.
    fn marks(sql: &str) -> Vec<String> {
        let text = |mark: &Mark| format!("{}{}", if mark.there { '+' } else { '-' }, mark.thing);
        Definition::read(sql).unwrap().marks.iter().map(text).collect()
    }

    #[test]
    fn what_a_statement_leaves_is_read_off_it() {
        for (sql, expected) in [
            (
                "ALTER TABLE t ADD COLUMN n int, ADD b int, ALGORITHM=INSTANT",
                &["+column n of t", "+column b of t"][..],
            ),
            ("ALTER TABLE `t` ADD (`a``b` int, c decimal(4, 2))", &["+column a`b of t", "+column c of t"]),
            ("ALTER TABLE s.t DROP COLUMN IF EXISTS n, DROP b", &["-column n of s.t", "-column b of s.t"]),
            ("ALTER TABLE t CHANGE a b int, CHANGE COLUMN c c bigint", &["-column a of t", "+column b of t"]),
            (
                "ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX c TO d",
                &["-column a of t", "+column b of t", "-index c of t", "+index d of t"],
            ),
            (
                "ALTER TABLE t ADD UNIQUE INDEX i (a, b), ADD KEY k USING BTREE (c)",
                &["+index i of t", "+index k of t"],
            ),
            (
                "ALTER TABLE t ADD PRIMARY KEY (a), DROP PRIMARY KEY",
                &["+index PRIMARY of t", "-index PRIMARY of t"],
            ),
            (
                "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a), ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (id)",
                &["+index u of t", "+constraint f of t"],
            ),
            (
                "ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0), DROP FOREIGN KEY f, DROP CONSTRAINT IF EXISTS x",
                &["+constraint k of t", "-constraint f of t", "-constraint x of t"],
            ),
            ("SET STATEMENT foreign_key_checks = 0 FOR ALTER TABLE t NOWAIT DROP KEY i", &["-index i of t"]),
            ("ALTER TABLE t RENAME TO u", &["-table t", "+table u"]),
            ("RENAME TABLE a TO x, b TO a", &["-table b", "+table a", "+table x"]),
            (
                "CREATE DEFINER=`a`@`%` TRIGGER r BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.a = 1; END",
                &["+trigger r"],
            ),
            ("CREATE ALGORITHM=MERGE VIEW v AS SELECT * FROM t", &["+table v"]),
            ("CREATE UNIQUE INDEX i USING BTREE ON s.t (a)", &["+index i of s.t"]),
            ("DROP TABLE a, s.b", &["-table a", "-table s.b"]),
            ("DROP INDEX i ON t", &["-index i of t"]),
            ("DROP TRIGGER s.r", &["-trigger s.r"]),
            ("CREATE PROCEDURE p() BEGIN SELECT 1; END", &["+routine p"]),
        ] {
            let mut found = marks(sql);
            let mut expected: Vec<String> = expected.iter().map(|mark| (*mark).to_owned()).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{sql}");
            assert!(!Definition::read(sql).unwrap().repeatable, "{sql}");
        }
    }

    #[test]
    fn what_can_be_done_twice_is_known() {
        for sql in [
            "ALTER TABLE t MODIFY COLUMN a int NOT NULL, ALTER b SET DEFAULT 1, ALGORITHM=INPLACE, LOCK=NONE",
            "ALTER TABLE t CHANGE a a bigint",
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "CREATE TABLE IF NOT EXISTS t (id int)",
            "DROP TABLE IF EXISTS t",
            "GRANT SELECT ON t TO reader",
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM reader",
            "REVOKE IF EXISTS SELECT ON t FROM reader",
            "ANALYZE TABLE t",
        ] {
            assert!(Definition::read(sql).unwrap().repeatable, "{sql}");
        }
    }

    #[test]
    fn of_what_is_not_known_nothing_is_claimed() {
        for sql in [
            "CALL p()",
            "REVOKE SELECT ON t FROM reader",
            "REVOKE ALL ON t FROM reader",
            "TRUNCATE TABLE t",
            "CREATE DATABASE d",
            "LOAD DATA INFILE 'a' INTO TABLE t",
            "DROP TABLE",
            "CREATE OR REPLACE TABLE t (a int)",
            "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u",
            "ALTER TABLE t TRUNCATE PARTITION p",
        ] {
            assert_eq!(Definition::read(sql), None, "{sql}");
        }
        // It has a name of the server's choice: whether it was this one that has changed the table, nobody can tell.
        let unnamed = Definition::read("ALTER TABLE t ADD INDEX (a)").unwrap();
        assert_eq!((unnamed.marks.len(), unnamed.repeatable), (0, false));
        for sql in [
            "ADD SYSTEM VERSIONING",
            "DROP SYSTEM VERSIONING",
            "ADD PERIOD FOR p (a, b)",
            "DROP PERIOD IF EXISTS FOR p",
        ] {
            let read = Definition::read(&format!("ALTER TABLE t {sql}")).unwrap();
            assert_eq!((read.marks.len(), read.repeatable), (0, false), "{sql}");
        }
        assert_eq!(marks("ALTER TABLE t ADD system int, ADD period int").len(), 2);
        assert_eq!(
            (unnamed.outcome(true, &[]), unnamed.outcome(false, &[])),
            (Outcome::Unknown, Outcome::Undone)
        );
    }

    #[test]
    fn the_tables_that_change_are_known() {
        let tables = |sql: &str| Definition::read(sql).unwrap().tables;
        assert_eq!(tables("ALTER TABLE s.t ADD a int"), [name("s.t")]);
        assert_eq!(tables("CREATE TRIGGER r AFTER UPDATE ON t FOR EACH ROW SET @a = 1"), [name("t")]);
        assert_eq!(tables("DROP TABLE a, b"), [name("a"), name("b")]);
        assert!(
            Definition::read("ALTER TABLE t ADD INDEX i (a), ALGORITHM=INPLACE, LOCK=NONE").unwrap().builds
        );
        assert!(!Definition::read("ALTER TABLE t ADD a int, ALGORITHM=INSTANT").unwrap().builds);
    }

    #[test]
    fn what_was_begun_was_done_where_all_of_it_is_there() {
        let definition = Definition::read("ALTER TABLE t ADD a int, ADD b int").unwrap();
        for (changed, holds, outcome) in [
            (true, [true, true], Outcome::Done),
            (true, [false, false], Outcome::Undone),
            (true, [true, false], Outcome::Unknown),
            // They were there before: it will fail, as it should.
            (false, [true, true], Outcome::Undone),
        ] {
            assert_eq!(definition.outcome(changed, &holds), outcome);
        }
        let again = Definition::read("ALTER TABLE t MODIFY a int").unwrap();
        assert_eq!(again.outcome(true, &[]), Outcome::Undone);
    }
}
